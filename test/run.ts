/**
 * All checks and tests, one step after the other: what `npm test` and `npm run ready` run when all is built.
 *
 *   node dist/test/run.js             every step
 *   node dist/test/run.js fmt clippy  these only
 *
 * A step that fails does not stop the others. Prints how long each took, and closes with `N passed, N failed` alone on
 * a line: the tests of the steps that count, and one failure for each other step that failed. A step that
 * should count tests and counts none fails. With `CI` set, so does one of Node's that skips a test: a missing part is no success.
 * Exit status: 0 when nothing failed, else 1; 2 for an unknown step.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { type Counts, count } from './counts.js';

interface Step {
  name: string;
  argv: string[];
  /** Prints counts of tests; `whole`: and must skip none in CI. */
  tests?: 'counted' | 'whole';
}

interface Result {
  name: string;
  counts: Counts;
  seconds: number;
  /** Why the step failed, beyond what its tests said. */
  fault: string | undefined;
}

/** This file runs as `dist/test/run.js`. */
const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const TESTS = 'dist/test';
/** Tests of the repository itself: code, types, documentation and tests name the same things. */
const INVENTORY = 'dist/test/inventory';

const STEPS: readonly Step[] = [
  { name: 'fmt', argv: ['cargo', 'fmt', '--all', '--check'] },
  { name: 'clippy', argv: ['cargo', 'clippy', '--workspace', '--all-targets', '--', '-D', 'warnings'] },
  { name: 'tsc', argv: ['node_modules/.bin/tsc', '--project', '.', '--noEmit'] },
  { name: 'biome', argv: ['node_modules/.bin/biome', 'check', '.'] },
  {
    name: 'gen',
    argv: ['sh', '-c', 'npm run --silent gen && git diff --exit-code -- "$@"', 'gen', ...generated()],
  },
  { name: 'cargo', argv: ['cargo', 'test', '--workspace', '--no-fail-fast'], tests: 'counted' },
  { name: 'node', argv: nodeTests(TESTS, INVENTORY), tests: 'whole' },
  { name: 'inventory', argv: nodeTests(INVENTORY), tests: 'whole' },
];

/** A step that takes longer is ended: the whole has 90 minutes. */
const LIMIT_MS = 30 * 60_000;

const NO_TESTS: Counts = { passed: 0, failed: 0, skipped: 0 };

async function main(names: string[]): Promise<number> {
  const unknown = names.filter((name) => !STEPS.some((step) => step.name === name));
  if (unknown.length > 0) {
    console.error(
      `no step is called ${unknown.join(', ')}; there are ${STEPS.map(({ name }) => name).join(', ')}`,
    );
    return 2;
  }
  const results: Result[] = [];
  for (const step of STEPS) {
    if (names.length > 0 && !names.includes(step.name)) continue;
    console.log(`\n── ${step.name}: ${step.argv.slice(0, 6).join(' ')}`);
    results.push(await runStep(step));
  }
  return close(results);
}

async function runStep(step: Step): Promise<Result> {
  const began = performance.now();
  const counts = { ...NO_TESTS };
  const ended = await stream(step.argv, (line) => count(line, counts));
  const seconds = (performance.now() - began) / 1000;
  return { name: step.name, counts, seconds, fault: fault(step, counts, ended) };
}

function fault(step: Step, counts: Counts, ended: string | undefined): string | undefined {
  // Failed tests have said so themselves.
  if (ended !== undefined) return counts.failed > 0 ? undefined : ended;
  if (!step.tests) return undefined;
  if (counts.passed + counts.failed === 0) return 'no test ran';
  const skips = step.tests === 'whole' && process.env.CI !== undefined && counts.skipped > 0;
  return skips ? `${counts.skipped} tests skipped` : undefined;
}

/** Runs a command with its output shown and each line of it seen. Resolves to why it failed. */
function stream(argv: string[], see: (line: string) => void): Promise<string | undefined> {
  const [file = '', ...args] = argv;
  const child = spawn(file, args, {
    cwd: ROOT,
    // A group of its own, so that what it started can be ended with it.
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
    // Where Debian keeps nginx and HAProxy.
    env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` },
  });
  running = child;
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    endGroup(child);
  }, LIMIT_MS);
  createInterface({ input: child.stdout }).on('line', (line) => {
    console.log(line);
    see(line);
  });
  return new Promise((resolve) => {
    child.once('error', (error) => {
      clearTimeout(timer);
      resolve(error.message);
    });
    child.once('close', (code, signal) => {
      clearTimeout(timer);
      running = undefined;
      if (late) resolve(`not done after ${LIMIT_MS / 60_000} minutes`);
      else resolve(code === 0 ? undefined : `ended with ${code ?? signal}`);
    });
  });
}

function close(results: readonly Result[]): number {
  const sum = { ...NO_TESTS };
  console.log('\n── parts');
  for (const { name, counts, seconds, fault } of results) {
    sum.passed += counts.passed;
    sum.failed += counts.failed + (fault ? 1 : 0);
    sum.skipped += counts.skipped;
    const state = fault ?? (counts.failed > 0 ? `${counts.failed} failed` : 'ok');
    const tests = counts.passed + counts.failed > 0 ? `${counts.passed} passed` : '';
    console.log(`${name.padEnd(10)} ${seconds.toFixed(1).padStart(7)} s  ${tests.padEnd(12)} ${state}`);
  }
  const whole = results.reduce((total, { seconds }) => total + seconds, 0);
  console.log(`${'all'.padEnd(10)} ${whole.toFixed(1).padStart(7)} s  ${sum.skipped} ignored or skipped`);
  console.log(`${sum.passed} passed, ${sum.failed} failed`);
  return sum.failed > 0 ? 1 : 0;
}

/** Node 20 takes files, not patterns. */
function nodeTests(folder: string, without?: string): string[] {
  const base = join(ROOT, folder);
  const found = existsSync(base) ? readdirSync(base, { recursive: true, encoding: 'utf8' }) : [];
  const files = found
    .map((file) => join(folder, file))
    .filter((file) => file.endsWith('.test.js') && !(without && file.startsWith(`${without}/`)));
  if (files.length === 0) return ['sh', '-c', `echo 'no test file in ${folder}' >&2; exit 1`];
  return [process.execPath, '--test', '--test-reporter=spec', ...files.sort()];
}

/** Files that programs write and the repository keeps. */
function generated(): string[] {
  return [
    'bindings/index.d.ts',
    'bindings/config.schema.json',
    'bindings/npm',
    'ts/generated',
    'docs/reference',
  ];
}

function endGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    // It ended by itself.
  }
}

let running: ChildProcess | undefined;
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    if (running) endGroup(running);
    process.exit(130);
  });
}
process.exitCode = await main(process.argv.slice(2));
