/** The side-by-side benchmark's own arithmetic and manners: a wrong median or a lost row would be a wrong claim. */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { readOptions } from '../bench/load/options.js';
import { command } from '../bench/load/peers/command.js';
import { PEERS } from '../bench/load/peers/index.js';
import { roundsMarkdown } from '../bench/load/report.js';
import type { Measurement } from '../bench/load/rounds.js';
import { spread } from '../bench/load/stats.js';

test('spread: quartiles are interpolated, and nothing has none', () => {
  assert.deepEqual(spread([4, 1, 3, 2]), { median: 2.5, q1: 1.75, q3: 3.25, min: 1, max: 4, count: 4 });
  assert.deepEqual(spread([7]), { median: 7, q1: 7, q3: 7, min: 7, max: 7, count: 1 });
  assert.throws(() => spread([]));
});

test('a report pairs the rounds that both have, and shows what was lost', () => {
  const taken = [
    measurement(0, 'ours', 12),
    measurement(0, 'theirs', 10),
    measurement(1, 'ours', 30),
    measurement(2, 'ours', 12),
    measurement(2, 'theirs', 10),
  ];
  const text = roundsMarkdown({ taken, refused: 3, missing: 1 }, 'ours');
  assert.match(text, /\| ours \| 12\.0 \(12\.0–21\.0\) \|.*\| 3 \|\n/);
  assert.match(
    text,
    /\| CPU µs\/request beside theirs \| 1\.200 \| 1\.200–1\.200 \| 1\.200–1\.200 \| 2 \| behind \|/,
  );
  assert.match(text, /\| requests\/s beside theirs \|.*\| even \|/);
  assert.match(text, /another process ran: 3; left out after all retries: 1/);
});

test('wrong arguments are refused', () => {
  for (const argv of [
    ['h3'],
    ['--peers', 'apache'],
    ['--secs', '0'],
    ['--rounds', 'x'],
    ['--cmd', 'true'],
    ['--x'],
  ]) {
    assert.throws(() => readOptions(argv, 'out'), argv.join(' '));
  }
  assert.equal(readOptions(['--help'], 'out'), 'help');
});

test('each peer writes a configuration that names its port and the origin', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'bench-test-'));
  try {
    const mine = command('mine=serve {port} {origin} {unknown} < {config}');
    for (const peer of [...PEERS, mine]) {
      for (const feature of ['plain', 'limit'] as const) {
        const setting = { dir, port: 18081, origin: '127.0.0.1:18082', feature };
        const argv = await peer.prepare(setting);
        const files = argv.join(' ').match(new RegExp(`${dir}/\\S+\\.(conf|cfg|json)`, 'g')) ?? [];
        const texts = await Promise.all(files.map((file) => readFile(file, 'utf8')));
        const all = [...argv, ...texts].join('\n');
        for (const want of ['18081', '18082']) assert.ok(all.includes(want), `${peer.name}: ${all}`);
        if (peer.lacks?.includes(feature)) continue;
        assert.equal(feature === 'limit', /\b10{6,7}(?!\d)/.test(all), `${peer.name}, ${feature}: ${all}`);
      }
    }
    const argv = await mine.prepare({ dir, port: 1, origin: 'o:2', feature: 'plain' });
    assert.deepEqual(argv, ['sh', '-c', `exec serve 1 o:2 {unknown} < ${dir}/ironsluice.json`]);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
});

function measurement(round: number, peer: string, cpu_us_per_request: number): Measurement {
  const same = { requests_per_s: 1000, p50_us: 5, p99_us: 9, memory_mib: 2, bad: 0, disturbed: 0 };
  return { round, peer, cpu_us_per_request, ...same };
}
