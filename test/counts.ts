/**
 * Reads how many tests passed from what test runners print.
 *
 * Known: `cargo test` (one `test result:` line a program, summed) and the spec and TAP reporters of `node --test`
 * (one closing list). Lines may carry colours.
 */

/** How many tests ended how. */
export interface Counts {
  passed: number;
  failed: number;
  /** Ignored, skipped or still to do. */
  skipped: number;
}

/** Adds what one line says to `counts`; most lines say nothing. */
export function count(line: string, counts: Counts): void {
  const text = line.replace(COLOUR, '');
  const cargo = CARGO.exec(text);
  if (cargo) {
    counts.passed += Number(cargo[1]);
    counts.failed += Number(cargo[2]);
    counts.skipped += Number(cargo[3]);
    return;
  }
  const node = NODE.exec(text);
  const key = node?.[1] && KEYS[node[1]];
  if (key) counts[key] += Number(node?.[2]);
}

const CARGO = /^test result: .*?(\d+) passed; (\d+) failed; (\d+) ignored/;
const NODE = /^(?:ℹ|#) (pass|fail|cancelled|skipped|todo) (\d+)$/;
const KEYS: Record<string, keyof Counts> = {
  pass: 'passed',
  fail: 'failed',
  // A test whose file or suite ended before it: it did not pass.
  cancelled: 'failed',
  skipped: 'skipped',
  todo: 'skipped',
};
// biome-ignore lint/suspicious/noControlCharactersInRegex: the escape character begins a colour
const COLOUR = /\x1b\[[0-9;]*m/g;
