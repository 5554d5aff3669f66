/**
 * Floods against a gateway of its own process, on a CPU of its own; the attacker, the origin and the good clients share the other.
 *
 * Of each: its connections end as they should, the good clients go on being served in time, memory stays within a bound, and all descriptors
 * come back. `FLOODS=ping,idle` runs these only. The attacks are those of `bench/tools/src/attack.rs`. What one byte more or less does is tested in
 * `crates/net/tests/http2_attacks.rs`, `tls_handshake.rs` and `client.rs`.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { makeCertificate } from '../bench/load/certificate.js';
import { command, folder, MAIN } from './kit/binary.js';
import { until } from './kit/until.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const run = promisify(execFile);

/** One attack, and how it is to end. */
interface Case {
  kind: string;
  /** What its connections may come to; the first must occur. `goaway 11` is ENHANCE_YOUR_CALM. */
  ends: readonly string[];
  /** What its streams must be told. */
  streams?: readonly string[];
  connections?: number;
  /** What one of them costs the gateway, in open files; default 1. */
  descriptors?: number;
  secs?: number;
  count?: number;
  /** Addresses that it comes from. */
  sources?: number;
  isTls?: boolean;
}

/** A reset may take the last words along; and at the end of its steps an attacker is an idle client (`goaway 0`). */
const CALM = ['goaway 11', 'reset', 'closed', 'open'];
const HTTP2: readonly Case[] = [
  { kind: 'rapid-reset', ends: CALM },
  { kind: 'reset-by-window-of-0', ends: ['goaway 1', 'goaway 11', 'reset', 'closed', 'open'] },
  { kind: 'reset-by-window-overflow', ends: CALM },
  { kind: 'reset-by-data-after-end', ends: ['goaway 1', 'goaway 5', 'goaway 11', 'reset', 'closed', 'open'] },
  { kind: 'reset-by-priority-on-itself', ends: CALM },
  { kind: 'reset-by-priority-of-wrong-length', ends: ['goaway 1', 'goaway 6', 'reset', 'closed', 'open'] },
  { kind: 'reset-by-length', ends: CALM },
  { kind: 'reset-by-bad-head', ends: CALM },
  { kind: 'continuation-endless', ends: CALM },
  { kind: 'continuation-tiny', ends: [...CALM, 'goaway 0'] },
  { kind: 'continuation-empty', ends: [...CALM, 'goaway 0'] },
  { kind: 'hpack-index-bomb', ends: CALM },
  { kind: 'cookie-crumb-bomb', ends: CALM },
  // Each connection has 128 requests under way when it is cut, which takes 3 ms.
  { kind: 'cookie-crumbs-held', ends: CALM, streams: ['reset 7'], count: 50_000_000, connections: 2 },
  { kind: 'settings', ends: CALM },
  { kind: 'settings-unread', ends: ['reset', 'open'] },
  { kind: 'ping', ends: CALM },
  { kind: 'ping-unread', ends: ['reset', 'open'] },
  { kind: 'priority', ends: CALM },
  { kind: 'window-update', ends: CALM },
  { kind: 'empty-data', ends: CALM },
  { kind: 'unknown-frames', ends: CALM },
  { kind: 'windows-of-1', ends: CALM },
  { kind: 'window-too-large', ends: ['goaway 3', 'goaway 11', 'reset', 'closed', 'open'] },
  { kind: 'never-reads', ends: ['reset', 'open'], secs: 3 },
];
const SLOW: readonly Case[] = [
  { kind: 'slow-heads', ends: ['408'], connections: 10_000, secs: 8 },
  // Each of these has a connection to the origin too.
  { kind: 'slow-bodies', ends: ['408'], connections: 10_000, descriptors: 2, secs: 8 },
  { kind: 'dripping-bodies', ends: ['408'], connections: 10_000, descriptors: 2, secs: 8 },
  { kind: 'post-999999999', ends: ['408'], connections: 10_000, descriptors: 2, secs: 8 },
  { kind: 'slow-reads', ends: ['reset'], connections: 200, secs: 6 },
  { kind: 'idle', ends: ['200'], connections: 10_000, secs: 8 },
];
const TLS: readonly Case[] = [
  { kind: 'tls-hellos', ends: ['hello', 'closed', 'reset', 'open'], connections: 512, sources: 8 },
  // Of one address: what is too much is closed before it costs a signature.
  { kind: 'tls-hellos', ends: ['closed', 'reset', 'hello', 'open'], connections: 600 },
  { kind: 'tls-silence', ends: ['closed'], connections: 2_000, sources: 20, secs: 5 },
  { kind: 'tls-stall', ends: ['closed'], connections: 2_000, sources: 20, secs: 5 },
  { kind: 'tls-tiny-records', ends: ['closed', 'alert', 'reset', 'open'] },
  { kind: 'tls-hello-of-64-kib', ends: ['closed', 'alert', 'reset', 'open'] },
  { kind: 'tls-garbage', ends: ['alert', 'closed', 'reset', 'open'] },
  { kind: 'tls-plain-http', ends: ['400', 'reset', 'open'] },
];

