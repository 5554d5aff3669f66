/**
 * nginx: a real one for one test, with one server on a Unix socket, so that no port is fixed; ended when the test ends.
 */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { command, type Running } from './binary.js';
import { until } from './until.js';

/** Where Debian keeps servers, which is not on every user's PATH. */
export const SBIN = { env: { PATH: `${process.env.PATH}:/usr/sbin` } };

/** Starts it in `dir` with these lines in its server, and more outside of it; its socket is `s` in `dir`. */
export async function nginx(t: TestContext, dir: string, server: string, outside = ''): Promise<void> {
  const file = join(dir, 'nginx.conf');
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  const user = process.getuid?.() === 0 ? 'user root;' : '';
  await writeFile(
    file,
    `${user}
daemon off;
master_process off;
pid ${dir}/nginx.pid;
error_log ${dir}/error.log error;
events {}
http {
  access_log off;
  ${temporary.map((part) => `${part}_temp_path ${dir}/${part};`).join(' ')}
  ${outside}
  server { ${server} }
}
`,
  );
  const words = ['-p', dir, '-e', join(dir, 'error.log'), '-c', file];
  await listening(command(t, 'nginx', words, SBIN), join(dir, 's'));
}

/** Resolves when a command takes connections at its Unix socket. */
export async function listening(running: Running, path: string): Promise<void> {
  await until(async () => {
    assert.equal(running.child.exitCode, null, running.stdout + running.stderr);
    const socket = await open(path).catch(() => undefined);
    socket?.destroy();
    return socket !== undefined;
  }, path);
}

/** A connection to a Unix socket. */
export function open(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path, () => resolve(socket));
    socket.once('error', reject);
  });
}
