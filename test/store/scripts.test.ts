/**
 * The scripts of the store, in real servers whose clock the test sets: a table of calls and replies for each. In Redis, and in
 * Valkey.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { loadScripts } from '../../ts/store/scripts.js';
import { hasParts, type RedisServer, redis, VALKEY } from '../kit/redis.js';

const SCRIPTS = loadScripts();
const SECOND = 1_000_000;
const HOUR = 3_600;

/**
 * The clock is set `at` so many seconds from when the case began; then a call with these arguments has this reply. Between two
 * calls the true time runs on too, a little: times may be up to {@link SLACK} below what is said.
 */
type Step = [at: number, args: number[], reply: number[]];

/** Microseconds that a case may take; much more than it does. */
const SLACK = 20 * SECOND;

/** Tokens of a minute each, so that what a case takes is nothing. */
const MINUTE_NS = 60e9;
const M = 60 * SECOND;
/** interval, burst, slack, least, most, charge */
const gcra = (least: number, most = least, charge = 0, burst = 3, slack = 0): number[] => [
  MINUTE_NS,
  burst,
  slack,
  least,
  most,
  charge,
];
const window = (cost: number, limit = 3): number[] => [10 * M, limit, cost];

const CASES: Record<string, Record<string, Step[]>> = {
  gcra: {
    'the burst, and then one a minute': [
      [0, gcra(1), [1, M, 0]],
      [0, gcra(1), [1, 2 * M, 0]],
      [0, gcra(1), [1, 3 * M, 0]],
      [0, gcra(1), [0, 3 * M, M]],
      [80, gcra(1), [1, 3 * M - 20 * SECOND, 0]],
      [80, gcra(1), [0, 3 * M - 20 * SECOND, 40 * SECOND]],
      [HOUR, gcra(1), [1, M, 0]],
    ],
    'as many as fit, at most `most`, and none if fewer than `least` fit': [
      [0, gcra(1, 2), [2, 2 * M, 0]],
      [0, gcra(2, 5), [0, 2 * M, M]],
      [0, gcra(1, 5), [1, 3 * M, 0]],
    ],
    'a refusal consumes nothing': [
      [0, gcra(3), [3, 3 * M, 0]],
      [0, gcra(1), [0, 3 * M, M]],
      [0, gcra(1), [0, 3 * M, M]],
      [0, gcra(1), [0, 3 * M, M]],
      [80, gcra(1), [1, 3 * M - 20 * SECOND, 0]],
    ],
    'what was admitted already counts, whether it fits or not': [
      [0, gcra(1, 1, 2), [1, 3 * M, 0]],
      [0, gcra(0, 0, 2), [0, 5 * M, 0]],
      [0, gcra(1), [0, 5 * M, 3 * M]],
    ],
    'a charge that is granted nothing is kept': [
      [0, gcra(3, 3, 1), [0, M, M]],
      [0, gcra(2), [2, 3 * M, 0]],
    ],
    'the debt is at most a burst beyond the bucket': [
      [0, gcra(0, 0, 100), [0, 100 * M, 0]],
      [0, gcra(1), [0, 6 * M, 4 * M]],
    ],
    'leases run ahead by the slack': [
      [0, gcra(4, 4, 0, 3, M), [4, 4 * M, 0]],
      [0, gcra(1, 1, 0, 3, M), [0, 4 * M, M]],
    ],
    'it only asks': [
      [0, gcra(0, 0), [0, 0, 0]],
      [0, gcra(2), [2, 2 * M, 0]],
      [0, gcra(0, 0), [0, 2 * M, 0]],
    ],
    'more than the burst never fits': [[0, gcra(4), [0, 0, M]]],
    'a clock that is set back an hour locks nobody out, and frees nobody': [
      [0, gcra(3), [3, 3 * M, 0]],
      [-HOUR, gcra(1), [0, 6 * M, 4 * M]],
      [-HOUR + 270, gcra(1), [1, 6 * M - 210 * SECOND, 0]],
      [-HOUR + 570, gcra(3), [3, 3 * M, 0]],
    ],
    'a clock that is set forward an hour frees one burst': [
      [0, gcra(3), [3, 3 * M, 0]],
      [HOUR, gcra(3, 9), [3, 3 * M, 0]],
      [HOUR, gcra(1), [0, 3 * M, M]],
    ],
  },
  fixed_window: {
    'a window opens with the first request': [
      [0, window(2), [2, 2, 10 * M, 0]],
      [300, window(1), [1, 3, 5 * M, 0]],
      [300, window(1), [0, 3, 5 * M, 5 * M]],
      [630, window(1), [1, 1, 10 * M, 0]],
    ],
    'a refusal consumes nothing': [
      [0, window(2), [2, 2, 10 * M, 0]],
      [0, window(2), [0, 2, 10 * M, 10 * M]],
      [0, window(2), [0, 2, 10 * M, 10 * M]],
      [0, window(1), [1, 3, 10 * M, 0]],
    ],
    'a cost of 0 only asks': [
      [0, window(0), [0, 0, 0, 0]],
      [0, window(1), [1, 1, 10 * M, 0]],
      [0, window(0), [0, 1, 10 * M, 0]],
      [0, window(2), [2, 3, 10 * M, 0]],
      [0, window(0), [0, 3, 10 * M, 0]],
    ],
    'more than the limit never fits': [[0, window(4), [0, 0, 0, 10 * M]]],
    'a limit that was lowered': [
      [0, window(3), [3, 3, 10 * M, 0]],
      [0, window(1, 2), [0, 2, 10 * M, 10 * M]],
    ],
    'a clock that is set back an hour': [
      [0, window(3), [3, 3, 10 * M, 0]],
      [-HOUR, window(1), [0, 3, 10 * M, 10 * M]],
      [-HOUR + 300, window(1), [0, 3, 5 * M, 5 * M]],
      [-HOUR + 630, window(3), [3, 3, 10 * M, 0]],
    ],
    'a clock that is set forward an hour frees one window': [
      [0, window(3), [3, 3, 10 * M, 0]],
      [HOUR, window(3), [3, 3, 10 * M, 0]],
      [HOUR, window(1), [0, 3, 10 * M, 10 * M]],
    ],
  },
  sliding_window: {
    'this window': [
      [0, window(2), [2, 2, 20 * M, 0]],
      [300, window(1), [1, 3, 15 * M, 0]],
      // What room there is for 1 in the next window is there when 2 of 3 weigh.
      [300, window(1), [0, 3, 15 * M, 5 * M + (10 * M) / 3]],
    ],
    'the one before weighs less and less': [
      [0, window(8, 10), [8, 8, 20 * M, 0]],
      [660, window(1, 10), [1, 9, 19 * M, 0]],
      [660, window(5, 10), [0, 9, 19 * M, 4 * M]],
      [930, window(5, 10), [5, 10, 14.5 * M, 0]],
    ],
    'a refusal consumes nothing': [
      [0, window(2), [2, 2, 20 * M, 0]],
      [0, window(2), [0, 2, 20 * M, 15 * M]],
      [0, window(2), [0, 2, 20 * M, 15 * M]],
      [0, window(1), [1, 3, 20 * M, 0]],
    ],
    'a cost of 0 only asks': [
      [0, window(0), [0, 0, 0, 0]],
      [0, window(3), [3, 3, 20 * M, 0]],
      [0, window(0), [0, 3, 20 * M, 0]],
    ],
    'two windows later all is free': [
      [0, window(3), [3, 3, 20 * M, 0]],
      [1_230, window(3), [3, 3, 20 * M, 0]],
    ],
    'a clock that is set back an hour': [
      [0, window(3), [3, 3, 20 * M, 0]],
      [-HOUR, window(1), [0, 3, 20 * M, 10 * M + (10 * M) / 3]],
      [-HOUR + 300, window(1), [0, 3, 15 * M, 5 * M + (10 * M) / 3]],
      [-HOUR + 1_230, window(3), [3, 3, 20 * M, 0]],
    ],
    'a clock that is set forward an hour frees one window': [
      [0, window(3), [3, 3, 20 * M, 0]],
      [HOUR, window(3), [3, 3, 20 * M, 0]],
      [HOUR, window(1), [0, 3, 20 * M, 10 * M + (10 * M) / 3]],
    ],
  },
  sliding_window_log: {
    'each is over after a window': [
      [0, window(1), [1, 1, 10 * M, 0]],
      [300, window(2), [2, 3, 10 * M, 0]],
      [300, window(1), [0, 3, 10 * M, 5 * M]],
      [300, window(2), [0, 3, 10 * M, 10 * M]],
      [630, window(1), [1, 3, 10 * M, 0]],
      [630, window(1), [0, 3, 10 * M, 4.5 * M]],
      [930, window(2), [2, 3, 10 * M, 0]],
    ],
    'a refusal consumes nothing': [
      [0, window(2), [2, 2, 10 * M, 0]],
      [0, window(2), [0, 2, 10 * M, 10 * M]],
      [0, window(2), [0, 2, 10 * M, 10 * M]],
      [0, window(1), [1, 3, 10 * M, 0]],
    ],
    'a cost of 0 only asks': [
      [0, window(0), [0, 0, 0, 0]],
      [0, window(3), [3, 3, 10 * M, 0]],
      [0, window(0), [0, 3, 10 * M, 0]],
    ],
    'more than the limit never fits': [[0, window(4), [0, 0, 0, 10 * M]]],
    'the largest log': [
      [0, window(1_024, 1_024), [1_024, 1_024, 10 * M, 0]],
      [0, window(1, 1_024), [0, 1_024, 10 * M, 10 * M]],
      [630, window(1_024, 1_024), [1_024, 1_024, 10 * M, 0]],
    ],
    'a clock that is set back an hour': [
      [0, window(1), [1, 1, 10 * M, 0]],
      [300, window(2), [2, 3, 10 * M, 0]],
      [-HOUR, window(1), [0, 3, 10 * M, 5 * M]],
      [-HOUR + 330, window(1), [1, 3, 10 * M, 0]],
    ],
    'a clock that is set forward an hour frees one window': [
      [0, window(3), [3, 3, 10 * M, 0]],
      [HOUR, window(3), [3, 3, 10 * M, 0]],
      [HOUR, window(1), [0, 3, 10 * M, 10 * M]],
    ],
  },
  lock: {
    'one holder, who keeps it and gives it back': [
      [0, [1, 60_000], [1, 60_000]],
      [0, [2, 60_000], [0, 60_000]],
      [0, [2, 0], [0, 60_000]],
      [30, [1, 60_000], [1, 60_000]],
      [70, [2, 60_000], [0, 20_000]],
      [70, [1, 0], [0, 0]],
      [70, [2, 60_000], [1, 60_000]],
      [70, [1, 60_000], [0, 60_000]],
    ],
    'one that is not kept ends': [
      [0, [1, 60_000], [1, 60_000]],
      [61, [2, 60_000], [1, 60_000]],
      [61, [1, 60_000], [0, 60_000]],
    ],
    'a clock that is set back an hour': [
      [0, [1, 60_000], [1, 60_000]],
      [-HOUR, [2, 60_000], [0, 60_000]],
      [-HOUR + 61, [2, 60_000], [1, 60_000]],
    ],
  },
};

