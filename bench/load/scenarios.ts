/** What is measured: one row a scenario. */
import { APP_PEERS, LIMIT_PEERS, PEERS, TLS_PEERS } from './peers/index.js';
import type { Feature, Peer } from './peers/peer.js';
import type { Bound } from './report.js';

/** A load that is put on each proxy in turn. */
export interface Scenario {
  name: string;
  about: string;
  feature: Feature;
  /** Between client and proxy, not behind it. */
  tls?: boolean;
  /** What it is measured with; by default every proxy that has the feature. */
  peers?: readonly Peer[];
  /** What this gateway shall reach. */
  bounds?: readonly Bound[];
  /** Arguments of the client beyond the usual ones. */
  client: string[];
}

export const SCENARIOS: readonly Scenario[] = [
  {
    name: 'h1',
    about: 'HTTP/1.1 keep-alive, answers of 128 bytes',
    feature: 'plain',
    client: ['--path', '/128', '--body', '128'],
  },
  {
    name: 'h1-16k',
    about: 'HTTP/1.1 keep-alive, answers of 16 KiB',
    feature: 'plain',
    client: ['--path', '/16k', '--body', '16384'],
  },
  {
    name: 'close',
    about: 'a new connection for each request, closed by the client; answers of 128 bytes',
    feature: 'plain',
    client: ['--path', '/128', '--body', '128', '--close'],
  },
  {
    name: 'post',
    about: 'POST of 64 KiB, streamed; answers of 2 bytes',
    feature: 'plain',
    client: ['--path', '/upload', '--post', '65536', '--body', '2'],
  },
  {
    name: 'limit',
    about: 'a rate limit by client address that decides on each request and refuses none; 128 bytes',
    feature: 'limit',
    peers: LIMIT_PEERS,
    bounds: [
      { figure: 'cpu_us_per_request', beside: 'ironsluice-unlimited', most: 1.02 },
      { of: 'ironsluice-leased', figure: 'cpu_us_per_request', beside: 'ironsluice-unlimited', most: 1.03 },
    ],
    client: ['--path', '/128', '--body', '128'],
  },
  {
    name: 'tls',
    about: 'HTTP/1.1 keep-alive in TLS 1.3, answers of 128 bytes',
    feature: 'plain',
    tls: true,
    peers: TLS_PEERS,
    client: ['--path', '/128', '--body', '128'],
    bounds: [{ figure: 'cpu_us_per_request', beside: 'nginx', most: 0.85 }],
  },
  {
    name: 'tls-handshake',
    about: 'a new connection and a whole TLS 1.3 handshake for each request; answers of 128 bytes',
    feature: 'plain',
    tls: true,
    peers: TLS_PEERS,
    client: ['--path', '/128', '--body', '128', '--close'],
    bounds: [{ figure: 'cpu_us_per_request', beside: 'nginx', most: 1.1 }],
  },
  {
    name: 'h2',
    about: 'HTTP/2 in clear text, 16 streams a connection, to an origin of HTTP/1.1; answers of 128 bytes',
    feature: 'http2',
    client: ['--path', '/128', '--body', '128', '--http2', '16'],
  },
  {
    name: 'h2-tls',
    about: 'HTTP/2 in TLS 1.3, 16 streams a connection, to an origin of HTTP/1.1; answers of 128 bytes',
    feature: 'http2',
    tls: true,
    peers: TLS_PEERS,
    client: ['--path', '/128', '--body', '128', '--http2', '16'],
    bounds: [{ figure: 'cpu_us_per_request', beside: 'nginx', most: 1 }],
  },
  {
    name: 'app-edge',
    about: 'an app that says hello (128 bytes) behind the edge, beside nginx in front of bare uWebSockets.js',
    feature: 'app',
    peers: APP_PEERS.edge,
    client: ['--path', '/128', '--body', '128'],
    bounds: [{ figure: 'cpu_us_per_request', beside: 'nginx+uws', most: 0.9 }],
  },
  {
    name: 'app-direct',
    about: 'an app that says hello (128 bytes) by its own door',
    feature: 'direct',
    peers: APP_PEERS.direct,
    client: ['--path', '/128', '--body', '128'],
    bounds: [
      { figure: 'requests_per_s', beside: 'uws', least: 0.85 },
      // The same where the client's CPU is full before the server's.
      { figure: 'cpu_us_per_request', beside: 'uws', most: 1 / 0.85 },
    ],
  },
  {
    name: 'app-forward',
    about: 'what comes in by the door of an app goes to the origin; answers of 128 bytes',
    feature: 'forward',
    peers: APP_PEERS.forward,
    client: ['--path', '/128', '--body', '128'],
    bounds: [
      { figure: 'cpu_us_per_request', beside: 'nginx', most: 1.1 },
      // Five times the requests of a CPU second.
      { figure: 'cpu_us_per_request', beside: 'fastify', most: 0.2 },
    ],
  },
  {
    name: 'websocket',
    about: 'messages of 64 bytes in WebSockets, sent back by an app behind the edge and by its own door',
    feature: 'websocket',
    peers: APP_PEERS.websocket,
    client: ['--path', '/echo', '--websocket', '64'],
  },
];

/** The peers that a scenario is measured with when none are named. */
export function usualPeers({ peers = PEERS, feature }: Scenario): readonly Peer[] {
  return peers.filter((peer) => !peer.lacks?.includes(feature));
}
