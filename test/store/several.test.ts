/**
 * The script of several limits, in real servers whose clock the test sets: all are charged, or none, with the replies of the
 * scripts of one limit. In Redis, and in Valkey; and in a cluster, where the keys of a call are in one slot.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadScripts } from '../../ts/store/scripts.js';
import { cluster, hasParts, type RedisServer, redis, VALKEY } from '../kit/redis.js';
import { until } from '../kit/until.js';
import { connected } from './client.js';

const SCRIPTS = loadScripts();
const M = 60_000_000;
const HOUR = 3_600;
/** Microseconds that a case may take; much more than it does. */
const SLACK = 20_000_000;

/** The limits of a case as the script has them: three tokens of a minute each, and windows of ten minutes. */
const GCRA = [1, 60e9, 3];
const window = (which: number, limit: number): number[] => [which, 10 * M, limit];

/** The clock is set `at` seconds from when the case began; then a call of this cost has this reply. */
type Step = [at: number, cost: number, reply: number[]];

const CASES: Record<string, { limits: number[][]; steps: Step[] }> = {
  'the strictest refuses, and nothing is used of any': {
    limits: [GCRA, window(2, 5), window(3, 2), window(4, 9)],
    steps: [
      [0, 1, [1, M, 0, 1, 1, 10 * M, 0, 1, 1, 20 * M, 0, 1, 1, 10 * M, 0]],
      [0, 1, [1, 2 * M, 0, 1, 2, 10 * M, 0, 1, 2, 20 * M, 0, 1, 2, 10 * M, 0]],
      [0, 1, [1, 2 * M, 0, 1, 2, 10 * M, 0, 0, 2, 20 * M, 15 * M, 1, 2, 10 * M, 0]],
      [0, 1, [1, 2 * M, 0, 1, 2, 10 * M, 0, 0, 2, 20 * M, 15 * M, 1, 2, 10 * M, 0]],
      [0, 0, [0, 2 * M, 0, 0, 2, 10 * M, 0, 0, 2, 20 * M, 0, 0, 2, 10 * M, 0]],
    ],
  },
  'the last may refuse, and the first': {
    limits: [window(2, 3), GCRA, window(4, 2)],
    steps: [
      [0, 2, [2, 2, 10 * M, 0, 2, 2 * M, 0, 2, 2, 10 * M, 0]],
      [0, 1, [1, 2, 10 * M, 0, 1, 2 * M, 0, 0, 2, 10 * M, 10 * M]],
      [630, 2, [2, 2, 10 * M, 0, 2, 2 * M, 0, 2, 2, 10 * M, 0]],
      [660, 2, [0, 2, 9.5 * M, 9.5 * M, 0, 1.5 * M, 0.5 * M, 0, 2, 9.5 * M, 9.5 * M]],
      [720, 1, [1, 2, 8.5 * M, 0, 1, 0.5 * M, 0, 0, 2, 8.5 * M, 8.5 * M]],
    ],
  },
  'two limits of one kind': {
    limits: [window(2, 2), window(2, 1)],
    steps: [
      [0, 1, [1, 1, 10 * M, 0, 1, 1, 10 * M, 0]],
      [0, 1, [1, 1, 10 * M, 0, 0, 1, 10 * M, 10 * M]],
    ],
  },
  one: {
    limits: [GCRA],
    steps: [
      [0, 3, [3, 3 * M, 0]],
      [0, 1, [0, 3 * M, M]],
    ],
  },
  'a clock that is set back an hour is mended by a refusal, of those too that do not refuse': {
    limits: [window(4, 2), window(2, 9), GCRA],
    steps: [
      [0, 2, [2, 2, 10 * M, 0, 2, 2, 10 * M, 0, 2, 2 * M, 0]],
      [-HOUR, 1, [0, 2, 10 * M, 10 * M, 1, 2, 10 * M, 0, 0, 3 * M, M]],
      [-HOUR + 300, 1, [0, 2, 5 * M, 5 * M, 1, 2, 5 * M, 0, 1, 0, 0]],
      [-HOUR + 630, 2, [2, 2, 10 * M, 0, 2, 2, 10 * M, 0, 2, 2 * M, 0]],
    ],
  },
  'a clock that is set back is mended by an admission': {
    limits: [window(4, 3), window(3, 9)],
    steps: [
      [0, 2, [2, 2, 10 * M, 0, 2, 2, 20 * M, 0]],
      [-HOUR, 1, [1, 3, 10 * M, 0, 1, 3, 20 * M, 0]],
      [-HOUR + 300, 1, [0, 3, 5 * M, 5 * M, 1, 3, 15 * M, 0]],
    ],
  },
};

