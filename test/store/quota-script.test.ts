/**
 * The script of quotas, in real servers whose clock the test sets: the table that a process's own count is checked by too, and what
 * only the store has: keys that were lost, what is charged of a window before, windows that the node did not send.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { loadScripts } from '../../ts/store/scripts.js';
import { hasParts, type RedisServer, redis, VALKEY } from '../kit/redis.js';

/** What is said to one consumer's quota, and what is so then. */
interface Step {
  at: number;
  ask?: number;
  limit?: number;
  charge?: number;
  look?: true;
  admits?: boolean;
  used: number;
  window: number;
}

/** What a node knows of a key. */
interface Known {
  window?: number;
  used?: number;
  epoch?: number;
}

interface Said {
  said: number;
  used: number;
  window: number;
  epoch: number;
}

const HOUR = 3_600;
const DAY = 24 * HOUR;
/** A full hour that is to come, in seconds since 1970. */
const T = (Math.floor(Date.now() / (HOUR * 1_000)) + 5) * HOUR;
const TABLE = new URL('../../../test/store/quota-cases.json', import.meta.url);
const { cases } = JSON.parse(readFileSync(TABLE, 'utf8')) as { cases: Record<string, Step[]> };
const LUA = loadScripts().get('quota')?.lua ?? '';

/** A key of one server, whose windows are hours. */
class Key {
  readonly #server: RedisServer;
  readonly name: string;
  #at = Number.NaN;

  constructor(server: RedisServer, name: string) {
    this.#server = server;
    this.name = name;
  }

