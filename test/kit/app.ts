/**
 * app: an app server for one test, with a choice of engine; closed when the test ends.
 */
import { type IncomingHttpHeaders, type RequestOptions, request } from 'node:http';
import type { TestContext } from 'node:test';
import type { Engine } from '../../ts/http/load.js';
import { openServer } from '../../ts/http/server.js';
import type { AppServer, Exchange, ServerOptions } from '../../ts/http/server-types.js';

/** Both of them. */
export const ENGINES: readonly Engine[] = ['uws', 'node'];

/** A server, and what its handlers threw. */
export interface TestApp {
  readonly server: AppServer;
  readonly port: number;
  readonly errors: unknown[];
}

/** Listens on a free port of loopback unless `more.listen` says otherwise. */
export async function app<C>(
  t: TestContext,
  engine: Engine,
  handler: (x: Exchange) => void,
  more: Partial<ServerOptions<C>> = {},
): Promise<TestApp> {
  const errors: unknown[] = [];
  const server = await openServer<C>({
    listen: { host: '127.0.0.1', port: 0 },
    handler,
    engine,
    onError: (error) => errors.push(error),
    ...more,
  });
  t.after(() => server.close(0));
  return { server, port: Number(server.address.slice(server.address.lastIndexOf(':') + 1)), errors };
}

/** An answer, whole. */
export interface Got {
  status: number;
  headers: IncomingHttpHeaders;
  body: Buffer;
}

/** One request on a connection of its own. */
export function ask(options: RequestOptions, body: string | Buffer = ''): Promise<Got> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ host: '127.0.0.1', agent: false, ...options }, (incoming) => {
      const parts: Buffer[] = [];
      incoming.on('data', (part: Buffer) => parts.push(part));
      incoming.on('error', reject);
      incoming.on('end', () => {
        const { statusCode: status = 0, headers } = incoming;
        resolve({ status, headers, body: Buffer.concat(parts) });
      });
    });
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}
