/** The command line of `npm run bench`. */
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { command } from './peers/command.js';
import { ALL_PEERS } from './peers/index.js';
import type { Peer } from './peers/peer.js';
import { SCENARIOS } from './scenarios.js';

/** What to run, on what, for how long. */
export interface Options {
  scenarios: string[];
  /** Names of those that are wanted; empty: each scenario's usual ones. */
  peers: string[];
  /** From the command line. */
  commands: Peer[];
  /** The peer that the others are compared with. */
  base: string;
  secs: number;
  warmup: number;
  rounds: number;
  retries: number;
  /** Part of the CPUs' time, 0 to 1. */
  tolerance: number;
  connections: number;
  steps: number[];
  proxyCpu: number;
  loadCpu: number;
  out: string;
  build: boolean;
}

/** Connections that rest, in the clear and in TLS. */
const IDLE: readonly string[] = ['idle', 'idle-tls'];

/** Scenarios in the order in which they run when none is named. */
export const NAMES: readonly string[] = [...SCENARIOS.map(({ name }) => name), ...IDLE, 'boundary', 'micro'];

export const USAGE = `npm run bench [-- SCENARIO...] [options]

Scenarios: ${NAMES.join(', ')} (all when none is named)

  --peers a,b          of ${[...ALL_PEERS.keys()].join(', ')}
                       (default: all that fit the scenario)
  --cmd 'NAME=COMMAND' another proxy; {port} {origin} {config} {cert} {key} {dir} are filled in (may be repeated)
  --base NAME          what the others are compared with (default: ironsluice, else the first --cmd)
  --secs N             seconds measured a proxy a round (3)
  --warmup N           seconds before that (0.5)
  --rounds N           interleaved rounds (15)
  --connections N      keep-alive connections (64)
  --steps a,b,c        idle connections (0,5000,15000)
  --tolerance PERCENT  time of the CPUs that other processes may take (5)
  --retries N          how often a disturbed measurement is taken again (5)
  --proxy-cpu N        (0)    --load-cpu N  client and origin (1)
  --out DIR            where results go (bench/results)
  --skip-build         measure what is already built
`;

/** Reads the arguments; throws with a sentence for the user. */
export function readOptions(argv: string[], defaultOut: string): Options | 'help' {
  const { values, positionals } = parseArgs({ args: argv, options: FLAGS, allowPositionals: true });
  if (values.help) return 'help';
  const unknown = positionals.filter((name) => !NAMES.includes(name));
  if (unknown.length > 0) throw new Error(`no scenario is called ${unknown.join(', ')}`);
  const peers = (values.peers ?? '').split(',').filter((name) => name !== '');
  const stranger = peers.find((name) => !ALL_PEERS.has(name));
  if (stranger !== undefined) throw new Error(`no peer is called ${stranger} (see --help)`);
  const commands = (values.cmd ?? []).map(command);
  const options: Options = {
    scenarios: positionals.length > 0 ? positionals : [...NAMES],
    peers,
    commands,
    base: values.base ?? commands[0]?.name ?? 'ironsluice',
    secs: number('secs', values.secs, 0.1, 600),
    warmup: number('warmup', values.warmup, 0, 60),
    rounds: number('rounds', values.rounds, 1, 1000),
    retries: number('retries', values.retries, 0, 8),
    tolerance: number('tolerance', values.tolerance, 0, 100) / 100,
    connections: number('connections', values.connections, 1, 10_000),
    steps: values.steps.split(',').map((step) => number('steps', step, 0, 1_000_000)),
    proxyCpu: number('proxy-cpu', values['proxy-cpu'], 0, 1023),
    loadCpu: number('load-cpu', values['load-cpu'], 0, 1023),
    out: values.out ?? defaultOut,
    build: !values['skip-build'],
  };
  if (cpus().length < 2) throw new Error('two CPUs are needed: one for the proxy, one for the client');
  if (options.proxyCpu === options.loadCpu) throw new Error('--proxy-cpu and --load-cpu are the same');
  return options;
}

function number(name: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (text.trim() === '' || !(value >= least && value <= most)) {
    throw new Error(`--${name} ${text}: a number from ${least} to ${most} is needed`);
  }
  return value;
}

const FLAGS = {
  peers: { type: 'string' },
  cmd: { type: 'string', multiple: true },
  base: { type: 'string' },
  secs: { type: 'string', default: '3' },
  warmup: { type: 'string', default: '0.5' },
  rounds: { type: 'string', default: '15' },
  retries: { type: 'string', default: '5' },
  tolerance: { type: 'string', default: '5' },
  connections: { type: 'string', default: '64' },
  steps: { type: 'string', default: '0,5000,15000' },
  'proxy-cpu': { type: 'string', default: '0' },
  'load-cpu': { type: 'string', default: '1' },
  out: { type: 'string' },
  'skip-build': { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const;
