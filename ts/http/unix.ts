/** unix: a path for a Unix socket that a dead process left behind is cleared; one in use is not. */
import { lstat, unlink } from 'node:fs/promises';
import { connect } from 'node:net';

/** Removes the socket at `path` if nobody listens there; rejects with `EADDRINUSE` if somebody does. */
export async function clearPath(path: string): Promise<void> {
  const there = await lstat(path).catch(() => undefined);
  if (there === undefined) return;
  if (!there.isSocket() || (await isServed(path))) {
    throw Object.assign(new Error(`${path} is in use`), { code: 'EADDRINUSE' });
  }
  await removePath(path);
}

/** Removes the socket at `path`; it may be gone already. */
export async function removePath(path: string): Promise<void> {
  await unlink(path).catch(() => {});
}

function isServed(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