/** Which of a reply are times. */
const TIMES: Record<string, number> = { gcra: 1, lock: 1 };

const PROGRAMS: [name: string, program: string | undefined, part: 'faketime' | 'valkey'][] = [
  ['Redis', 'redis-server', 'faketime'],
  ['Valkey', VALKEY, 'valkey'],
];
for (const [name, program, part] of PROGRAMS) {
  test(`the scripts in ${name}`, async (t) => {
    if (!hasParts(t, part, 'faketime')) return;
    const server = await redis(t, { program: program ?? '', hasClock: true });
    for (const [script, cases] of Object.entries(CASES)) {
      for (const [what, steps] of Object.entries(cases)) {
        await t.test(`${script}: ${what}`, () => check(server, script, what, steps));
      }
    }
    await t.test('what is idle is forgotten', () => forgets(server));
    await t.test('what is granted is all that is written', () => writesNothing(server));
    await t.test('a log has at most 1024 entries', () =>
      assert.rejects(run(server, 'sliding_window_log', 'x', [M, 1_025, 1]), /at most 1024/),
    );
    await t.test('nodes', () => nodes(server));
    await t.test('gcra is exact to the nanosecond', () => isExact(server));
  });
}

test('all scripts have a table of cases here, or a test of their own', (t: TestContext) => {
  const others = ['nodes', 'quota', 'several'];
  const mine = [...SCRIPTS.keys()].filter((name) => !others.includes(name));
  assert.deepEqual(mine.sort(), Object.keys(CASES).sort());
  t.diagnostic(mine.join(' '));
});

