/**
 * Interleaved rounds: all proxies stay up, each round loads each once, and the order turns by one a round, so that
 * what the machine does over minutes meets all alike.
 *
 * One proxy at a time works on its CPU; client and origin share the other. CPU time is that of the proxy's whole process tree
 * within the client's window, with that of the server behind it where a peer has one. A measurement is refused when the CPUs were busy with something that is neither proxy,
 * origin nor client for more than `tolerance` of their time; it is taken again up to `retries` times, and missing after that.
 * A proxy that is missing in two rounds one after the other is in no further ones; the others go on.
 */
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { tool } from './build.js';
import { makeCertificate } from './certificate.js';
import type { Options } from './options.js';
import type { Certificate, Feature, Peer } from './peers/peer.js';
import { freePort, type Running, run, type Start, serve } from './process.js';
import type { Scenario } from './scenarios.js';

/** One proxy in one round. */
export interface Measurement {
  round: number;
  peer: string;
  /** Of all of a peer's processes. */
  cpu_us_per_request: number;
  /** Of that what stands in front of an app. */
  proxy_cpu_us_per_request?: number;
  requests_per_s: number;
  /** Of its one CPU. */
  busy_percent?: number;
  p50_us: number;
  p99_us: number;
  memory_mib: number;
  bad: number;
  /** The part of the CPUs' time that went to none of the three, or that the host took. */
  disturbed: number;
}

/** All rounds of a scenario. */
export interface Rounds {
  taken: Measurement[];
  /** Measurements thrown away because something else ran. */
  refused: number;
  /** Places in rounds left empty because every retry was disturbed. */
  missing: number;
  /** Who was in no further rounds because of that. */
  dropped: string[];
  /** The suite and the key exchange of TLS that all agreed on with the client. */
  tls?: string;
}

/** Runs one scenario on all peers. `dir` is empty and is the caller's to remove. */
export async function runRounds(
  scenario: Scenario,
  peers: readonly Peer[],
  options: Options,
  dir: string,
): Promise<Rounds> {
  const result: Rounds = { taken: [], refused: 0, missing: 0, dropped: [] };
  const started: Running[] = [];
  try {
    const origin = await startOrigin(dir, options.loadCpu);
    started.push(origin);
    const certificate = scenario.tls ? await makeCertificate(dir) : undefined;
    const needs = { feature: scenario.feature, certificate };
    const proxies: Proxy[] = [];
    for (const peer of peers) {
      const proxy = await startPeer(peer, needs, origin, dir, options);
      started.push(proxy);
      proxies.push(proxy);
    }
    /** Rounds that each was missing in, up to the last one. */
    const inARow = new Map<string, number>();
    for (let round = 0; round < options.rounds; round++) {
      for (let turn = 0; turn < proxies.length; turn++) {
        const proxy = proxies[(round + turn) % proxies.length] as Proxy;
        const { name } = proxy.peer;
        if (result.dropped.includes(name)) continue;
        const isTaken = await measureQuietly(
          { scenario, options, origin, certificate, proxy, round },
          result,
        );
        const missed = isTaken ? 0 : (inARow.get(name) ?? 0) + 1;
        inARow.set(name, missed);
        if (missed < MISSED) continue;
        result.dropped.push(name);
        console.log(`${name} was disturbed in ${MISSED} rounds one after the other: no further rounds of it`);
      }
      if (result.dropped.length === proxies.length) break;
    }
  } finally {
    await Promise.all(started.map((running) => running.stop()));
  }
  return result;
}

/** Starts the origin on the client's CPU. */
export async function startOrigin(dir: string, cpu: number): Promise<Running> {
  const port = await freePort();
  const own = join(dir, 'origin');
  await mkdir(own);
  const argv = [tool('origin'), '--listen', `127.0.0.1:${port}`];
  return serve({ name: 'origin', argv, cpu, at: port, dir: own });
}

