/**
 * redis: real servers for one test, Redis or Valkey: alone, behind sentinels, or as a cluster; ended when the test ends.
 *
 * Each has a folder and ports of its own and keeps nothing on disk. Tests speak with it through `admin`, which goes by a Unix
 * socket and may do all, whatever the server asks of others.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Redis } from 'ioredis';
import { folder } from './binary.js';
import type { Certificate } from './certificate.js';
import { freePorts } from './pebble.js';
import { until } from './until.js';

/** How a server is started. */
export interface RedisOptions {
  /** Default: `redis-server` of the system. */
  program?: string;
  /** Its only door but the Unix socket is TLS. */
  certificate?: Certificate;
  /** Rules of ACL users, `NAME RULES`. */
  users?: string[];
  /** True if its clock may be set; see {@link RedisServer.setClock}. */
  hasClock?: boolean;
  /** More of its config, one line each. */
  lines?: string[];
  /** True for a sentinel. */
  isSentinel?: boolean;
}

/** A server. */
export interface RedisServer {
  readonly port: number;
  readonly url: string;
  /** May do all; commands fail when the server is gone. */
  readonly admin: Redis;
  /** It does nothing any more, and keeps its connections. */
  pause(): void;
  resume(): void;
  /** Ends it, as a machine that is switched off. */
  kill(): Promise<void>;
  /** Starts it again, at the same port and with nothing of what it knew. */
  start(): Promise<void>;
  /** Sets its clock so many seconds from the true time; it runs on from there. */
  setClock(seconds: number): Promise<void>;
}

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

/** Valkey's server, or nothing; parts.sh puts it there. */
export const VALKEY: string | undefined = [join(ROOT, '.tools/valkey-server')].find(existsSync);

/** What makes a clock settable, or nothing. */
const FAKETIME = ['', ...readdirSync('/usr/lib')]
  .map((machine) => join('/usr/lib', machine, 'faketime/libfaketimeMT.so.1'))
  .find(existsSync);

/** The environment of a process whose clock is as many seconds off as the file says; monotonic time is not touched. */
export function clockOf(file: string): Record<string, string> {
  return {
    // The second is there for its malloc: jemalloc asks for the time before libfaketime can say it.
    LD_PRELOAD: `${FAKETIME} libc.so.6`,
    FAKETIME_TIMESTAMP_FILE: file,
    FAKETIME_NO_CACHE: '1',
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
    DONT_FAKE_MONOTONIC: '1',
  };
}

/** What such a file holds. */
export function offset(seconds: number): string {
  return `${seconds < 0 ? '' : '+'}${seconds}`;
}

/** True if the programs are there; else the test is skipped, which the runner takes for a failure in CI. */
export function hasParts(t: TestContext, ...parts: ('faketime' | 'valkey')[]): boolean {
  const missing = parts.filter((part) => (part === 'valkey' ? VALKEY : FAKETIME) === undefined);
  if (missing.length > 0) t.skip(`${missing.join(' and ')} is missing: sh test/kit/parts.sh installs it`);
  return missing.length === 0;
}

/** Starts a server. */
export async function redis(t: TestContext, options: RedisOptions = {}): Promise<RedisServer> {
  const { program = 'redis-server', certificate, users = [], hasClock = false, lines = [] } = options;
  const [port = 0] = await freePorts(1);
  const cwd = await folder(t, { time: '+0' });
  const config = [
    'bind 127.0.0.1',
    `dir ${cwd}`,
    `unixsocket ${join(cwd, 'admin.sock')}`,
    'loglevel notice',
    `user kit on >kit ~* &* +@all`,
    ...users.map((user) => `user ${user}`),
    ...lines,
  ];
  if (options.isSentinel !== true) config.push('save ""', 'appendonly no', 'repl-diskless-sync-delay 0');
  if (certificate === undefined) {
    config.push(`port ${port}`);
  } else {
    await writeFile(join(cwd, 'own.pem'), certificate.cert);
    await writeFile(join(cwd, 'own.key'), certificate.key);
    config.push('port 0', `tls-port ${port}`, 'tls-cert-file own.pem', 'tls-key-file own.key');
    config.push(`tls-ca-cert-file ${certificate.ca}`, 'tls-auth-clients no');
  }
  const path = join(cwd, 'redis.conf');
  await writeFile(path, `${config.join('\n')}\n`);
  const env = hasClock ? clockOf(join(cwd, 'time')) : {};
  const admin = new Redis({
    path: join(cwd, 'admin.sock'),
    username: 'kit',
    password: 'kit',
    lazyConnect: true,
    retryStrategy: () => 20,
    maxRetriesPerRequest: 100,
    enableReadyCheck: false,
  });
  admin.on('error', () => {});
  let child: ChildProcess | undefined;
  let exit: Promise<unknown> = Promise.resolve();
  const kill = async (): Promise<void> => {
    child?.kill('SIGKILL');
    await exit;
  };
  const start = async (): Promise<void> => {
    const words = options.isSentinel === true ? [path, '--sentinel'] : [path];
    const started = spawn(program, words, { cwd, env: { ...process.env, ...env } });
    let said = '';
    for (const stream of [started.stdout, started.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        said = (said + text).slice(-4_000);
      });
    }
    child = started;
    let isOver = false;
    exit = once(started, 'close').then(() => {
      isOver = true;
    });
    const isUp = async (): Promise<boolean> => {
      if (isOver) throw new Error(`${program} ended:\n${said}`);
      return existsSync(join(cwd, 'admin.sock')) && (await admin.ping().catch(() => '')) === 'PONG';
    };
    await until(isUp, `${program} answers`, 20_000);
  };
  t.after(async () => {
    admin.disconnect();
    await kill();
  });
  await start();
  return {
    port,
    url: `redis${certificate === undefined ? '' : 's'}://${certificate === undefined ? '127.0.0.1' : 'localhost'}:${port}`,
    admin,
    pause: () => void child?.kill('SIGSTOP'),
    resume: () => void child?.kill('SIGCONT'),
    kill,
    start,
    async setClock(seconds) {
      await writeFile(join(cwd, 'time'), offset(seconds));
      // A script sees the time that the server read last.
      const isSet = async (): Promise<boolean> => {
        const now = await admin.eval("return redis.call('TIME')[1]", 0);
        return Math.abs(Number(now) - Date.now() / 1_000 - seconds) < 2;
      };
      await until(isSet, 'the clock is set');
    },
  };
}