async function run(server: RedisServer, script: string, key: string, args: number[]): Promise<number[]> {
  return (await server.admin.eval(SCRIPTS.get(script)?.lua ?? '', 1, key, ...args)) as number[];
}

/** An hour and more from the case before, so that keys with an end have come to it. */
let base = 0;

async function check(server: RedisServer, script: string, what: string, steps: Step[]): Promise<void> {
  base += 3 * HOUR;
  const times = TIMES[script] ?? 2;
  let clock = Number.NaN;
  for (const [i, [at, args, wanted]] of steps.entries()) {
    if (at !== clock) await server.setClock(base + at);
    clock = at;
    const reply = await run(server, script, `${script}:${what}`, args);
    const where = `step ${i + 1}: ${reply} for ${wanted}`;
    assert.deepEqual(reply.slice(0, times), wanted.slice(0, times), where);
    for (const [n, value] of wanted.entries()) {
      const got = reply[n] ?? Number.NaN;
      if (n >= times) assert.ok(got <= value + SLACK && got >= value - SLACK, where);
      if (n >= times) assert.equal(got > 0, value > 0, where);
    }
  }
}

async function forgets(server: RedisServer): Promise<void> {
  base += 3 * HOUR;
  await server.setClock(base);
  const keys: [script: string, args: number[], most: number][] = [
    ['gcra', gcra(3), 3 * M],
    ['fixed_window', window(1), 10 * M],
    ['sliding_window', window(1), 20 * M],
    ['sliding_window_log', window(1), 10 * M],
    ['nodes', [1, 3 * SECOND], 3 * SECOND],
  ];
  for (const [script, args, most] of keys) {
    await run(server, script, `idle:${script}`, args);
    const left = await server.admin.pttl(`idle:${script}`);
    assert.ok(left > 0 && left <= most / 1_000 + 2, `${script}: ${left}`);
  }
}