  /** The server's clock shows so many seconds from {@link T}. */
  async clock(at: number): Promise<void> {
    if (at !== this.#at) await this.#server.setClock(Math.round(T + at - Date.now() / 1_000));
    this.#at = at;
  }

  /** Asks as a node that takes it for `around`, which is by default the truth; seconds from {@link T}. */
  async call(
    [limit, cost]: [number, number],
    [charge, charged]: [number, number] = [0, 0],
    known: Known = {},
    around = this.#at,
  ): Promise<Said> {
    const hour = T + Math.floor(around / HOUR) * HOUR;
    const { window, used = 0, epoch = 0 } = known;
    const shown = window === undefined ? [0, 0] : [T + window, T + window + HOUR];
    const bounds = [hour - HOUR, hour, hour + HOUR, hour + 2 * HOUR];
    const args = [limit, cost, charge, charge > 0 ? T + charged : 0, ...shown, used, epoch, ...bounds];
    const reply = (await this.#server.admin.eval(LUA, 1, this.name, ...args)) as number[];
    const [said = 9, total = -1, start = 0, end = 0, now = 0, made = 0] = reply;
    assert.equal(reply.length, 6);
    assert.ok(Math.abs(now - T - this.#at) < 30, `its time: ${now - T} for ${this.#at}`);
    assert.ok(said === -1 || end - start === HOUR, `${reply}`);
    return { said, used: total, window: start - T, epoch: made };
  }
}

const asks = (limit: number, cost = 1): [number, number] => [limit, cost];
const LOOK: [number, number] = [0, -1];

const PROGRAMS: [name: string, program: string | undefined, part: 'faketime' | 'valkey'][] = [
  ['Redis', 'redis-server', 'faketime'],
  ['Valkey', VALKEY, 'valkey'],
];
for (const [name, program, part] of PROGRAMS) {
  test(`the script of quotas in ${name}`, async (t: TestContext) => {
    if (!hasParts(t, part, 'faketime')) return;
    const server = await redis(t, { program: program ?? '', hasClock: true });
    for (const [what, steps] of Object.entries(cases)) {
      await t.test(what, async () => {
        const key = new Key(server, what);
        for (const [i, step] of steps.entries()) {
          await key.clock(step.at);
          const { limit = 0, ask, charge = 0 } = step;
          const wanted = ask === undefined ? LOOK : asks(limit, ask);
          const got = await key.call(wanted, [charge, Math.floor(step.at / HOUR) * HOUR]);
          const want = [step.admits === false ? 0 : 1, step.used, step.window];
          assert.deepEqual([got.said, got.used, got.window], want, `step ${i + 1}`);
        }
      });
    }
    for (const [what, run] of Object.entries(OTHERS)) {
      await t.test(what, () => run(new Key(server, what), server));
    }
  });
}

const OTHERS: Record<string, (key: Key, server: RedisServer) => Promise<void>> = {
  'a key that was lost gets what the node used that knows most, beside what was used since': async (
    key,
    server,
  ) => {
    await key.clock(60);
    const { epoch } = await key.call(asks(100, 10));
    assert.ok(epoch > 0);
    const knows = (used: number): Known => ({ window: 0, used, epoch });
    await server.admin.del(key.name);
    // One knew 9 and gives 15 more; another knew all 10 and gives 15.
    const made = await key.call(LOOK, [15, 0], knows(9));
    assert.equal(made.used, 24);
    assert.notEqual(made.epoch, epoch);
    assert.equal((await key.call(LOOK, [15, 0], knows(10))).used, 40);
    assert.equal((await key.call(LOOK, [0, 0], knows(10))).used, 40, 'once');
    // Who knows the new one knows that already.
    assert.equal((await key.call(asks(100), [0, 0], { window: 0, used: 24, epoch: made.epoch })).used, 41);
  },
  'a key that a server has from before knows what nodes know': async (key) => {
    await key.clock(60);
    const { epoch } = await key.call(asks(10, 2));
    assert.equal((await key.call(asks(10), [0, 0], { window: 0, used: 6, epoch })).used, 7);
    assert.equal((await key.call(asks(10), [0, 0], { window: 0, used: 6, epoch })).used, 8);
    // What a node used itself is no more than what all did.
    assert.equal((await key.call(asks(10), [0, 0], { window: 0, used: 5, epoch: 0 })).used, 9);
    assert.deepEqual((await key.call(asks(10, 2), [0, 0], { window: 0, used: 5, epoch: 0 })).said, 0);
  },
  'what a node knows of a window that is over, or far ahead, is nothing': async (key) => {
    await key.clock(60);
    const over = await key.call(asks(3), [0, 0], { window: -HOUR, used: 9, epoch: 5 });
    assert.deepEqual([over.said, over.used, over.window], [1, 1, 0]);
    const ahead = await key.call(asks(3), [0, 0], { window: 5 * HOUR, used: 9, epoch: 5 });
    assert.deepEqual([ahead.said, ahead.used, ahead.window], [1, 2, 0]);
    // The next one: the clock of a server that took over is behind by a little.
    const next = await key.call(asks(3), [0, 0], { window: HOUR, used: 2, epoch: 5 });
    assert.deepEqual([next.said, next.used, next.window], [1, 3, HOUR]);
  },
  'what is charged late counts in its window': async (key) => {
    await key.clock(60);
    await key.call(asks(9, 2));
    await key.clock(HOUR + 60);
    assert.equal((await key.call(asks(9, 3))).used, 3);
    const late = await key.call(LOOK, [4, 0]);
    assert.deepEqual([late.used, late.window], [3, HOUR]);
    assert.equal((await key.call(LOOK, [4, -HOUR])).used, 3, 'it is forgotten');
    // A node that is ahead.
    assert.equal((await key.call(LOOK, [5, 2 * HOUR])).used, 8);
    // Far back: both windows count, with what was late.
    await key.clock(-9 * HOUR + 60);
    assert.equal((await key.call(LOOK)).used, 8);
  },
  'a node that takes it for another hour is told the time, and nothing is done': async (key, server) => {
    await key.clock(60);
    for (const around of [HOUR, -HOUR, 0]) {
      const got = await key.call(asks(9), [0, 0], {}, around);
      assert.deepEqual([got.said, got.window], [1, 0], `${around}`);
    }
    const before = await server.admin.get(key.name);
    await key.clock(9 * HOUR + 60);
    assert.equal((await key.call(asks(9), [5, 0], {}, 60)).said, -1);
    assert.equal(await server.admin.get(key.name), before);
    assert.equal((await key.call(asks(9), [0, 0], {})).used, 1);
  },
  'a refusal and a look write nothing, and what is over is forgotten a day later': async (key, server) => {
    await key.clock(60);
    await key.call(asks(0));
    await key.call(asks(0, 0));
    await key.call(asks(9, 0));
    await key.call(LOOK);
    assert.equal(await server.admin.exists(key.name), 0);
    await key.call(asks(1));
    const left = await server.admin.ttl(key.name);
    assert.ok(left > DAY + HOUR - 100 && left <= DAY + HOUR - 50, `${left}`);
    await key.call(asks(1));
    assert.ok((await server.admin.ttl(key.name)) <= left);
  },
  'the largest numbers': async (key) => {
    await key.clock(60);
    const most = 9e15;
    assert.equal((await key.call(LOOK, [most, 0])).used, most);
    assert.deepEqual((await key.call(asks(most))).said, 0);
    assert.equal((await key.call(LOOK, [most, 0])).used, most);
  },
};
