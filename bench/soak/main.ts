/**
 * `npm run soak`: the gateway under load and trouble for minutes, and what it has lost at the end.
 *
 * Each round of ten seconds: a load of {@link CONNECTIONS} keep-alive connections for eight of them over two upstreams; within it one
 * upstream is killed and comes back, the config is reloaded {@link RELOADS} times with other routes coming and
 * going, clients abort at every phase, 64 MiB are uploaded, and {@link RESTING} connections rest.
 * What must hold, or the exit status is 1: a round loses at most the requests in flight when the upstream was killed; every
 * reload is taken; the upload is answered; no bug is caught; no connection of a client stays; descriptors
 * and memory do not grow: memory by {@link MOST_GROWTH} a round at most over the last half.
 */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { buildTools, tool } from '../load/build.js';
import { commit } from '../load/machine.js';
import { freePort, ROOT, type Running, run, serve } from '../load/process.js';
import { slope } from '../load/stats.js';
import { abort, rest, upload } from './trouble.js';

interface Round {
  requests: number;
  /** Answers that were wrong, cut or late. */
  failed: number;
  reloads: number;
  uploaded: boolean;
  panics: number;
  /** Connections of clients that are still open when all clients have gone. */
  open: number;
  descriptors: number;
  memory_kib: number;
}

interface Stand {
  dir: string;
  port: number;
  admin: number;
  gateway: Running;
  origins: Running[];
}

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { secs: { type: 'string', default: '600' } } });
  const count = Math.max(4, Math.round(Number(values.secs) / 10));
  if (!Number.isFinite(count)) throw new Error(`--secs ${values.secs}: a number is needed`);
  await buildTools();
  const dir = await mkdtemp(join(tmpdir(), 'soak-'));
  const started: Running[] = [];
  try {
    const stand = await start(dir, started);
    console.log(`commit ${await commit()}, ${count} rounds`);
    const rounds: Round[] = [];
    for (let at = 0; at < count; at++) {
      const round = await soak(stand, at);
      rounds.push(round);
      console.log(`round ${at + 1}/${count}  ${JSON.stringify(round)}`);
    }
    return verdict(rounds);
  } finally {
    await Promise.all(started.map((running) => running.stop()));
    await rm(dir, { recursive: true, force: true });
  }
}

async function start(dir: string, started: Running[]): Promise<Stand> {
  const origins: Running[] = [];
  for (let at = 0; at < 2; at++) origins.push(await origin(dir, await freePort()));
  const [port, admin] = [await freePort(), await freePort()];
  const file = join(dir, 'ironsluice.json');
  await writeFile(file, JSON.stringify(config(port, admin, origins, 0)));
  const argv = [process.execPath, join(ROOT, 'dist/main.js'), 'start', '--config', file];
  const gateway = await serve({ name: 'ironsluice', argv, cpu: 0, at: port, dir });
  started.push(gateway, ...origins);
  await answers(admin);
  return { dir, port, admin, gateway, origins };
}

/** Traffic is served a moment before the admin listener opens. */
async function answers(port: number): Promise<void> {
  for (let left = 100; left > 0; left--) {
    const answer = await fetch(`http://127.0.0.1:${port}/healthz`).catch(() => undefined);
    if (answer?.ok) return;
    await sleep(50);
  }
  throw new Error('the admin listener does not answer within 5 s');
}

function origin(dir: string, port: number): Promise<Running> {
  const argv = [tool('origin'), '--listen', `127.0.0.1:${port}`];
  return serve({ name: 'origin', argv, cpu: 1, at: port, dir });
}

/** The routes under load stay; `turn` others come and go. */
function config(port: number, admin: number, origins: Running[], turn: number): object {
  const others = Array.from({ length: 50 }, (_, at) => ({
    name: `other-${turn}-${at}`,
    match: { path: `/other/${turn}/${at}` },
    filters: [{ use: 'rate_limit', rate: '10/s', burst: 10, key: 'client_ip' }],
    to: 'origin',
  }));
  return {
    admin: { bind: `127.0.0.1:${admin}` },
    workers: 1,
    listeners: [{ name: 'web', bind: `127.0.0.1:${port}` }],
    upstreams: [{ name: 'origin', endpoints: origins.map(({ port }) => `127.0.0.1:${port}`) }],
    routes: [...others, { name: 'all', match: { path: '/*' }, to: 'origin' }],
  };
}

