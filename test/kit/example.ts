/**
 * example: a folder of docs/examples for one test, run by the commands of its README; ended when the test ends.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { command, type Running } from './binary.js';

/** Where the examples are. */
export const EXAMPLES = fileURLToPath(new URL('../../../docs/examples/', import.meta.url));

/**
 * Starts `line`, which has to be a command of the README of `name`, in its folder. Variables give it free ports in
 * place of those that the README has.
 */
export function example(t: TestContext, name: string, line: string, env: Record<string, string>): Running {
  const known = commands(name);
  assert.ok(
    known.includes(line),
    `the README of ${name} has no command "${line}", only: ${known.join('; ')}`,
  );
  const [file = '', ...words] = line.split(' ');
  return command(t, file, words, { cwd: join(EXAMPLES, name), env, isGroup: true });
}

/** The lines of the README's blocks for a shell, without comments. */
export function commands(name: string): string[] {
  const text = readFileSync(join(EXAMPLES, name, 'README.md'), 'utf8');
  const blocks = [...text.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, inside = '']) => inside);
  return blocks
    .flatMap((block) => block.split('\n').map((line) => line.replace(/\s+#.*$/, '').trim()))
    .filter(Boolean);
}
