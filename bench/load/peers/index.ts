/** What can be compared, ours first. */
import { envoy } from './envoy.js';
import { floor } from './floor.js';
import { haproxy } from './haproxy.js';
import {
  ironsluice,
  ironsluiceDirect,
  ironsluiceLeased,
  ironsluiceRoute,
  ironsluiceUnlimited,
} from './ironsluice.js';
import { nginx } from './nginx.js';
import type { Peer } from './peer.js';
import { fastify, nginxUws, node, uws } from './servers.js';

/** Proxies, of which each fits every scenario that does not name its own peers. */
export const PEERS: readonly Peer[] = [ironsluice, nginx, haproxy, envoy, floor];

/** Those of the scenarios with TLS. */
export const TLS_PEERS: readonly Peer[] = [ironsluice, nginx, haproxy];

/** Those of the scenario with a limit. */
export const LIMIT_PEERS: readonly Peer[] = [
  ironsluice,
  ironsluiceLeased,
  ironsluiceUnlimited,
  nginx,
  haproxy,
  envoy,
];

/** Those of the scenarios with apps. */
export const APP_PEERS = {
  edge: [ironsluice, nginxUws],
  direct: [ironsluice, uws, fastify, node],
  forward: [ironsluice, ironsluiceRoute, nginx, fastify, node],
  websocket: [ironsluice, ironsluiceDirect, nginxUws, uws],
} as const satisfies Record<string, readonly Peer[]>;

/** By their names, each once. */
export const ALL_PEERS: ReadonlyMap<string, Peer> = new Map(
  [...PEERS, ...LIMIT_PEERS, ...Object.values(APP_PEERS).flat()].map((peer) => [peer.name, peer]),
);