async function soak(stand: Stand, turn: number): Promise<Round> {
  const load = run('taskset', [
    ...['-c', '1', tool('load'), '--to', `127.0.0.1:${stand.port}`],
    ...[
      '--connections',
      String(CONNECTIONS),
      '--secs',
      '8',
      '--warmup',
      '0',
      '--path',
      '/128',
      '--body',
      '128',
    ],
  ]);
  const [uploaded, reloads, resting] = await Promise.all([
    upload(stand.port, 64),
    reload(stand, turn),
    rest(stand.port, RESTING),
    kill(stand),
    abort(stand.port, 200),
  ]);
  const { requests, wrong, cut, late } = JSON.parse((await load).stdout);
  for (const socket of resting) socket.destroy();
  const metrics = await settled(stand);
  const status = await readFile(`/proc/${stand.gateway.pid}/status`, 'utf8');
  return {
    requests,
    failed: wrong + cut + late,
    reloads,
    uploaded: uploaded === 200,
    panics: metrics.panics,
    open: metrics.open,
    descriptors: (await readdir(`/proc/${stand.gateway.pid}/fd`)).length,
    memory_kib: Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]),
  };
}

/** Reloads as often as it should; the number that were taken. */
async function reload(stand: Stand, turn: number): Promise<number> {
  let taken = 0;
  for (let at = 0; at < RELOADS; at++) {
    const body = JSON.stringify(config(stand.port, stand.admin, stand.origins, (turn * RELOADS + at) % SETS));
    const headers = { 'content-type': 'application/json' };
    const answer = await fetch(`http://127.0.0.1:${stand.admin}/reload`, { method: 'POST', headers, body });
    if (answer.ok) taken++;
    else console.error(await answer.text());
    await sleep(5_000 / RELOADS);
  }
  return taken;
}

/** One upstream dies without a word and is there again a second later. */
async function kill(stand: Stand): Promise<void> {
  await sleep(2_000);
  const victim = stand.origins[1];
  if (victim === undefined) return;
  process.kill(victim.pid, 'SIGKILL');
  await sleep(1_000);
  const next = await origin(stand.dir, victim.port);
  Object.assign(victim, next);
}

/** What the metrics say once no connection of a client is left, or after five seconds. */
async function settled(stand: Stand): Promise<{ panics: number; open: number }> {
  const deadline = Date.now() + 5_000;
  for (;;) {
    const text = await (await fetch(`http://127.0.0.1:${stand.admin}/metrics`)).text();
    const sum = (name: string): number =>
      [...text.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'gm'))].reduce(
        (n, m) => n + Number(m[1]),
        0,
      );
    const seen = { panics: sum('ironsluice_panics_total'), open: sum('ironsluice_connections_active') };
    if (seen.open === 0 || Date.now() > deadline) return seen;
    await sleep(50);
  }
}

function verdict(rounds: readonly Round[]): number {
  const faults: string[] = [];
  rounds.forEach((round, at) => {
    const say = (what: string) => faults.push(`round ${at + 1}: ${what}`);
    if (round.requests === 0) say('no request was answered');
    if (round.failed > CONNECTIONS) say(`${round.failed} requests failed, ${CONNECTIONS} were in flight`);
    if (round.reloads < RELOADS) say(`${RELOADS - round.reloads} reloads were refused`);
    if (!round.uploaded) say('the upload was not answered');
    if (round.panics > 0) say(`${round.panics} bugs were caught`);
    if (round.open > 0) say(`${round.open} connections of clients stayed open`);
  });
  const half = rounds.slice(Math.floor(rounds.length / 2));
  const memory = slope(half.map(({ memory_kib }) => memory_kib));
  const descriptors = slope(half.map(({ descriptors }) => descriptors));
  if (memory > MOST_GROWTH) faults.push(`memory grows by ${memory.toFixed(1)} KiB a round`);
  if (descriptors >= 1) faults.push(`descriptors grow by ${descriptors.toFixed(2)} a round`);
  const total = (of: (round: Round) => number) => rounds.reduce((sum, round) => sum + of(round), 0);
  console.log(
    `${total((r) => r.requests)} requests, ${total((r) => r.failed)} failed in ${rounds.length} deaths of an upstream, ` +
      `${total((r) => r.reloads)} reloads; over the last half memory ${memory.toFixed(1)} KiB and ` +
      `descriptors ${descriptors.toFixed(2)} a round`,
  );
  for (const fault of faults) console.error(fault);
  console.log(faults.length === 0 ? 'held' : 'did not hold');
  return faults.length === 0 ? 0 : 1;
}

const CONNECTIONS = 16;
const RELOADS = 10;
/** Sets of routes that come and go: each name keeps its counters, so names without end would grow to their bound. */
const SETS = 20;
const RESTING = 200;
/** KiB; the garbage of the control side makes single rounds differ by more. */
const MOST_GROWTH = 128;

process.exitCode = await main();