test('floods', { timeout: 240_000 }, async (t) => {
  if (cpus().length < 2) return t.skip('there is one CPU: the attacker would take it from the gateway');
  const ground = await prepare(t);
  const all = [...HTTP2, ...SLOW, ...TLS.map((one) => ({ ...one, isTls: true }))];
  const named = process.env.FLOODS?.split(',');
  for (const one of all.filter(({ kind }) => named?.includes(kind) ?? true))
    await t.test(one.kind, (t) => flood(t, ground, one));
});

interface Ground {
  program: string;
  certificate: string;
  pid: number;
  web: number;
  secure: number;
}

/** What `flood` prints. */
interface Outcome {
  opened: number;
  steps: number;
  ends: Record<string, number>;
  streams: Record<string, number>;
  kept: Phases;
  fresh: Phases & { failed: number; why: string };
}

interface Phases {
  quiet: Times;
  flood: Times;
}

/** Times in µs. */
interface Times {
  requests: number;
  p50: number;
  p99: number;
  most: number;
}

async function prepare(t: TestContext): Promise<Ground> {
  const [program, origin] = await tools();
  const cwd = await folder(t);
  const certificate = await makeCertificate(cwd);
  const up = command(t, 'taskset', ['-c', '0', origin, '--listen', '127.0.0.1:0']);
  const [, port] = await up.printed(/ready (\d+)/);
  const timeouts = { head: '1s', idle: '1500ms', stall: '1s' };
  const listener = { bind: '127.0.0.1:0', timeouts, http2: { cleartext: true } };
  const tls = {
    certificates: [{ cert: certificate.cert, key: certificate.key }],
    handshake_timeout: '1s',
  };
  const { http2: _, ...plain } = listener;
  const config = {
    workers: 1,
    admin: 'off',
    listeners: [
      { name: 'web', ...listener },
      { name: 'secure', ...plain, tls },
    ],
    upstreams: [{ name: 'up', endpoints: [`127.0.0.1:${port}`], keepalive: { idle: '1s' } }],
    routes: [{ name: 'all', match: { path: '/*' }, to: 'up' }],
  };
  writeFileSync(`${cwd}/a.json`, JSON.stringify(config));
  const start = [process.execPath, MAIN, 'start', '--config', 'a.json', '--log-format', 'json'];
  const gateway = command(t, 'taskset', ['-c', '1', ...start], { cwd });
  const addresses = (): number[] =>
    [...gateway.stderr.matchAll(/"address":"127\.0\.0\.1:(\d+)"/g)].map(([, port]) => Number(port));
  await until(() => addresses().length === 2, 'both listeners', 20_000);
  const [web = 0, secure = 0] = addresses();
  return { program, certificate: certificate.cert, pid: gateway.child.pid ?? 0, web, secure };
}

