/** The proxies that can be compared, ours first. */
import { envoy } from './envoy.js';
import { floor } from './floor.js';
import { haproxy } from './haproxy.js';
import { ironsluice } from './ironsluice.js';
import { nginx } from './nginx.js';
import type { Peer } from './peer.js';

export const PEERS: readonly Peer[] = [ironsluice, nginx, haproxy, envoy, floor];
