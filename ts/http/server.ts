/**
 * server: one small HTTP and WebSocket server, with two engines that do the same.
 *
 * `uws` is uWebSockets.js (`uws.ts`), `node` is `node:http` with `ws` (`node.ts`); `load.ts` says which one
 * runs here. Where they cannot be made to do the same, `differences.ts` says what each does.
 * Errors: {@link openServer} rejects with the system's error (`code` as Node has it, such as `EADDRINUSE`).
 */
import { networkInterfaces } from 'node:os';
import { canGuard } from './guard.js';
import { choose } from './load.js';
import { openNode } from './node.js';
import type { AppServer, ServerOptions } from './server-types.js';
import { clearPath } from './unix.js';
import { openUws } from './uws.js';

/** Listens. */
export async function openServer<C>(options: ServerOptions<C>): Promise<AppServer> {
  const idle = options.websocket?.idleTimeoutSecs ?? 0;
  if (idle !== 0 && !(idle >= 8 && idle <= 960)) {
    throw new RangeError(`idleTimeoutSecs is 0 or from 8 to 960, not ${idle}`);
  }
  const { uws } = choose(options.engine);
  if ('unix' in options.listen) await clearPath(options.listen.unix);
  return uws !== undefined && (await canGuard()) ? openUws(uws, options) : openNode(options);
}

/** True if a server that was bound to `host` is reached at `ip`. */
export function isBoundTo(host: string, ip: string): boolean {
  if (host !== '0.0.0.0' && host !== '::') return host === ip;
  return Object.values(networkInterfaces()).some((list) => list?.some(({ address }) => address === ip));
}