async function flood(t: TestContext, ground: Ground, one: Case): Promise<void> {
  const { pid } = ground;
  const { kind, ends, streams = [], secs = 1.5, count, sources = 1, isTls = false } = one;
  const { connections: wanted = 8, descriptors: each = 1 } = one;
  const connections = Math.min(wanted, Math.floor((mostFiles(pid) - SPARE) / each));
  if (connections < wanted) t.diagnostic(`${connections} connections: ulimit -n allows no ${wanted}`);
  const more = isTls ? ['--tls', ground.certificate] : [];
  if (count !== undefined) more.push('--count', String(count));
  const slow: string[] = [];
  for (let round = 1; ; round += 1) {
    const descriptors = openFiles(pid);
    const foreign = foreignTime(pid);
    // What was the most so far is forgotten.
    writeFileSync(`/proc/${pid}/clear_refs`, '5');
    const before = memory(pid, 'VmRSS');
    const { stdout } = await run('taskset', [
      ...[
        '-c',
        '0',
        ground.program,
        '--kind',
        kind,
        '--to',
        `127.0.0.1:${isTls ? ground.secure : ground.web}`,
      ],
      ...[
        '--connections',
        `${connections}`,
        '--secs',
        `${secs}`,
        '--sources',
        `${sources}`,
        '--quiet',
        '0.7',
      ],
      ...more,
    ]);
    const outcome = JSON.parse(stdout) as Outcome;
    t.diagnostic(stdout.trim());
    const grown = memory(pid, 'VmHWM') - before;
    t.diagnostic(`memory grew by ${grown} KiB`);
    const came = Object.keys(outcome.ends);
    assert.deepEqual(
      came.filter((end) => !ends.includes(end)),
      [],
      'ends that should not be',
    );
    assert.ok(came.includes(ends[0] ?? ''), `${ends[0]} is missing: ${stdout}`);
    for (const told of streams) assert.ok(outcome.streams[told], `${told} is missing: ${stdout}`);
    assert.ok(grown < 64 << 10, `memory grew by ${grown} KiB`);
    assert.equal(outcome.fresh.failed, 0, outcome.fresh.why);
    assert.ok(outcome.fresh.flood.requests > 0 && outcome.kept.flood.requests > 0, stdout);
    await until(() => openFiles(pid) <= descriptors + 2, 'all descriptors come back');
    const { quiet, flood } = outcome.kept;
    const most = Math.max(3 * quiet.p99, quiet.p99 + 20_000);
    if (flood.p99 <= most) return;
    const share = foreign();
    const told = `${flood.p99} µs, of at most ${most}`;
    if (share > FOREIGN) t.diagnostic(`not counted: others had ${share} of the CPU; ${told}`);
    else slow.push(told);
    assert.ok(slow.length < 3, `the good client waited: ${slow.join('; ')}`);
    if (round < 6) continue;
    t.diagnostic('the good client was not judged: the machine was busy with something else');
    return;
  }
}

/** Begins to measure; the function says which share of the gateway's CPU others had since then. */
function foreignTime(pid: number): () => number {
  const read = (): { all: number; busy: number; own: number } => {
    const { idle, irq, nice, sys, user } = cpus()[1]?.times ?? { idle: 0, irq: 0, nice: 0, sys: 0, user: 0 };
    const busy = user + nice + sys + irq;
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
    return { all: busy + idle, busy, own: 10 * (Number(stat[11]) + Number(stat[12])) }; // ticks of 10 ms
  };
  const from = read();
  return () => {
    const to = read();
    return Math.max(0, to.busy - from.busy - (to.own - from.own)) / Math.max(1, to.all - from.all);
  };
}

function openFiles(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

/** How many files the process may have open. */
function mostFiles(pid: number): number {
  const found = /^Max open files\s+(\d+) /m.exec(readFileSync(`/proc/${pid}/limits`, 'utf8'));
  return Number(found?.[1]);
}

/** KiB. */
function memory(pid: number, name: 'VmRSS' | 'VmHWM'): number {
  const found = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(found?.[1]);
}

/** Paths of `flood` and `origin`, built as the tests are. */
async function tools(): Promise<[string, string]> {
  const args = ['build', '-q', '-p', 'bench-tools', '--bins', '--message-format=json'];
  const { stdout } = await run('cargo', args, { cwd: ROOT, maxBuffer: 64 << 20 });
  const find = (name: string): string => {
    const found = new RegExp(`"executable":"([^"]*/${name})"`).exec(stdout)?.[1];
    assert.ok(found, `cargo named no ${name}`);
    return found;
  };
  return [find('flood'), find('origin')];
}

/** Files that a gateway has open beside connections, with those of the good clients. */
const SPARE = 300;
/** A share of the gateway's CPU: with more for others a round says nothing of it. */
const FOREIGN = 0.05;
