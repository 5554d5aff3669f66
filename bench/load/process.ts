/**
 * Processes: started on one CPU, waited for until they serve, stopped whatever happens.
 *
 * Errors: a process that ends before it serves is an error with the end of its output. Bounds: 15 s to begin to serve, 3 s to end after SIGTERM, then SIGKILL.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import http from 'node:http';
import { connect } from 'node:http2';
import https from 'node:https';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Certificate } from './peers/peer.js';

/** The repository's root; this file runs as `dist/bench/load/process.js`. */
export const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

// Where Debian keeps nginx and HAProxy.
process.env.PATH = `${process.env.PATH}:/usr/sbin:/sbin`;

/** Runs a program to its end and returns what it printed. */
export const run = promisify(execFile);

/** A process that serves until it is stopped. */
export interface Running {
  pid: number;
  /** Of 127.0.0.1; 0 where it listens at a path. */
  port: number;
  stop(): Promise<void>;
}

/** What to start, where, and where its output goes. */
export interface Start {
  name: string;
  argv: string[];
  cpu: number;
  /** The port of 127.0.0.1 at which it will listen, or the path of a Unix socket. */
  at: number | string;
  dir: string;
  /** What it will show; without it there is no TLS. */
  certificate?: Certificate | undefined;
  /** True if it is asked by HTTP/2, in clear text where there is no certificate. */
  http2?: boolean;
  /** Whether it serves. Default: it answers `GET /128` rightly. */
  isReady?: () => boolean;
}

const alive = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of alive) child.kill('SIGKILL');
});

/** Starts a server on one CPU and resolves when it serves. */
export async function serve({
  name,
  argv,
  cpu,
  at,
  dir,
  certificate,
  http2 = false,
  isReady,
}: Start): Promise<Running> {
  const log = join(dir, 'output.log');
  const output = openSync(log, 'a');
  const child = spawn('taskset', ['-c', String(cpu), ...argv], {
    cwd: dir,
    stdio: ['ignore', output, output],
  });
  closeSync(output);
  alive.add(child);
  let ended = '';
  child.once('error', (error) => {
    ended = String(error);
  });
  const exit = new Promise<void>((resolve) => {
    child.once('close', (code, signal) => {
      ended ||= `ended with ${code ?? signal}`;
      alive.delete(child);
      resolve();
    });
  });
  const deadline = Date.now() + START_MS;
  const serves = isReady ?? (() => (http2 ? answersHttp2 : answers)(at, certificate));
  while (!(await serves())) {
    if (ended || Date.now() > deadline) {
      child.kill('SIGKILL');
      const said = readFileSync(log, 'utf8').slice(-2000);
      throw new Error(`${name} ${ended || 'does not serve'}: ${argv.join(' ')}\n${said}`);
    }
    await sleep(20);
  }
  return {
    pid: child.pid ?? 0,
    port: typeof at === 'number' ? at : 0,
    async stop() {
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
      await exit;
      clearTimeout(timer);
    },
  };
}

/** A port of 127.0.0.1 that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Runs a program for its version: the first group of `pattern` in what it prints. */
export async function firstLine(file: string, args: string[], pattern: RegExp): Promise<string> {
  try {
    const { stdout, stderr } = await run(file, args);
    const found = pattern.exec(stdout + stderr)?.[1];
    if (found) return found;
    throw new Error('its version does not read as expected');
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`${file} cannot be run (bash test/kit/parts.sh --bench installs it): ${why}`);
  }
}

function answersHttp2(at: number | string, certificate?: Certificate): Promise<boolean> {
  const tls = certificate && { ca: readFileSync(certificate.cert), servername: certificate.host };
  const session = connect(`${certificate ? 'https' : 'http'}://127.0.0.1:${at}`, tls);
  return new Promise<boolean>((resolve) => {
    session.on('error', () => resolve(false));
    session.setTimeout(1000, () => resolve(false));
    const stream = session.request({ ':path': '/128' });
    let length = 0;
    stream.on('data', (bytes: Buffer) => {
      length += bytes.length;
    });
    stream.on('end', () => resolve(length === 128));
    stream.on('error', () => resolve(false));
  }).finally(() => session.destroy());
}

function answers(at: number | string, certificate?: Certificate): Promise<boolean> {
  const where = typeof at === 'string' ? { socketPath: at } : { host: '127.0.0.1', port: at };
  const tls = certificate && { ca: readFileSync(certificate.cert), servername: certificate.host };
  const { get } = certificate ? https : http;
  return new Promise((resolve) => {
    const request = get({ ...where, ...tls, path: '/128', agent: false, timeout: 1000 });
    request.on('response', (response) => {
      let length = 0;
      response.on('data', (bytes: Buffer) => {
        length += bytes.length;
      });
      response.on('end', () => resolve(response.statusCode === 200 && length === 128));
      response.on('error', () => resolve(false));
    });
    request.on('timeout', () => request.destroy());
    request.on('error', () => resolve(false));
  });
}

const START_MS = 15_000;
const STOP_MS = 3_000;
