/**
 * guard: a worker thread that ends with open sockets of uWebSockets.js would end the process.
 *
 * See `bindings/src/guard.rs`. The core is loaded in workers only: the main thread ends with its process.
 */
import { isMainThread } from 'node:worker_threads';

/** Has the sockets at `at`, a path or a port, closed when this thread ends; false where that cannot be had. */
export async function guardThread(at: string | number): Promise<boolean> {
  if (isMainThread) return true;
  const { guard, quiet } = await import('#bindings');
  if (typeof at === 'number') return guard(undefined, at);
  // Also after an error that nobody caught: no request may arrive for a script that is being ended.
  process.on('exit', () => quiet(at));
  return guard(at, undefined);
}

/** True if a guard can be had; the one that this asks for guards nothing. */
export function canGuard(): Promise<boolean> {
  return guardThread(0); // no socket is bound to port 0
}
