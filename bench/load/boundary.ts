/** The cost of a crossing between JavaScript and Rust: runs `bench/boundary` on the proxy's CPU and reads its rows. */
import { fileURLToPath } from 'node:url';
import type { MicroRow } from './micro.js';
import type { Options } from './options.js';
import { run } from './process.js';

const PROGRAM = fileURLToPath(new URL('../boundary/main.js', import.meta.url));

/** Rows, and what is to be known of them. */
export async function runBoundary(options: Options): Promise<{ rows: MicroRow[]; note: string }> {
  const command = [process.execPath, PROGRAM, '--rounds', String(options.rounds)];
  const { stdout } = await run('taskset', ['-c', String(options.proxyCpu), ...command]);
  const rows = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as MicroRow);
  return { rows, note: NOTE };
}

const NOTE =
  'Nanoseconds a call: median and quartiles of interleaved rounds of about 20 ms. Each row is an exported function with its own ' +
  'work in it; a difference is that of two rows of the same round. No exported function wakes JavaScript from another thread once ' +
  'for a batch, so that is not measured.';
