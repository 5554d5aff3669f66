/**
 * `npm run bench`: this gateway beside nginx, HAProxy, Envoy and the floor, and its apps beside uWebSockets.js, Fastify and
 * `node:http`, on one machine, in one run.
 *
 * Writes a table and its data to `bench/results/` a scenario and prints the table. Exit status: 0, also when we lose;
 * 1 when something could not be measured; 2 for a wrong argument.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runBoundary } from './boundary.js';
import { buildRelease, buildTools } from './build.js';
import { idleMarkdown, runIdle } from './idle.js';
import { commit, machine } from './machine.js';
import { microMarkdown, runMicro } from './micro.js';
import { type Options, readOptions, USAGE } from './options.js';
import { PEERS, TLS_PEERS } from './peers/index.js';
import type { Peer } from './peers/peer.js';
import { ROOT } from './process.js';
import { type Provenance, roundsMarkdown, writeResult } from './report.js';
import { runRounds } from './rounds.js';
import { SCENARIOS, type Scenario, usualPeers } from './scenarios.js';

async function main(): Promise<number> {
  let options: Options | 'help';
  try {
    options = readOptions(process.argv.slice(2), join(ROOT, 'bench/results'));
  } catch (error) {
    console.error(`${message(error)}\n\n${USAGE}`);
    return 2;
  }
  if (options === 'help') {
    console.log(USAGE);
    return 0;
  }
  const wanted = options.scenarios.flatMap((name) => choose(name, options));
  const versions = await versionsOf(new Set(wanted));
  const needsRelease =
    options.scenarios.includes('boundary') || wanted.some(({ name }) => name.startsWith('ironsluice'));
  if (options.build && wanted.length > 0) await buildTools();
  if (options.build && needsRelease) await buildRelease();
  for (const name of options.scenarios) await measure(name, options, versions);
  return 0;
}

async function measure(name: string, options: Options, versions: ReadonlyMap<string, string>): Promise<void> {
  const peers = choose(name, options);
  if (peers.length === 0 && options.peers.length > 0 && !['micro', 'boundary'].includes(name)) {
    console.log(`\n${name}: none of ${options.peers.join(', ')} fits it, skipped`);
    return;
  }
  const scenario = SCENARIOS.find((scenario) => scenario.name === name);
  const isSecure = scenario?.tls === true || name === 'idle-tls';
  const own = await Promise.all(
    peers.map(async (peer) => {
      const library = isSecure ? await peer.library?.() : undefined;
      const version = versions.get(peer.name) ?? '';
      return [peer.name, library === undefined ? version : `${version} with ${library}`] as const;
    }),
  );
  const about: Omit<Provenance, 'about' | 'settings'> = {
    scenario: name,
    date: new Date().toISOString().slice(0, 16).replace('T', ' '),
    commit: await commit(),
    machine: machine(),
    versions: Object.fromEntries(own),
  };
  console.log(`\n${name}: ${own.map((pair) => pair.join(' ')).join(', ')}`);
  if (scenario) return measureRounds(scenario, peers, options, about);
  const { out } = options;
  if (name === 'boundary') {
    const { rows, note } = await runBoundary(options);
    const settings = { 'on CPU': options.proxyCpu, rounds: options.rounds };
    const provenance = { ...about, about: 'one crossing between JavaScript and Rust', settings };
    console.log(await writeResult(out, provenance, `${microMarkdown(rows)}\n\n${note}`, { rows }));
    return;
  }
  if (name === 'micro') {
    const rows = await runMicro();
    const provenance = { ...about, about: 'algorithms beside the best crates', settings: {} };
    console.log(await writeResult(out, provenance, microMarkdown(rows), { rows }));
    return;
  }
  const results = await runIdle(peers, options, isSecure);
  const settings = { connections: options.steps.join(' then ') };
  const what = isSecure ? 'TLS 1.3 connections' : 'connections';
  const provenance = { ...about, about: `${what} that served a request and rest`, settings };
  console.log(await writeResult(out, provenance, idleMarkdown(results), { results }));
}

async function measureRounds(
  scenario: Scenario,
  peers: readonly Peer[],
  options: Options,
  about: Omit<Provenance, 'about' | 'settings'>,
): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'bench-'));
  try {
    const rounds = await runRounds(scenario, peers, options, dir);
    if (rounds.taken.length === 0) {
      throw new Error(`${scenario.name}: every measurement was disturbed by another process`);
    }
    const settings = {
      connections: options.connections,
      rounds: options.rounds,
      seconds: options.secs,
      'proxy on CPU': options.proxyCpu,
      'client and origin on CPU': options.loadCpu,
      'other processes at most %': options.tolerance * 100,
      ...(rounds.tls === undefined ? {} : { 'TLS with': rounds.tls }),
    };
    const provenance = { ...about, about: scenario.about, settings };
    const body = roundsMarkdown(rounds, options.base, scenario.bounds);
    console.log(`\n${await writeResult(options.out, provenance, body, rounds)}`);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

/**
 * The peers of a scenario: those asked for that fit it, else its usual ones. A command takes the place of this gateway, unless
 * peers were asked for too.
 */
function choose(name: string, { peers, commands }: Options): readonly Peer[] {
  if (name === 'micro' || name === 'boundary') return [];
  const scenario = SCENARIOS.find((scenario) => scenario.name === name);
  const idle = name === 'idle-tls' ? TLS_PEERS : PEERS;
  const fitting = scenario ? usualPeers(scenario) : idle;
  const usual = scenario ? fitting : fitting.filter((peer) => IDLE_PEERS.includes(peer.name));
  const others = commands.length > 0 ? usual.filter((peer) => peer.name !== 'ironsluice') : usual;
  const chosen = peers.length > 0 ? fitting.filter((peer) => peers.includes(peer.name)) : others;
  return [...commands, ...chosen];
}

async function versionsOf(peers: ReadonlySet<Peer>): Promise<Map<string, string>> {
  const versions = new Map<string, string>();
  const faults: string[] = [];
  for (const peer of peers) {
    try {
      versions.set(peer.name, await peer.version());
    } catch (error) {
      faults.push(message(error));
    }
  }
  if (faults.length > 0) throw new Error(faults.join('\n'));
  return versions;
}

function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** HAProxy and Envoy reserve by their own settings; nginx is the one that a connection's cost is compared with. */
const IDLE_PEERS = ['ironsluice', 'nginx'];

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  // Ends the children too: see `process.ts`.
  process.once(signal, () => process.exit(130));
}
main().then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    console.error(message(error));
    process.exitCode = 1;
  },
);
