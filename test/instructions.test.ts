/**
 * Instructions of wire and core for one proxied request with three filters, beside the number that is kept in
 * `test/golden/instructions.json`.
 *
 * Callgrind counts two runs of `crates/core/examples/one_request.rs`; their difference leaves out the start. The
 * number belongs to a compiler, a target and what the CPU offers: elsewhere it is only told. Growth over 3 % fails. To
 * take a new number over: `KEEP_INSTRUCTIONS=1 node --test dist/test/instructions.test.js`.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

/** What a number of instructions depends on beside our own code. */
interface Setting {
  rustc: string;
  target: string;
  profile: string;
  /** Vector instructions, by which libraries choose among their routines. */
  cpu: string;
}

interface Snapshot extends Setting {
  instructions_per_request: number;
}

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const GOLDEN = join(ROOT, 'test/golden/instructions.json');
const MOST_GROWTH = 0.03;
const run = promisify(execFile);

test('instructions of one request have not grown', async (t) => {
  if (!(await has('valgrind'))) {
    // In CI the runner takes a skipped test for a failure.
    t.skip('valgrind is missing: sh test/kit/parts.sh installs it');
    return;
  }
  const program = await build();
  const few = await instructions(t, program, 100);
  const many = await instructions(t, program, 1100);
  const now: Snapshot = { ...(await setting()), instructions_per_request: Math.round((many - few) / 1000) };
  t.diagnostic(`${now.instructions_per_request} instructions`);
  if (process.env.KEEP_INSTRUCTIONS) {
    writeFileSync(GOLDEN, `${JSON.stringify(now, undefined, 2)}\n`);
    return;
  }
  const kept = JSON.parse(readFileSync(GOLDEN, 'utf8')) as Snapshot;
  const same = (['rustc', 'target', 'profile', 'cpu'] as const).every((key) => kept[key] === now[key]);
  if (!same) {
    t.diagnostic(`not compared: ${JSON.stringify(now)} is not the setting of ${JSON.stringify(kept)}`);
    return;
  }
  const growth = now.instructions_per_request / kept.instructions_per_request - 1;
  const told = `${now.instructions_per_request} after ${kept.instructions_per_request}: ${(growth * 100).toFixed(1)} %`;
  assert.ok(growth <= MOST_GROWTH, told);
});

test('a match among 10,000 routes costs under a tenth of a request', async (t) => {
  if (!(await has('valgrind'))) {
    t.skip('valgrind is missing: sh test/kit/parts.sh installs it');
    return;
  }
  const program = await build();
  const alone = (await instructions(t, program, 1100)) - (await instructions(t, program, 100));
  const among =
    (await instructions(t, program, 1100, 10_000)) - (await instructions(t, program, 100, 10_000));
  const match = (among - alone) / 1000;
  t.diagnostic(`${match} instructions more than with one route, of ${alone / 1000}`);
  assert.ok(match > 0, 'the routes are there');
  assert.ok(match < alone / 1000 / 10, `${match} of ${alone / 1000}`);
});

async function has(program: string): Promise<boolean> {
  return run(program, ['--version']).then(
    () => true,
    () => false,
  );
}

/** The example's path, built as the tests are. */
async function build(): Promise<string> {
  const args = ['build', '-q', '--workspace', '--example', 'one_request', '--message-format=json'];
  const { stdout } = await run('cargo', args, { cwd: ROOT, maxBuffer: 64 << 20 });
  for (const line of stdout.split('\n')) {
    if (!line.includes('"executable":"')) continue;
    const { executable, target } = JSON.parse(line) as { executable: string; target: { name: string } };
    if (target.name === 'one_request') return executable;
  }
  throw new Error(`cargo named no program:\n${stdout}`);
}

async function instructions(t: TestContext, program: string, requests: number, routes = 0): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'instructions-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const out = `--callgrind-out-file=${join(folder, 'out')}`;
  const { stdout, stderr } = await run('valgrind', [
    '--tool=callgrind',
    out,
    program,
    String(requests),
    String(routes),
  ]);
  assert.match(stdout, new RegExp(`^${requests} requests, [1-9]\\d* bytes`));
  const found = /Collected : (\d+)/.exec(stderr)?.[1];
  assert.ok(found, stderr);
  return Number(found);
}

async function setting(): Promise<Setting> {
  const { stdout } = await run('rustc', ['-vV']);
  const field = (name: string): string => new RegExp(`^${name}: (.*)$`, 'm').exec(stdout)?.[1] ?? '';
  const flags = /^flags\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1]?.split(' ') ?? [];
  const cpu = ['sse4_2', 'avx2', 'erms', 'fsrm'].filter((flag) => flags.includes(flag)).join(' ');
  return { rustc: `${field('release')} ${field('commit-hash')}`, target: field('host'), profile: 'dev', cpu };
}
