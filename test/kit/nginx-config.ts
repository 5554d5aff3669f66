/**
 * nginx-config: a real nginx with a config as users write it, for one test; ended when the test ends.
 *
 * No port is fixed: each `listen PORT` of the config becomes a free port of loopback, whose socket is made here and handed to
 * nginx the way it hands them to its own successor (the variable `NGINX`).
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { folder } from './binary.js';

/** A running nginx. */
export interface Nginx {
  /** The real port for each port of the config. */
  readonly ports: ReadonlyMap<number, number>;
  /** The folder that it runs in. */
  readonly dir: string;
}

/** Starts nginx with `config`, whole, with `http { … }`. */
export async function nginxWith(t: TestContext, config: string): Promise<Nginx> {
  const dir = await folder(t);
  const wanted = [...new Set([...config.matchAll(LISTEN)].map(([, port]) => Number(port)))];
  const servers = await Promise.all(wanted.map(() => listening()));
  const ports = new Map(
    wanted.map((port, i) => [port, (servers[i]?.address() as AddressInfo | undefined)?.port ?? 0]),
  );
  const file = join(dir, 'nginx.conf');
  await writeFile(file, prepared(config, dir, ports));
  const fds = servers.map((server) => fdOf(server));
  const child = spawn('nginx', ['-p', dir, '-e', join(dir, 'error.log'), '-c', file], {
    // Where Debian keeps servers, which is not on every user's PATH.
    env: {
      ...process.env,
      PATH: `${process.env.PATH}:/usr/sbin`,
      NGINX: fds.map((_, i) => `${i + 3};`).join(''),
    },
    stdio: ['ignore', 'ignore', 'pipe', ...fds],
  });
  // The child has them now: a connection that is made from here on waits for it.
  for (const server of servers) server.close();
  let said = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  const exit = once(child, 'close');
  t.after(async () => {
    child.kill('SIGTERM'); // its worker ends with it
    await exit;
  });
  await Promise.race([
    answering([...ports.values()][0] ?? 0),
    exit.then(() => Promise.reject(new Error(`nginx has ended:\n${said}`))),
  ]);
  return { ports, dir };
}

/** The config with what this place asks for: other ports, files in `dir`, one worker. */
function prepared(config: string, dir: string, ports: ReadonlyMap<number, number>): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  const paths = temporary.map((part) => `${part}_temp_path ${dir}/${part};`).join(' ');
  const user = process.getuid?.() === 0 ? 'user root;' : '';
  const begin = `${user} daemon off; worker_processes 1; pid ${dir}/nginx.pid;`;
  const body = config
    .replaceAll(/^(user|pid|worker_processes|error_log) .*;$/gm, '')
    .replaceAll(LISTEN, (_, port: string) => `listen 127.0.0.1:${ports.get(Number(port))}`)
    .replaceAll(/\baccess_log (?!off)[^;]*;/g, 'access_log off;')
    .replace(/^http \{/m, `http { ${paths}`);
  return `${begin}\n${body}`;
}

async function listening(): Promise<Server> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

function fdOf(server: Server): number {
  const { fd } = (server as unknown as { _handle: { fd: number } })._handle;
  return fd;
}

/** Resolves when somebody at `port` answers or closes. */
async function answering(port: number): Promise<void> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  socket.write('GET / HTTP/1.0\r\n\r\n');
  await once(socket, 'data');
  socket.destroy();
}

/** `listen 80`, whatever follows. */
const LISTEN = /\blisten (\d+)(?=[ ;])/g;