/** A primary with replicas, watched by sentinels. */
export interface Sentinels {
  /** What the sentinels call it. */
  readonly name: string;
  readonly primary: RedisServer;
  readonly replicas: readonly RedisServer[];
  readonly sentinels: readonly RedisServer[];
}

/**
 * Starts a primary, two replicas and three sentinels, who fail over after half a second.
 *
 * @param replicaClock how many seconds the clocks of the replicas are off.
 */
export async function sentinels(t: TestContext, replicaClock = 0): Promise<Sentinels> {
  const name = 'kit';
  const primary = await redis(t);
  const replica = async (): Promise<RedisServer> => {
    const lines = [`replicaof 127.0.0.1 ${primary.port}`];
    const server = await redis(t, { lines, hasClock: replicaClock !== 0 });
    if (replicaClock !== 0) await server.setClock(replicaClock);
    return server;
  };
  const replicas = await Promise.all([replica(), replica()]);
  const isLinked = async (server: RedisServer): Promise<boolean> =>
    (await server.admin.info('replication')).includes('master_link_status:up');
  for (const server of replicas) await until(() => isLinked(server), 'a replica follows', 20_000);
  const lines = [
    `sentinel monitor ${name} 127.0.0.1 ${primary.port} 2`,
    `sentinel down-after-milliseconds ${name} 500`,
    `sentinel failover-timeout ${name} 3000`,
  ];
  const sentinel = (): Promise<RedisServer> => redis(t, { lines, isSentinel: true });
  const all = await Promise.all([sentinel(), sentinel(), sentinel()]);
  for (const { admin } of all) {
    const knowsAll = async (): Promise<boolean> => {
      const told = await admin.call('SENTINEL', 'MASTER', name);
      const pairs = Array.isArray(told) ? told : Object.entries(told as object).flat();
      const value = (key: string): number => Number(pairs[pairs.indexOf(key) + 1]);
      return value('num-slaves') === 2 && value('num-other-sentinels') === 2;
    };
    await until(knowsAll, 'a sentinel knows the others', 20_000);
  }
  return { name, primary, replicas, sentinels: all };
}

/** Resolves when all sentinels say that a replica is the primary. */
export async function failedOver({ name, primary, sentinels: all }: Sentinels): Promise<void> {
  const isOther = async ({ admin }: RedisServer): Promise<boolean> => {
    const [, port] = (await admin.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', name)) as string[];
    return port !== String(primary.port);
  };
  for (const one of all) await until(() => isOther(one), 'a sentinel knows the new primary', 20_000);
}

/** Starts a cluster of three primaries with a replica each. */
export async function cluster(t: TestContext): Promise<RedisServer[]> {
  const node = async (): Promise<{ server: RedisServer; bus: number }> => {
    const [bus = 0] = await freePorts(1);
    const lines = ['cluster-enabled yes', 'cluster-node-timeout 500', `cluster-port ${bus}`];
    return { server: await redis(t, { lines }), bus };
  };
  const nodes = await Promise.all(Array.from({ length: 6 }, node));
  const places = nodes.map(({ server, bus }) => `127.0.0.1:${server.port}@${bus}`);
  const words = ['--cluster', 'create', ...places, '--cluster-replicas', '1', '--cluster-yes'];
  await promisify(execFile)('redis-cli', words, { timeout: 60_000 });
  const isWhole = async ({ server: { admin } }: { server: RedisServer }): Promise<boolean> => {
    const told = String(await admin.call('CLUSTER', 'NODES'));
    return (
      String(await admin.call('CLUSTER', 'INFO')).includes('cluster_state:ok') &&
      told.match(/slave/g)?.length === 3
    );
  };
  for (const one of nodes) await until(() => isWhole(one), 'a node of the cluster is ready', 30_000);
  return nodes.map(({ server }) => server);
}