const PROGRAMS: [name: string, program: string | undefined, part: 'faketime' | 'valkey'][] = [
  ['Redis', 'redis-server', 'faketime'],
  ['Valkey', VALKEY, 'valkey'],
];
for (const [name, program, part] of PROGRAMS) {
  test(`several limits in ${name}`, async (t) => {
    if (!hasParts(t, part, 'faketime')) return;
    const server = await redis(t, { program: program ?? '', hasClock: true });
    let base = 0;
    for (const [what, { limits, steps }] of Object.entries(CASES)) {
      base += 3 * HOUR;
      await t.test(what, () => check(server, what, { limits, steps, base }));
    }
    await t.test('a refusal writes nothing', async () => {
      await run(server, 'nothing', [GCRA, window(2, 1), window(3, 1), window(4, 1)], 2);
      assert.deepEqual(await server.admin.keys('{nothing}*'), []);
    });
    await t.test('a log has at most 1024 entries', () =>
      assert.rejects(run(server, 'x', [GCRA, window(4, 1_025)], 1), /at most 1024/),
    );
  });
}

test('in a cluster a call has its keys in one slot, and reaches whoever has them', async (t) => {
  const servers = await cluster(t);
  const client = await connected(t, { urls: servers.map(({ url }) => url), isCluster: true });
  const script = SCRIPTS.get('several');
  assert.ok(script !== undefined);
  const call = (name: string): Promise<unknown> =>
    new Promise((resolve) => {
      const keys = ['a', 'b'].map((key) => Buffer.from(`{${name}}:${key}`));
      const args = [1, ...window(2, 3), ...window(2, 2)];
      client.call(script, keys, args, Number.POSITIVE_INFINITY, resolve);
    });
  const names = Array.from({ length: 12 }, (_, n) => `n${n}`);
  const used = async (): Promise<number> => ((await call('first')) as { values?: number[] }).values?.[0] ?? 0;
  await until(async () => (await used()) > 0, 'the cluster answers');
  for (const granted of [1, 1, 0]) {
    const outcomes = await Promise.all(names.map(call));
    for (const outcome of outcomes) {
      const { type, values } = outcome as { type: string; values?: number[] };
      assert.deepEqual([type, values?.[4]], ['replied', granted]);
    }
  }
});

async function run(server: RedisServer, name: string, limits: number[][], cost: number): Promise<number[]> {
  const keys = limits.map((_, n) => `{${name}}:${n}`);
  const args = [cost, ...limits.flat()];
  const lua = SCRIPTS.get('several')?.lua ?? '';
  return (await server.admin.eval(lua, keys.length, ...keys, ...args)) as number[];
}

async function check(
  server: RedisServer,
  name: string,
  { limits, steps, base }: { limits: number[][]; steps: Step[]; base: number },
): Promise<void> {
  const times = limits.flatMap(([which]) => (which === 1 ? [false, true, true] : [false, false, true, true]));
  let clock = Number.NaN;
  for (const [i, [at, cost, wanted]] of steps.entries()) {
    if (at !== clock) await server.setClock(base + at);
    clock = at;
    const reply = await run(server, name, limits, cost);
    const where = `step ${i + 1}: ${reply} for ${wanted}`;
    assert.equal(reply.length, wanted.length, where);
    for (const [n, value] of wanted.entries()) {
      const got = reply[n] ?? Number.NaN;
      if (times[n] !== true) assert.equal(got, value, where);
      else assert.ok(Math.abs(got - value) <= SLACK && got > 0 === value > 0, where);
    }
  }
}
