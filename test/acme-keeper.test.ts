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
import { backoff, type Ground, Keeper, renewal } from '../ts/acme/keeper.js';
import { Stored } from '../ts/acme/stored.js';
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
function keeper(t: TestContext, state: string, order: Ground['order']) {
  const published: string[] = [];
  const counted: (string | undefined)[] = [];
  const said: { message: string; fields: Record<string, unknown> }[] = [];
  const stored = new Stored(state, DIRECTORY, undefined);
  const kept = new Keeper(WANTED, {
    stored,
    order,
    publish: (name, cert) => void published.push(`${name}: ${cert.trim()}`),
    count: (failure) => void counted.push(failure),
    log: (_, fields, message) => void said.push({ message, fields }),
  });
  const done = kept.run();
  t.after(async () => {
    kept.stop();
    await done;
  });
  return { published, counted, said, stored };
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