/** A peer's processes: the one that clients speak with, and those behind it and beside it, if it has some. */
export interface Proxy extends Running {
  peer: Peer;
  behind?: Running;
  store?: Running;
}

/** What a peer is started for. */
export interface Needs {
  feature: Feature;
  certificate?: Certificate | undefined;
}

/** Starts a peer on its CPU with the configuration that the scenario needs. */
export async function startPeer(
  peer: Peer,
  { feature, certificate }: Needs,
  origin: Running,
  dir: string,
  { proxyCpu: cpu, loadCpu }: Pick<Options, 'proxyCpu' | 'loadCpu'>,
): Promise<Proxy> {
  const port = await freePort();
  const own = join(dir, peer.name);
  await mkdir(own);
  const path = join(own, 'behind.sock');
  const command = peer.behind?.({ path, feature });
  const shared = join(own, 'store.sock');
  const started: Running[] = [];
  const stop = async (): Promise<void> => {
    for (const running of started.reverse()) await running.stop();
  };
  const start = async (what: Start): Promise<Running> => {
    const running = await serve(what);
    started.push(running);
    return running;
  };
  try {
    const behind =
      command && (await start({ name: `${peer.name}, behind`, argv: command, cpu, at: path, dir: own }));
    const argvOfStore = peer.store?.(shared);
    const store =
      argvOfStore &&
      (await start({
        name: `${peer.name}, store`,
        argv: argvOfStore,
        cpu: loadCpu,
        at: shared,
        dir: own,
        isReady: () => existsSync(shared),
      }));
    const upstream = behind ? path : `127.0.0.1:${origin.port}`;
    const argv = await peer.prepare({
      dir: own,
      port,
      origin: upstream,
      feature,
      certificate,
      store: shared,
    });
    const http2 = feature === 'http2';
    const front = await start({ name: peer.name, argv, cpu, at: port, dir: own, certificate, http2 });
    return { ...front, peer, ...(behind && { behind }), ...(store && { store }), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

interface Place {
  scenario: Scenario;
  options: Options;
  origin: Running;
  certificate: Certificate | undefined;
  proxy: Proxy;
  round: number;
}

/** Measures until it is quiet; false if it never was. */
async function measureQuietly(place: Place, result: Rounds): Promise<boolean> {
  const { options, proxy, round } = place;
  for (let attempt = 0; attempt <= options.retries; attempt++) {
    const { measurement, tls } = await measure(place);
    if (place.scenario.tls) result.tls = same(tls, proxy.peer, result.tls);
    const quiet = measurement.disturbed <= options.tolerance;
    const percent = (measurement.disturbed * 100).toFixed(1);
    console.log(
      `round ${round + 1}/${options.rounds}  ${proxy.peer.name.padEnd(17)}` +
        `${measurement.cpu_us_per_request.toFixed(2).padStart(8)} µs CPU/request` +
        `${Math.round(measurement.requests_per_s).toString().padStart(8)} requests/s` +
        `${measurement.p99_us.toString().padStart(7)} µs p99` +
        `${measurement.bad.toString().padStart(4)} bad  ${percent} % other` +
        (quiet ? '' : '  refused'),
    );
    if (quiet) {
      result.taken.push(measurement);
      return true;
    }
    result.refused++;
    if (attempt < options.retries) await sleep(PAUSE_MS * 2 ** attempt);
  }
  result.missing++;
  return false;
}

/** What was agreed on in TLS, which is one thing and the same for all: else they would not do the same work. */
function same(agreed: readonly string[], peer: Peer, before: string | undefined): string {
  const [only] = agreed;
  if (agreed.length === 1 && only !== undefined && only === (before ?? only)) return only;
  const others = before === undefined ? '' : ` and the others ${before}`;
  throw new Error(`${peer.name} agreed on ${agreed.join(', ') || 'nothing'}${others} in TLS`);
}

async function measure(place: Place): Promise<{ measurement: Measurement; tls: string[] }> {
  const { scenario, options, origin, certificate, proxy, round } = place;
  const { behind, store, peer } = proxy;
  const watched = [proxy, origin, behind, store].flatMap((running) => running?.pid ?? []);
  const { stdout } = await run('taskset', [
    '-c',
    String(options.loadCpu),
    tool('load'),
    ...['--to', `127.0.0.1:${proxy.port}`],
    ...['--connections', String(options.connections)],
    ...['--secs', String(options.secs), '--warmup', String(options.warmup)],
    ...['--watch', watched.join(',')],
    ...['--cpus', `${options.proxyCpu},${options.loadCpu}`],
    ...(certificate ? ['--tls', certificate.cert] : []),
    ...scenario.client,
  ]);
  const seen = JSON.parse(stdout) as Seen;
  const [front, upstream, ...more] = seen.watched;
  const back = behind && more.shift();
  const other = more.shift()?.cpu_ns ?? 0;
  if (seen.requests === 0) throw new Error(`${peer.name} answered no request in ${scenario.name}`);
  const cpu = front.cpu_ns + (back?.cpu_ns ?? 0);
  const known = seen.own_cpu_ns + cpu + upstream.cpu_ns + other;
  const edge = proxyCpu(peer, front, scenario);
  const measurement: Measurement = {
    round,
    peer: peer.name,
    cpu_us_per_request: cpu / seen.requests / 1000,
    ...(edge === undefined ? {} : { proxy_cpu_us_per_request: edge / seen.requests / 1000 }),
    requests_per_s: seen.requests / seen.secs,
    busy_percent: cpu / seen.secs / 1e7,
    p50_us: seen.p50_us,
    p99_us: seen.p99_us,
    memory_mib: (front.memory_kib + (back?.memory_kib ?? 0)) / 1024,
    bad: seen.wrong + seen.cut + seen.late,
    disturbed: disturbed(seen, known),
  };
  return { measurement, tls: seen.tls };
}

/**
 * The part of the CPUs' time that others had, of which `known` was had by proxy, origin and client. Two bounds hold, and the
 * lower one counts: what these CPUs did, which includes how they fell asleep and woke (a tenth of their time where the client waits for a slow
 * server), and what all processes used, on other CPUs too.
 */
export function disturbed(
  {
    busy_ns,
    processes_ns,
    steal_ns,
    capacity_ns,
  }: Pick<Seen, 'busy_ns' | 'processes_ns' | 'steal_ns' | 'capacity_ns'>,
  known: number,
): number {
  return Math.max(Math.min(busy_ns, processes_ns) - known, steal_ns, 0) / capacity_ns;
}

/** CPU time of the part that stands in front of an app; nothing where there are no two parts. */
function proxyCpu({ behind, proxyThreads }: Peer, front: Watched, { feature }: Scenario): number | undefined {
  if (behind !== undefined) return front.cpu_ns;
  if (proxyThreads === undefined || (feature !== 'app' && feature !== 'websocket')) return undefined;
  const own = Object.entries(front.threads).filter(([name]) => proxyThreads.test(name));
  return own.reduce((sum, [, cpu]) => sum + cpu, 0);
}

/** What the client prints; see `bench/tools/src/bin/load.rs`. */
interface Seen {
  secs: number;
  requests: number;
  wrong: number;
  cut: number;
  late: number;
  /** What handshakes came to, each once. */
  tls: string[];
  p50_us: number;
  p99_us: number;
  own_cpu_ns: number;
  /** Of the CPUs in use. */
  busy_ns: number;
  /** Of all processes, on whichever CPU. */
  processes_ns: number;
  steal_ns: number;
  capacity_ns: number;
  watched: [front: Watched, origin: Watched, ...more: Watched[]];
}

interface Watched {
  cpu_ns: number;
  memory_kib: number;
  /** CPU time by the names of threads. */
  threads: Record<string, number>;
}

/** Rounds one after the other in which a proxy may be missing. */
const MISSED = 2;
/** The first pause; each further one is twice as long, so that a compiler can end meanwhile. */
const PAUSE_MS = 1_000;
