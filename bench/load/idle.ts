/**
 * What an idle connection costs: memory of a fresh proxy with more and more connections that have each served one
 * request. The slope between the last two steps is the cost of one connection; the process around it does not count.
 */
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { tool } from './build.js';
import { makeCertificate } from './certificate.js';
import type { Options } from './options.js';
import type { Certificate, Peer } from './peers/peer.js';
import type { Running } from './process.js';
import { digits, type Row, table } from './report.js';
import { startOrigin, startPeer } from './rounds.js';

/** Memory at one number of connections. */
export interface Step {
  connections: number;
  memory_kib: number;
}

/** One proxy's steps. */
export interface Idle {
  peer: string;
  steps: Step[];
  /** Between the last two steps. */
  bytes_per_connection: number;
}

/** Measures each peer once, in a process of its own; with `tls` each connection has made a handshake of TLS 1.3. */
export async function runIdle(peers: readonly Peer[], options: Options, tls: boolean): Promise<Idle[]> {
  const results: Idle[] = [];
  for (const peer of peers) {
    const dir = await mkdtemp(join(tmpdir(), 'bench-idle-'));
    const started: Running[] = [];
    try {
      const origin = await startOrigin(dir, options.loadCpu);
      started.push(origin);
      const certificate = tls ? await makeCertificate(dir) : undefined;
      const proxy = await startPeer(peer, { feature: 'plain', certificate }, origin, dir, options);
      started.push(proxy);
      const steps = await open(proxy, options, certificate);
      results.push({ peer: peer.name, steps, bytes_per_connection: slope(steps) });
    } finally {
      await Promise.all(started.map((running) => running.stop()));
      await rm(dir, { recursive: true, force: true });
    }
  }
  return results;
}

/** The table of a result file. */
export function idleMarkdown(results: readonly Idle[]): string {
  const rows = results.map(({ peer, steps, bytes_per_connection }) => {
    const row: Row = { proxy: peer, 'bytes/connection': digits(bytes_per_connection) };
    for (const { connections, memory_kib } of steps) {
      row[`MiB at ${connections}`] = digits(memory_kib / 1024);
    }
    return row;
  });
  const note = 'Memory is Pss of the process tree; the kernel keeps socket buffers elsewhere.';
  return `${table(rows)}\n\nBytes a connection: the slope between the last two columns. ${note}`;
}

function slope(steps: readonly Step[]): number {
  const [before, after] = steps.slice(-2);
  if (!before || !after) throw new Error('--steps needs at least two numbers');
  const connections = after.connections - before.connections;
  return ((after.memory_kib - before.memory_kib) * 1024) / connections;
}

function open(proxy: Running, options: Options, certificate?: Certificate): Promise<Step[]> {
  const args = ['--to', `127.0.0.1:${proxy.port}`, '--watch', String(proxy.pid)];
  if (certificate) args.push('--tls', certificate.cert);
  const child = spawn(tool('idle'), [...args, '--steps', options.steps.join(',')], {
    // No input: it ends as soon as the last step is printed.
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout.on('data', (bytes) => {
    text += bytes;
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => {
      if (code !== 0) return reject(new Error(`idle connections: ended with ${code}`));
      const lines = text.trim().split('\n');
      resolve(lines.map((line) => JSON.parse(line) as Step));
    });
  });
}