async function writesNothing(server: RedisServer): Promise<void> {
  const refused: [script: string, args: number[]][] = [
    ['gcra', gcra(4)],
    ['gcra', gcra(0, 0)],
    ['fixed_window', window(4)],
    ['fixed_window', window(0)],
    ['sliding_window', window(4)],
    ['sliding_window', window(0)],
    ['sliding_window_log', window(4)],
    ['sliding_window_log', window(0)],
  ];
  for (const [script, args] of refused) {
    await run(server, script, 'nothing', args);
    assert.equal(await server.admin.exists('nothing'), 0, `${script} ${args}`);
  }
}

async function nodes(server: RedisServer): Promise<void> {
  base += 3 * HOUR;
  await server.setClock(base);
  const beat = async (node: number, aliveUs = HOUR * SECOND): Promise<number> =>
    (await run(server, 'nodes', 'nodes', [node, aliveUs]))[0] ?? 0;
  assert.equal(await beat(1), 1);
  assert.equal(await beat(2), 2);
  assert.equal(await beat(2), 2);
  assert.equal(await beat(3), 3);
  assert.equal(await beat(3, 0), 2, 'it left');
  await server.setClock(base + HOUR / 2);
  assert.equal(await beat(1), 2);
  await server.setClock(base + HOUR + 60);
  assert.equal(await beat(1), 1, 'the other died');
  await server.setClock(base - HOUR);
  assert.equal(await beat(2), 1, 'a beat in the future');
  assert.equal(await beat(1), 2);
  const [, clock = 0] = await run(server, 'nodes', 'nodes', [1, SECOND]);
  const wanted = (Date.now() / 1_000 + base - HOUR) * SECOND;
  assert.ok(Math.abs(clock - wanted) < SLACK, `${clock} for ${wanted}`);
}

async function isExact(server: RedisServer): Promise<void> {
  // A third of a millisecond, rounded up: a million tokens are 333 seconds and a third, and 666,667 nanoseconds.
  const [granted, reset = 0] = await run(server, 'gcra', 'exact', [333_334, 1e6, 0, 1e6, 1e6, 0]);
  assert.deepEqual([granted, reset], [1e6, 333_334_000]);
  const [before = '', ns] = (await server.admin.get('exact'))?.split(' ') ?? [];
  assert.match(before, /^\d{16}$/);
  assert.equal(ns, '0');
  await run(server, 'gcra', 'exact', [333_334, 1e6, 0, 0, 0, 1]);
  const [after = '', rest] = (await server.admin.get('exact'))?.split(' ') ?? [];
  assert.deepEqual([Number(after) - Number(before), rest], [333, '334']);
}
