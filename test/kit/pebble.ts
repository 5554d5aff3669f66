/**
 * pebble: an ACME authority for one test, with a resolver by which every name is this machine; ended when the test
 * ends.
 *
 * What it issues is good for as long as the test says; its own HTTPS is by a certificate for localhost.
 */
import { execFile, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { promisify } from 'node:util';
import { folder } from './binary.js';
import type { Certificate } from './certificate.js';
import { until } from './until.js';

/** What is asked of it. */
export interface PebbleOptions {
  /** What its HTTPS is by. */
  certificate: Certificate;
  /** Where it takes port 443 and port 80 of every domain to be. */
  tlsPort: number;
  httpPort: number;
  /** How long certificates last, in seconds. */
  validity?: number;
}

/** An authority that runs. */
export interface Pebble {
  /** The URL of its directory. */
  readonly directory: string;
  /** What its certificates are to be verified with, PEM; another after each start. */
  root(): Promise<string>;
  /** Ends it, as a machine that is switched off. */
  stop(): Promise<void>;
  /** Starts it again, at the same place and with nothing of what it knew. */
  start(): Promise<void>;
}

/** True if the programs are there; else the test is skipped, which the runner takes for a failure in CI. */
export async function hasPebble(t: TestContext): Promise<boolean> {
  const found = await promisify(execFile)('sh', [
    '-c',
    'command -v pebble && command -v pebble-challtestsrv',
  ]).then(
    () => true,
    () => false,
  );
  if (!found) t.skip('pebble is missing: sh test/kit/parts.sh installs it');
  return found;
}

/**
 * Ports of loopback that are free now, for programs that cannot say which they got. They are none that the system gives away
 * (32768 and above on Linux): until they are used, no connection of another test gets one.
 */
export async function freePorts(count: number): Promise<number[]> {
  const servers: Server[] = [];
  while (servers.length < count) {
    const server = createServer();
    server.listen(randomInt(...OURS), '127.0.0.1');
    const isFree = await once(server, 'listening').then(
      () => true,
      () => false,
    );
    if (isFree) servers.push(server);
  }
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  for (const server of servers) {
    server.close();
    await once(server, 'close');
  }
  return ports;
}

const OURS = [10_000, 32_000] as const;

/** Starts one. */
export async function pebble(t: TestContext, options: PebbleOptions): Promise<Pebble> {
  const { certificate, tlsPort, httpPort, validity = 3_600 } = options;
  const [acme = 0, management = 0, dns = 0, other = 0] = await freePorts(4);
  const cwd = await folder(t, { 'own.pem': certificate.cert, 'own.key': certificate.key });
  const config = {
    listenAddress: `127.0.0.1:${acme}`,
    managementListenAddress: `127.0.0.1:${management}`,
    certificate: join(cwd, 'own.pem'),
    privateKey: join(cwd, 'own.key'),
    httpPort,
    tlsPort,
    ocspResponderURL: '',
    externalAccountBindingRequired: false,
    certificateValidityPeriod: validity,
  };
  await writeFile(join(cwd, 'pebble.json'), JSON.stringify({ pebble: config }));
  const names = ['-dns01', `127.0.0.1:${dns}`, '-management', `127.0.0.1:${other}`, '-defaultIPv6', ''];
  const none = ['-http01', '', '-https01', '', '-tlsalpn01', ''];
  run(t, 'pebble-challtestsrv', [...names, ...none], {});

  const ask = (port: number, path: string): Promise<string> => get(port, path, certificate.ca);
  let running: { stop(): Promise<void> } | undefined;
  const start = async (): Promise<void> => {
    const words = ['-config', join(cwd, 'pebble.json'), '-dnsserver', `127.0.0.1:${dns}`];
    // Each order is proved anew, and at once; some nonces are refused, as it does by default.
    const started = run(t, 'pebble', words, { PEBBLE_VA_NOSLEEP: '1', PEBBLE_AUTHZREUSE: '0' });
    running = started;
    const isUp = (): Promise<boolean> =>
      Promise.all([ask(acme, '/dir'), ask(management, '/roots/0')]).then(
        () => true,
        () => false,
      );
    await until(isUp, `pebble answers; it said:\n${started.said()}`, 20_000);
  };
  await start();
  return {
    directory: `https://localhost:${acme}/dir`,
    root: () => ask(management, '/roots/0'),
    stop: async () => running?.stop(),
    start,
  };
}

function run(
  t: TestContext,
  file: string,
  words: string[],
  env: Record<string, string>,
): { stop(): Promise<void>; said(): string } {
  const child = spawn(file, words, { env: { ...process.env, ...env } });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-4_000);
    });
  }
  const exit = once(child, 'close');
  const stop = async (): Promise<void> => {
    child.kill('SIGKILL');
    await exit;
  };
  t.after(stop);
  return { stop, said: () => said };
}

/** The body of `https://localhost:port/path`, if it is 200. */
async function get(port: number, path: string, caPath: string): Promise<string> {
  const ca = await readFile(caPath);
  return new Promise((resolve, reject) => {
    const options = {
      host: '127.0.0.1',
      servername: 'localhost',
      port,
      path,
      ca,
      agent: false,
      timeout: 5_000,
    };
    const asked = request(options, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (piece: string) => {
        text += piece;
      });
      response.on('end', () => (response.statusCode === 200 ? resolve(text) : reject(new Error(text))));
    });
    asked.on('timeout', () => asked.destroy(new Error('no answer')));
    asked.on('error', reject).end();
  });
}
