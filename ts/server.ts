/**
 * server: the few things the admin API needs from an HTTP server: whole answers, bodies read to a bound.
 *
 * Bounds: head 32 KiB, body as the handler says, {@link MAX_CONNECTIONS}; timeouts as the engine has them.
 */
import { isBoundTo, openServer } from './http/server.js';
import type { Exchange } from './http/server-types.js';

/** A request that was read up to its body. */
export interface Request {
  /** As sent, upper case by custom. */
  readonly method: string;
  /** The path without the query. */
  readonly path: string;
  /** True if it is an address, without port, that this server is reached at. */
  isLocal(address: string): boolean;
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

/** Listens on `bind`; rejects with the system's error. */
export function listen(bind: Bind, handler: Handler): Promise<HttpServer> {
  return openServer({
    listen: { ...bind },
    handler: (x) => void respond(x, bind, handler),
    maxConnections: MAX_CONNECTIONS,
  });
}

async function respond(x: Exchange, bind: Bind, handler: Handler): Promise<void> {
  let reply: Reply;
  try {
    reply = await handler(requestOf(x, bind));
  } catch {
    reply = { status: 500, type: 'application/problem+json', body: '{"title":"internal","status":500}\n' };
  }
  const headers = [
    'content-type',
    reply.type,
    'cache-control',
    'no-store',
    'x-content-type-options',
    'nosniff',
  ];
  x.respond(reply.status, [...headers, ...Object.entries(reply.headers ?? {}).flat()], reply.body);
}

function requestOf(x: Exchange, bind: Bind): Request {
  return {
    method: x.method,
    path: x.path,
    isLocal: (address) => isBoundTo(bind.host, address),
    header: (name) => x.header(name),
    body: (max) =>
      new Promise((resolve, reject) => {
        let parts: Buffer[] = [];
        let size = 0;
        x.onAbort(() => reject(new Error('the client went away')));
        x.onBody((chunk, last) => {
          size += chunk.length;
          if (size <= max) parts.push(Buffer.from(chunk));
          else parts = [];
          if (size > max) resolve(undefined);
          else if (last) resolve(Buffer.concat(parts));
        });
      }),
  };
}

const MAX_CONNECTIONS = 256;
