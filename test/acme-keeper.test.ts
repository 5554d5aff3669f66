/**
 * acme keeper: when a certificate is renewed, how long it waits after failures, and what it makes of the disk.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { OrderFailure } from '../ts/acme/failure.js';
import { backoff, type Ground, isUrgent, Keeper, renewal, type Shared } from '../ts/acme/keeper.js';
import { type Kept, parse, Stored } from '../ts/acme/stored.js';
import { StoreGone } from '../ts/store/keys.js';
import { folder } from './kit/binary.js';
import { type Certificate, certificate } from './kit/certificate.js';
import { until } from './kit/until.js';

const DIRECTORY = 'https://authority.example/dir';
const WANTED = { domain: 'localhost', directory: DIRECTORY, challenge: 'tls-alpn-01' };
const DAY = 86_400_000;

test('a certificate is renewed when a third of its life is left, or a little before', () => {
  for (const [days, chance, wanted] of [
    [90, 0, 60],
    [90, 1, 57],
    [6, 0, 4],
  ] as const) {
    assert.equal(renewal({ from: 0, until: days * DAY }, chance) / DAY, wanted);
  }
});

test('waits double up to a bound, and heed Retry-After up to another', () => {
  const table: [number, number | undefined, number, number, number][] = [
    // failures, days of life, Retry-After in s, chance, wait in s
    [1, undefined, 0, 1, 60],
    [1, undefined, 0, 0, 45],
    [2, undefined, 0, 1, 120],
    [3, 90, 0, 1, 240],
    [10, 90, 0, 1, 21_600],
    [1_000, undefined, 0, 1, 21_600],
    [20, 1, 0, 1, 3_600],
    [1, 1 / 86_400, 0, 1, 1 / 24],
    [1, 90, 600, 1, 600],
    [10, 90, 600, 1, 21_600],
    [1, 90, 1e9, 1, 86_400],
  ];
  for (const [failures, days, retry, chance, wanted] of table) {
    const life = days === undefined ? undefined : days * DAY;
    const wait = backoff(failures, life, retry * 1_000, chance);
    assert.ok(Math.abs(wait / 1_000 - wanted) < 1e-6, `${failures}, ${days}, ${retry}: ${wait / 1_000} s`);
  }
});

/** A keeper whose authority does what the test says; it ends with the test. */
function keeper(t: TestContext, state: string, order: Ground['order'], shared?: Shared) {
  const published: string[] = [];
  const counted: (string | undefined)[] = [];
  const said: { message: string; fields: Record<string, unknown> }[] = [];
  const stored = new Stored(state, DIRECTORY, undefined);
  const kept = new Keeper(WANTED, {
    stored,
    order,
    shared,
    through: (work) => work(),
    publish: (name, cert) => void published.push(`${name}: ${cert.trim()}`),
    count: (failure) => void counted.push(failure),
    log: (_, fields, message) => void said.push({ message, fields }),
  });
  const done = kept.run();
  t.after(async () => {
    kept.stop();
    await done;
  });
  return { published, counted, said, stored, wake: () => kept.wake() };
}

const PATH = /authority\.example-[0-9a-f]{8}/;

async function place(state: string): Promise<string> {
  const { stdout } = await promisify(execFile)('ls', [join(state, 'acme')]);
  assert.match(stdout, PATH);
  return join(state, 'acme', stdout.trim(), 'localhost');
}

const issue =
  ({ cert, key }: Certificate) =>
  async (): Promise<{ cert: string; key: string }> => ({ cert, key });
const never = async (): Promise<never> => assert.fail('nothing is to be ordered');

