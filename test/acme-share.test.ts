/**
 * Certificates that several gateways share by a real Redis: one order for all, challenges that come to another one, a gateway that is
 * killed during its order, and a store that is gone.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Seal } from '../ts/acme/seal.js';
import { LOCK_MS } from '../ts/acme/share.js';
import { Keys, StoreGone } from '../ts/store/keys.js';
import { config, elsewhere, metric, type Site, shown, site, started, times } from './kit/acme.js';
import type { Running } from './kit/binary.js';
import { type FaultProxy, faultProxy } from './kit/fault-proxy.js';
import { hasPebble } from './kit/pebble.js';
import { cluster, type RedisServer, redis } from './kit/redis.js';
import { until } from './kit/until.js';

const SECRET = 'a secret of thirty-two characters';
const ISSUED = 'a certificate was issued';
const TAKEN = "another gateway's certificate is served";
const HELD = 'another gateway orders the certificate: this one waits for it';
const ALONE = 'the store is gone, and the certificate is urgent: this gateway orders one by itself';

test('what is sealed opens under its name with its secret, and not when anything is changed', () => {
  const seal = new Seal(SECRET);
  const sealed = seal.seal('a', 'the key ü');
  assert.equal(seal.open('a', sealed), 'the key ü');
  assert.equal(new Seal(SECRET).open('a', sealed), 'the key ü');
  assert.equal(sealed.includes('the key'), false);
  assert.notDeepEqual(seal.seal('a', 'the key ü'), sealed);
  assert.throws(() => seal.open('b', sealed));
  const other = new Seal(`${SECRET}.`);
  assert.notEqual(other.id, seal.id);
  assert.throws(() => other.open('a', sealed));
  for (let at = 0; at < sealed.length; at += 1) {
    const changed = Buffer.from(sealed);
    changed[at] = (changed[at] ?? 0) ^ 1;
    assert.throws(() => seal.open('a', changed), `byte ${at}`);
    assert.throws(() => seal.open('a', sealed.subarray(0, at)), `${at} bytes`);
  }
});

test('a lock has one holder, who keeps it and gives it back, alone and in a cluster', async (t) => {
  for (const urls of [[(await redis(t)).url], (await cluster(t)).map(({ url }) => url)]) {
    const keys = new Keys({ urls, timeoutMs: 20, prefix: 'test' });
    t.after(() => keys.close());
    assert.deepEqual(await keys.lock('lock', 1, 60_000), { isMine: true, leftMs: 60_000 });
    const other = await keys.lock('lock', 2, 60_000);
    assert.ok(!other.isMine && other.leftMs > 50_000 && other.leftMs <= 60_000);
    assert.equal((await keys.lock('lock', 2, 0)).isMine, false);
    assert.equal((await keys.lock('lock', 1, 60_000)).isMine, true, 'it is kept');
    await keys.lock('lock', 1, 0);
    assert.equal((await keys.lock('lock', 2, 1)).isMine, true, 'it was given back');
    await until(async () => (await keys.lock('lock', 3, 60_000)).isMine, 'it ended by itself');

    const bytes = Buffer.from([0, 255, 13, 10]);
    await keys.put('value', bytes, 60_000);
    const found = await keys.get('value');
    assert.deepEqual(found?.value, bytes);
    assert.ok(found !== undefined && found.leftMs > 50_000);
    await keys.remove('value');
    assert.equal(await keys.get('value'), undefined);
  }
});

test('without the store a call fails in time, and goes again when it is back', async (t) => {
  const server = await redis(t);
  const keys = new Keys({ urls: [server.url], timeoutMs: 20, prefix: 'test' });
  t.after(() => keys.close());
  await keys.put('value', 'x', 60_000);
  await server.kill();
  await assert.rejects(keys.get('value'), StoreGone);
  await server.start();
  await until(
    () =>
      keys.get('value').then(
        () => true,
        () => false,
      ),
    'it answers again',
  );
  server.pause();
  t.after(() => server.resume());
  await assert.rejects(keys.lock('value', 1, 1), StoreGone);
});

interface Shared {
  /** The authority comes to the second. */
  first: Site;
  second: Site;
  /** In front of the authority. */
  way: FaultProxy;
  server: RedisServer;
}

