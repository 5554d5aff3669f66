/**
 * limiters: a rate limit of many keys in Node, ours (`Gcra` of `ironsluice/parts`) beside rate-limiter-flexible's in memory.
 *
 * Prints a line of JSON a row, as `bench/micro` does. Each is called as its users call it: ours answers at once, theirs with a promise
 * that is awaited, and with an exception for a refusal. Rounds are interleaved; `--rounds N` (15). Argument: where the package is installed.
 */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Gcra } from '#bindings';
import { spread } from '../load/stats.js';

interface Memory {
  consume(key: string): Promise<unknown>;
}
type Flexible = {
  RateLimiterMemory: new (options: { points: number; duration: number }) => Memory;
};

/** Keys, as many as the rows of `bench/micro` have. */
const KEYS = Array.from({ length: 10_000 }, (_, i) => `2001:db8::${i.toString(16)}`);
/** Calls of one in a round. */
const CALLS = 200_000;
/** More than all rounds use. */
const ENDLESS = 4_000_000_000;

const { values, positionals } = parseArgs({
  options: { rounds: { type: 'string', default: '15' } },
  allowPositionals: true,
});
const require = createRequire(join(positionals[0] ?? '.', 'package.json'));
const { RateLimiterMemory } = require('rate-limiter-flexible') as Flexible;

for (const [name, points] of [
  ['node_keyed_admit', ENDLESS],
  ['node_keyed_refuse', 1],
] as const) {
  const ours = new Gcra({ count: points, periodMs: 3_600_000, burst: points, maxKeys: 2 * KEYS.length });
  const theirs = new RateLimiterMemory({ points, duration: 3_600 });
  const times: { ours: number; theirs: number }[] = [];
  for (let round = 0; round <= Number(values.rounds); round += 1) {
    const time = { ours: 0, theirs: 0 };
    const own = async (): Promise<void> => {
      time.ours = measure((key) => ours.check(key).allowed);
    };
    const other = async (): Promise<void> => {
      time.theirs = await measureAwaited((key) => theirs.consume(key));
    };
    for (const run of round % 2 === 0 ? [own, other] : [other, own]) await run();
    // The first one fills the tables.
    if (round > 0) times.push(time);
  }
  const median = (of: (time: { ours: number; theirs: number }) => number): number =>
    spread(times.map(of)).median;
  const row = {
    name,
    rival: 'rate-limiter-flexible',
    ours_ns: median((t) => t.ours),
    theirs_ns: median((t) => t.theirs),
    ratio: median((t) => t.ours / t.theirs),
    rounds: times.length,
  };
  console.log(JSON.stringify(row));
}

/** Nanoseconds a call. */
function measure(call: (key: string) => unknown): number {
  const began = process.hrtime.bigint();
  for (let i = 0; i < CALLS; i += 1) call(KEYS[i % KEYS.length] as string);
  return Number(process.hrtime.bigint() - began) / CALLS;
}

async function measureAwaited(call: (key: string) => Promise<unknown>): Promise<number> {
  const began = process.hrtime.bigint();
  for (let i = 0; i < CALLS; i += 1) {
    try {
      await call(KEYS[i % KEYS.length] as string);
    } catch {
      // A refusal.
    }
  }
  return Number(process.hrtime.bigint() - began) / CALLS;
}