test('what is on disk is served without an order; what is none is replaced', async (t) => {
  const own = await certificate(t);
  const state = join(await folder(t), 'state');
  const first = keeper(t, state, issue(own));
  await until(() => first.counted.length > 0, 'an order');
  assert.deepEqual([first.counted, first.published.length], [[undefined], 1]);

  const second = keeper(t, state, never);
  await until(() => second.published.length > 0, 'the kept one is served');
  assert.deepEqual(second.published, first.published);
  assert.deepEqual(second.said, []);

  const other = await certificate(t);
  const path = join(await place(state), 'certificate.pem');
  const good = await readFile(path, 'utf8');
  const bad: [string, RegExp][] = [
    ['', /no private key/],
    [own.key, /./],
    [good.replace(own.key.trim(), other.key.trim()), /the key is another certificate's/],
  ];
  for (const [text, why] of bad) {
    await writeFile(path, text);
    const third = keeper(t, state, issue(own));
    await until(() => third.counted.length > 0, 'an order');
    assert.match(third.said[0]?.message ?? '', /a kept certificate cannot be used/);
    assert.match(String(third.said[0]?.fields.why), why);
    assert.equal(await readFile(path, 'utf8'), good);
  }
});

test('failures are counted and said, with what to do', async (t) => {
  const own = await certificate(t);
  const other = await certificate(t);
  const state = await folder(t);
  const table: [() => Promise<{ cert: string; key: string }>, string, RegExp, RegExp][] = [
    [
      () => Promise.reject(new OrderFailure('rate_limited', 'slow down')),
      'rate_limited',
      /slow down/,
      /fewer/,
    ],
    [() => Promise.reject(new TypeError('a bug')), 'internal', /a bug/, /report it/],
    [issue({ ...own, key: other.key }), 'certificate', /another certificate's/, /clocks/],
  ];
  for (const [order, code, why, fix] of table) {
    const { counted, said, published } = keeper(t, state, order);
    await until(() => counted.length > 0, 'a failure');
    assert.deepEqual([counted, published], [[code], []]);
    const { fields, message } = said.at(-1) ?? assert.fail('nothing was said');
    assert.match(message, /was not issued/);
    assert.match(String(fields.why), why);
    assert.match(String(fields.fix), fix);
  }
});

test('a directory that others may write to is refused', async (t) => {
  const state = await folder(t);
  await mkdir(join(state, 'acme'), { recursive: true });
  const stored = new Stored(state, DIRECTORY, 'a@b.example');
  await stored.accountKey();
  const at = join(await place(state), '..');
  await chmod(at, 0o777);
  await assert.rejects(new Stored(state, DIRECTORY, 'a@b.example').accountKey(), /can be written by others/);
  await chmod(at, 0o700);
  const again = await new Stored(state, DIRECTORY, 'a@b.example').accountKey();
  assert.equal(again, await stored.accountKey(), 'the key stays');
  assert.notEqual(
    again,
    await new Stored(state, DIRECTORY, undefined).accountKey(),
    'each account has its own',
  );
});

test('a certificate is urgent when there is none, or when half of what was left at its renewal is over', () => {
  const life = { from: 0, until: 90 * DAY };
  const table: [typeof life | undefined, number, boolean][] = [
    [undefined, 0, true],
    [life, 60 * DAY, false],
    [life, 75 * DAY - 1, false],
    [life, 75 * DAY + 1, true],
    [life, 91 * DAY, true],
  ];
  for (const [served, now, wanted] of table) assert.equal(isUrgent(served, now), wanted, `day ${now / DAY}`);
});

/** A store that gateways share, as a test has it. */
interface Fake extends Shared {
  isGone: boolean;
  there: Kept | undefined;
  /** Who may order: this one, or another one for so long. */
  turn: 'done' | { type: 'held' | 'wait'; leftMs: number };
  failures: number[];
  /** How often it was looked at. */
  looks: number;
}

function fake(): Fake {
  const answers = (): void => {
    if (one.isGone) throw new StoreGone('gone');
  };
  const one: Fake = {
    isGone: false,
    there: undefined,
    turn: 'done',
    failures: [],
    looks: 0,
    certificate: async () => {
      one.looks += 1;
      answers();
      return one.there;
    },
    keep: async (kept) => {
      answers();
      one.there = kept;
    },
    alone: async (signal, work) => {
      answers();
      return one.turn === 'done' ? { type: 'done', value: await work(signal) } : one.turn;
    },
    failed: async (waitMs) => {
      answers();
      one.failures.push(waitMs);
    },
  };
  return one;
}

test('what others issued is served and kept, what is here is put there, and nothing is ordered twice', async (t) => {
  const own = await certificate(t);
  const kept = parse(`${own.cert}\n${own.key}`, 'localhost');
  const empty = fake();
  const state = await folder(t);
  const first = keeper(t, state, issue(own), empty);
  await until(() => empty.there !== undefined, 'it is put there');
  assert.deepEqual([first.counted, empty.there?.cert], [[undefined], kept.cert]);

  const there = Object.assign(fake(), { there: kept });
  const second = keeper(t, await folder(t), never, there);
  await until(() => second.published.length > 0, 'it is served');
  await until(async () => (await second.stored.certificate('localhost')) !== undefined, 'it is kept');
  assert.deepEqual(second.counted, []);

  // The store forgot it: whoever looks next puts it there again.
  empty.there = undefined;
  first.wake();
  await until(() => empty.there !== undefined, 'it is there again');
});

test('while another orders it is waited for, and what it gets is taken when it is told', async (t) => {
  const own = await certificate(t);
  const store = fake();
  store.turn = { type: 'held', leftMs: 60_000 };
  const { said, published, wake, counted } = keeper(t, await folder(t), never, store);
  await until(() => said.length > 0, 'it says so');
  assert.match(said[0]?.message ?? '', /another gateway orders/);
  store.there = parse(`${own.cert}\n${own.key}`, 'localhost');
  wake();
  await until(() => published.length === 1, 'it is served');
  assert.deepEqual(counted, []);
});

test('a failure that others would have too is told them, and they wait', async (t) => {
  for (const [code, isTold] of [
    ['rate_limited', true],
    ['challenge', true],
    ['directory', false],
    ['storage', false],
  ] as const) {
    const store = fake();
    const order = () => Promise.reject(new OrderFailure(code, 'why', { retryAfterMs: 600_000 }));
    const { counted, wake } = keeper(t, await folder(t), order, store);
    await until(() => counted.length > 0, 'a failure');
    assert.deepEqual([counted, store.failures], [[code], isTold ? [540_000] : []]);
    for (let n = 0; n < 3; n += 1) {
      const { looks } = store;
      wake();
      await until(() => store.looks > looks, 'it looked at the store');
    }
    assert.deepEqual(counted, [code], 'news are no reason to order before it is time');
  }
  let asked = 0;
  const counting: Shared = {
    ...fake(),
    alone: async () => {
      asked += 1;
      return { type: 'wait', leftMs: 60_000 };
    },
  };
  keeper(t, await folder(t), never, counting);
  await until(() => asked === 1, 'it asks');
});

test('without the store what is urgent is ordered, and what is not waits', async (t) => {
  const fresh = await certificate(t);
  const gone = Object.assign(fake(), { isGone: true });
  const urgent = keeper(t, await folder(t), issue(fresh), gone);
  await until(() => urgent.counted.length > 0, 'an order');
  assert.deepEqual(urgent.counted, [undefined]);
  assert.match(urgent.said[0]?.message ?? '', /the store is gone, and the certificate is urgent/);

  // Three quarters of its life are over: it is to be renewed, and not urgent yet.
  const old = await certificate(t);
  const kept = parse(`${old.cert}\n${old.key}`, 'localhost');
  const state = await folder(t);
  await new Stored(state, DIRECTORY, undefined).keep('localhost', kept);
  t.mock.timers.enable({ apis: ['Date'], now: kept.from + 0.75 * (kept.until - kept.from) });
  const late = keeper(t, state, never, gone);
  await until(() => late.said.length > 0, 'it says so');
  assert.match(late.said[0]?.message ?? '', /the renewal waits/);
  late.wake();
  await until(() => late.published.length === 1, 'the old one is served');
  assert.deepEqual([late.counted, late.said.length], [[], 1]);
});
