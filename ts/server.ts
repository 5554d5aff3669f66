/**
 * server: the few things the admin API needs from an HTTP server, and one on `node:http`.
 *
 * It is an interface of its own so that another server can stand in for it.
 * Bounds: head 16 KiB, body as the handler says, 256 connections, 5 s for a head, 10 s for a request.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A request that was read up to its body. */
export interface Request {
  /** As sent, upper case by custom. */
  readonly method: string;
  /** The path without the query. */
  readonly path: string;
  /** The address the client reached us at, without port. */
  readonly localAddress: string;
  /** A field's value by its name in lower case. */
  header(name: string): string | undefined;
  /** The whole body, or `undefined` if it has more than `max` bytes. */
  body(max: number): Promise<Buffer | undefined>;
}

/** An answer, whole. */
export interface Reply {
  status: number;
  /** Content type. */
  type: string;
  body: string;
  headers?: Record<string, string>;
}

/** Answers a request; a rejection is answered with 500. */
export type Handler = (request: Request) => Promise<Reply>;

/** A server that listens. */
export interface HttpServer {
  /** `IP:port` as bound. */
  readonly address: string;
  /** Takes no more, lets answers in progress end within `patienceMs`, then closes. */
  close(patienceMs: number): Promise<void>;
}

/** Where to listen. */
export interface Bind {
  host: string;
  port: number;
}

/** Listens on `bind` with `node:http`; rejects with the system's error. */
export async function listen(bind: Bind, handler: Handler): Promise<HttpServer> {
  const server = createServer(
    { maxHeaderSize: 16 * 1024, headersTimeout: 5_000, requestTimeout: 10_000, keepAliveTimeout: 5_000 },
    (incoming, outgoing) => void respond(incoming, outgoing, handler),
  );
  server.maxConnections = 256;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host: bind.host, port: bind.port, exclusive: true }, () => {
      server.off('error', reject);
      resolve();
    });
  });
  const { address, family, port } = server.address() as AddressInfo;
  return {
    address: family === 'IPv6' ? `[${address}]:${port}` : `${address}:${port}`,
    close: (patienceMs) =>
      new Promise((resolve) => {
        const timer = setTimeout(() => server.closeAllConnections(), patienceMs);
        server.close(() => {
          clearTimeout(timer);
          resolve();
        });
        server.closeIdleConnections();
      }),
  };
}

async function respond(incoming: IncomingMessage, outgoing: ServerResponse, handler: Handler): Promise<void> {
  let reply: Reply;
  try {
    reply = await handler(requestOf(incoming));
  } catch {
    reply = { status: 500, type: 'application/problem+json', body: '{"title":"internal","status":500}\n' };
  }
  outgoing.writeHead(reply.status, {
    'content-type': reply.type,
    'content-length': Buffer.byteLength(reply.body),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    ...reply.headers,
    // A body that nobody read would be taken for the next request.
    ...(incoming.complete ? {} : { connection: 'close' }),
  });
  outgoing.end(incoming.method === 'HEAD' ? undefined : reply.body);
}

function requestOf(incoming: IncomingMessage): Request {
  const { headers, method = '', socket, url = '/' } = incoming;
  return {
    method,
    path: url.split('?', 1)[0] ?? '/',
    localAddress: socket.localAddress ?? '',
    header(name) {
      const value = headers[name];
      return Array.isArray(value) ? value.join(', ') : value;
    },
    async body(max) {
      const parts: Buffer[] = [];
      let size = 0;
      // The stream stays open when the loop is left, for the answer goes over the same socket.
      const chunks: AsyncIterable<Buffer> = incoming.iterator({ destroyOnReturn: false });
      for await (const part of chunks) {
        size += part.length;
        if (size > max) return undefined;
        parts.push(part);
      }
      return Buffer.concat(parts);
    },
  };
}