/** Two places, an authority that comes to the second only, and a store. */
async function shared(t: TestContext, more: { validity?: number } = {}): Promise<Shared> {
  const at = await site(t, more);
  const way = await faultProxy(t, Number(new URL(at.authority.directory).port));
  const directory = `https://localhost:${way.port}/dir`;
  const second = { ...at, authority: { ...at.authority, directory } };
  return { first: await elsewhere(t, second), second, way, server: await redis(t) };
}

function shares(at: Site, url: string, challenge = 'tls-alpn-01', secret = SECRET): string {
  const more = `, challenge: ${challenge}, share: { secret: "${secret}" }`;
  return config(at, 'a.example', more, undefined, `store: { redis: "${url}" }\n`);
}

/** How often orders succeeded and failed at a place. */
async function orders(at: Site): Promise<{ all: number; failed: string[] }> {
  const [line = ''] = await metric(at, 'ironsluice_acme_orders_total');
  const failed = await metric(at, 'ironsluice_acme_order_failures_total');
  return { all: Number(line.slice(line.lastIndexOf(' ') + 1)), failed };
}

async function lockKey({ server }: Shared): Promise<string | undefined> {
  return (await server.admin.keys('ironsluice:acme:*:lock'))[0];
}

async function serial(at: Site, root: string): Promise<string> {
  return (await shown(at.tls, 'a.example', root)).serialNumber;
}

for (const challenge of ['tls-alpn-01', 'http-01']) {
  test(`${challenge}: two gateways order once, and a challenge is answered by the one that did not`, async (t) => {
    if (!(await hasPebble(t))) return;
    const all = await shared(t);
    const { first, second, way, server } = all;
    way.set({ isStalled: true });
    const a = await started(t, first, shares(first, server.url, challenge));
    await until(async () => (await lockKey(all)) !== undefined, 'the first has the lock');
    const b = await started(t, second, shares(second, server.url, challenge));
    await b.logged(HELD);
    way.set({ isStalled: false });
    await a.logged(ISSUED);
    await b.logged(TAKEN);
    const root = await second.authority.root();
    assert.equal(await serial(first, root), await serial(second, root));
    assert.deepEqual(await orders(first), { all: 1, failed: [] });
    assert.deepEqual(await orders(second), { all: 0, failed: [] });
    assert.equal(await lockKey(all), undefined, 'the lock was given back');
    await until(async () => (await server.admin.keys('*:challenge')).length === 0, 'the challenge is over');
    const values = await Promise.all((await server.admin.keys('*')).map((key) => read(server, key)));
    assert.ok(values.length > 1);
    for (const value of values) assert.doesNotMatch(value, /PRIVATE KEY|CERTIFICATE/, 'it is sealed');

    // A third one, whose disk is empty, finds it in the store.
    const third = await elsewhere(t, second);
    const c = await started(t, third, shares(third, server.url, challenge));
    await c.logged(TAKEN);
    assert.equal(await serial(third, root), await serial(first, root));
    assert.equal((await orders(third)).all, 0);
    const path = await pem(third);
    assert.match(await readFile(path, 'utf8'), /PRIVATE KEY/, 'it is kept for the next start');
  });
}

async function read({ admin }: RedisServer, key: string): Promise<string> {
  return (await admin.type(key)) === 'string' ? String(await admin.get(key)) : '';
}

async function pem({ cwd }: Site): Promise<string> {
  const { readdir } = await import('node:fs/promises');
  const found = await readdir(join(cwd, 'state/acme'), { recursive: true });
  return join(cwd, 'state/acme', found.find((path) => path.endsWith('certificate.pem')) ?? '');
}

