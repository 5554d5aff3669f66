/** The Rust benchmarks of `bench/micro`, and Node's of `bench/limiters`: runs them and makes a table of the JSON rows that they print. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { FOLDER, installed } from './peers/servers.js';
import { ROOT, run } from './process.js';
import { digits, type Row, table } from './report.js';

const LIMITERS = fileURLToPath(new URL('../limiters/main.js', import.meta.url));

/** One row as printed: a line of JSON, an object of numbers and strings. */
export type MicroRow = Record<string, number | string>;

/** Runs the benchmarks, showing what they print, and returns their rows. */
export async function runMicro(): Promise<MicroRow[]> {
  const args = ['bench', '-p', 'bench-micro', '--features', 'micro', '--bench', 'ratios', '--', '--json'];
  const child = spawn('cargo', args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  const rows: MicroRow[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    if (line.startsWith('{')) rows.push(JSON.parse(line) as MicroRow);
    else console.log(line);
  }
  const code = await ended;
  if (code !== 0) throw new Error(`cargo ${args.join(' ')} ended with ${code}`);
  if (rows.length === 0) throw new Error('bench-micro printed no row');
  await installed('rate-limiter-flexible');
  const { stdout } = await run(process.execPath, [LIMITERS, FOLDER]);
  const lines = stdout.trim().split('\n');
  return [...rows, ...lines.map((line) => JSON.parse(line) as MicroRow)];
}

/** The table of a result file. */
export function microMarkdown(rows: readonly MicroRow[]): string {
  return table(
    rows.map((row): Row => {
      const cells = Object.entries(row).map(([key, value]) => [key, cell(value)] as const);
      return Object.fromEntries(cells);
    }),
  );
}

function cell(value: unknown): string {
  if (typeof value === 'number') return Number.isInteger(value) ? String(value) : digits(value);
  return typeof value === 'string' ? value : JSON.stringify(value);
}
