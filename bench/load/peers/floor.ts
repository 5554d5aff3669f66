/** The bare four-call forwarder of `bench/tools`: what no proxy can go below by much. */
import { tool } from '../build.js';
import type { Peer } from './peer.js';

export const floor: Peer = {
  name: 'floor',
  version: async () => 'bench/tools',
  prepare: async ({ port, origin }) => [tool('floor'), '--listen', `127.0.0.1:${port}`, '--upstream', origin],
  lacks: ['limit', 'http2'],
};