test('a gateway that is killed during its order is followed by another within the time of the lock', {
  timeout: 90_000,
}, async (t) => {
  if (!(await hasPebble(t))) return;
  const all = await shared(t);
  const { first, second, way, server } = all;
  way.set({ isStalled: true });
  const a = await started(t, first, shares(first, server.url));
  await until(async () => (await lockKey(all)) !== undefined, 'the first has the lock');
  const b = await started(t, second, shares(second, server.url));
  await b.logged(HELD);
  const key = (await lockKey(all)) ?? '';
  const holder = await server.admin.get(key);
  a.child.kill('SIGKILL');
  await a.ended();
  way.set({ isStalled: false });
  const began = performance.now();
  const isTaken = async (): Promise<boolean> => ![holder, null].includes(await server.admin.get(key));
  await until(isTaken, 'the second has the lock', LOCK_MS + 5_000);
  t.diagnostic(`after ${Math.round(performance.now() - began)} ms`);
  await b.logged(ISSUED);
  assert.equal((await orders(second)).all, 1);
});

test('a gateway that is stopped during its order gives the lock back', { timeout: 60_000 }, async (t) => {
  if (!(await hasPebble(t))) return;
  const all = await shared(t);
  const { first, second, way, server } = all;
  way.set({ isStalled: true });
  const a = await started(t, first, shares(first, server.url));
  await until(async () => (await lockKey(all)) !== undefined, 'it has the lock');
  a.child.kill('SIGTERM');
  assert.equal((await a.ended()).code, 0);
  assert.equal(await lockKey(all), undefined);
  way.set({ isStalled: false });
  const b = await started(t, second, shares(second, server.url));
  await b.logged(ISSUED);
});

test('without the store each goes on with what it has, and orders by itself what is urgent', {
  timeout: 90_000,
}, async (t) => {
  if (!(await hasPebble(t))) return;
  const all = await shared(t);
  const { first, second, server } = all;
  const line = await faultProxy(t, server.port);
  line.cut();
  const url = `redis://127.0.0.1:${line.port}`;
  const b = await started(t, second, shares(second, url));
  await b.logged(ALONE);
  await b.logged(ISSUED);
  const root = await second.authority.root();
  const own = await serial(second, root);
  // The store comes: what the one has is there for the other, which orders nothing.
  line.mend();
  await until(async () => (await server.admin.keys('*:certificate')).length === 1, 'it is put there', 20_000);
  const a = await started(t, first, shares(first, url));
  await a.logged(TAKEN);
  assert.equal(await serial(first, root), own);
  assert.equal((await orders(first)).all, 0);

  line.cut();
  await a.logged('certificates are not shared: the store is gone');
  await stoppedAndStarted(t, a, first, shares(first, url), own, root);
});

/** It serves what is on its disk from the first client on, and orders nothing. */
async function stoppedAndStarted(
  t: TestContext,
  running: Running,
  at: Site,
  text: string,
  own: string,
  root: string,
): Promise<void> {
  running.child.kill('SIGTERM');
  assert.equal((await running.ended()).code, 0);
  const again = await started(t, at, text);
  assert.equal(await serial(at, root), own);
  await again.logged('certificates are not shared: the store is gone');
  assert.equal(times(again, ALONE), 0);
  assert.deepEqual(await orders(at), { all: 0, failed: [] });
}

test('gateways that share renew once for all, in time', { timeout: 90_000 }, async (t) => {
  if (!(await hasPebble(t))) return;
  const { first, second, server } = await shared(t, { validity: 20 });
  const running = await Promise.all([first, second].map((at) => started(t, at, shares(at, server.url))));
  const root = await second.authority.root();
  const serials = new Map<Site, Set<string>>([
    [first, new Set()],
    [second, new Set()],
  ]);
  await Promise.all(
    running.map((one) => until(() => times(one, ISSUED) + times(one, TAKEN) > 0, 'the first', 30_000)),
  );
  const isRenewed = async (): Promise<boolean> => {
    for (const [at, seen] of serials) seen.add(await serial(at, root)); // rejects if it has ended
    return [...serials.values()].every(({ size }) => size === 3);
  };
  await until(isRenewed, 'two renewals at both', 60_000);
  const sum = (await orders(first)).all + (await orders(second)).all;
  const seen = new Set([...serials.values()].flatMap((set) => [...set]));
  assert.equal(seen.size, 3, 'both serve the same ones');
  assert.ok(sum >= 3 && sum <= 4, `${sum} orders`); // the next may be issued already
});
