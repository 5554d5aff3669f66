/**
 * origin: an upstream server for one test, on a free port of loopback; closed when the test ends.
 */
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TestContext } from 'node:test';
import { until } from './until.js';

/** A request as it reached the origin. */
export interface Seen {
  method: string;
  /** Path and query. */
  url: string;
  headers: IncomingHttpHeaders;
  /** Names and values as sent, in order. */
  rawHeaders: string[];
  /** The whole body; empty until it has ended. */
  body: string;
  /** The client's port: the same number is the same connection. */
  remotePort: number;
}

/** Answers a request whose body was read. */
export type OriginHandler = (
  request: IncomingMessage & { body: string },
  response: ServerResponse,
) => void | Promise<void>;

/** A running origin. */
export interface Origin {
  /** `IP:port`, as `endpoints` has it. */
  readonly address: string;
  /** Requests so far. */
  readonly hits: number;
  /** All requests so far, in order of their heads. */
  readonly seen: Seen[];
  /** Open connections. */
  readonly connections: number;
  /** Resolves when there were `n` requests. */
  reached(n: number): Promise<void>;
  /** Stops at once, as a process that dies does. */
  stop(): Promise<void>;
}

/**
 * Starts an origin; the default handler says 200 and `ok`. `port` is for one that comes back. `upgraded` takes requests that ask for
 * another protocol; without it they are answered as all others.
 */
export async function origin(
  t: TestContext,
  handler: OriginHandler = ok,
  port = 0,
  upgraded?: (request: IncomingMessage, socket: Duplex) => void,
): Promise<Origin> {
  const seen: Seen[] = [];
  const server = createServer({ keepAliveTimeout: 0, requestTimeout: 0 }, (request, response) => {
    const { headers, method = '', rawHeaders, socket, url = '' } = request;
    const entry: Seen = { method, url, headers, rawHeaders, body: '', remotePort: socket.remotePort ?? 0 };
    seen.push(entry);
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('error', () => {}); // a client that goes away is the test's business
    request.on('end', () => {
      entry.body = Buffer.concat(parts).toString('utf8');
      void handler(Object.assign(request, { body: entry.body }), response);
    });
  });
  if (upgraded !== undefined) server.on('upgrade', upgraded);
  let connections = 0;
  server.on('connection', (socket) => {
    connections += 1;
    socket.on('close', () => {
      connections -= 1;
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const stop = (): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  t.after(stop);
  return {
    address,
    seen,
    get hits() {
      return seen.length;
    },
    get connections() {
      return connections;
    },
    reached: (n) => until(() => seen.length >= n, `${n} requests at the origin`),
    stop,
  };
}

const ok: OriginHandler = (_request, response) => {
  response.end('ok');
};
