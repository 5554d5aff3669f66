/**
 * The client of the store with real servers that go away, hang, forget, refuse and fail over: each call is settled in time, and
 * calls are answered again within five seconds after the server is there.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import type { RedisSettings } from '../../ts/store/address.js';
import { addressOf, backOff } from '../../ts/store/address.js';
import { clock, RedisClient } from '../../ts/store/redis.js';
import { certificate } from '../kit/certificate.js';
import { type FaultProxy, faultProxy } from '../kit/fault-proxy.js';
import { cluster, hasParts, type RedisServer, redis, sentinels, VALKEY } from '../kit/redis.js';
import { until } from '../kit/until.js';
import { ALLOWANCE_MS, answered, call, connected } from './client.js';

test('calls of one turn are one write, and a script that the server lost is sent again', async (t) => {
  const server = await redis(t);
  const proxy = await faultProxy(t, server.port);
  const client = await connected(t, { urls: [`redis://127.0.0.1:${proxy.port}`] });
  assert.equal((await call(client)).outcome.type, 'replied');
  const before = proxy.pieces;
  const calls = await Promise.all(Array.from({ length: 20 }, () => call(client)));
  assert.deepEqual(new Set(calls.map(({ outcome }) => outcome.type)), new Set(['replied']));
  assert.equal(proxy.pieces, before + 1);

  await server.admin.script('FLUSH');
  const again = await Promise.all(Array.from({ length: 20 }, () => call(client)));
  assert.deepEqual(new Set(again.map(({ outcome }) => outcome.type)), new Set(['replied']));
  await server.admin.flushall();
  const [first] = await Promise.all([call(client)]);
  assert.deepEqual(first.outcome, { type: 'replied', values: [1, 1, 0] });
});

test('without a connection a call fails at once, and one whose time is over is not sent', async (t) => {
  const server = await redis(t);
  const client = await connected(t, { urls: [server.url] });
  const before = await server.admin.info('commandstats');
  const late = call(client, 'x', 0);
  assert.equal((await late).outcome.type, 'late');
  assert.equal(/evalsha/.test(await server.admin.info('commandstats')), /evalsha/.test(before));
  await server.kill();
  await until(() => !client.isReady, 'the client knows');
  let isDone = false;
  void call(client).then(() => {
    isDone = true;
  });
  await Promise.resolve();
  await Promise.resolve();
  assert.ok(isDone, 'it fails before the loop turns');
});

test('a server that hangs makes calls late, not longer; what waits is bounded', async (t) => {
  const server = await redis(t);
  const client = await connected(t, { urls: [server.url] });
  await call(client);
  server.pause();
  t.after(() => server.resume());
  const late = await Promise.all(Array.from({ length: 50 }, () => call(client, 'x', 20)));
  assert.ok(late.every(({ ms, outcome }) => ms < 20 + ALLOWANCE_MS && outcome.type === 'late'));
  // Those have no reply either.
  const many = await Promise.all(Array.from({ length: 4_096 }, () => call(client, 'x', 500)));
  const types = many.map(({ outcome }) => outcome.type);
  assert.equal(types.filter((type) => type === 'late').length, 4_046);
  assert.equal(types.filter((type) => type === 'failed').length, 50);
  server.resume();
  t.diagnostic(`answered again after ${Math.round(await answered(client))} ms`);
});

test('a late reply is dropped', async (t) => {
  const server = await redis(t);
  const proxy = await faultProxy(t, server.port);
  const client = await connected(t, { urls: [`redis://127.0.0.1:${proxy.port}`] });
  await call(client);
  proxy.set({ delayMs: 60 });
  let ends = 0;
  const first = call(client, 'late', 20).then((done) => {
    ends += 1;
    return done;
  });
  const second = call(client, 'later', 5_000);
  assert.equal((await first).outcome.type, 'late');
  // Its reply came before that of the second, which is its own.
  assert.deepEqual((await second).outcome, { type: 'replied', values: [1, 1, 0] });
  assert.match(await server.admin.info('commandstats'), /cmdstat_set:calls=3,/);
  assert.equal(ends, 1);
});

type Deed = (server: RedisServer, proxy: FaultProxy) => unknown;
type Fault = [what: string, harm: Deed, mend: Deed];
const FAULTS: Fault[] = [
  ['is killed', (server) => server.kill(), (server) => server.start()],
  ['hangs', (server) => server.pause(), (server) => server.resume()],
  ['stalls on the way', (_, proxy) => proxy.set({ isStalled: true }), (_, p) => p.set({ isStalled: false })],
  ['is too far', (_, proxy) => proxy.set({ delayMs: 300 }), (_, proxy) => proxy.set({ delayMs: 0 })],
  [
    'has a line too narrow',
    (_, p) => p.set({ bytesPerSecond: 50 }),
    (_, p) => p.set({ bytesPerSecond: 1e9 }),
  ],
  ['is cut off', (_, proxy) => proxy.cut(), (_, proxy) => proxy.mend()],
  [
    'refuses as a replica',
    ({ admin }) => admin.call('REPLICAOF', '127.0.0.1', '1'),
    ({ admin }) => admin.call('REPLICAOF', 'NO', 'ONE'),
  ],
  [
    'is out of memory',
    ({ admin }) => admin.config('SET', 'maxmemory', '1'),
    ({ admin }) => admin.config('SET', 'maxmemory', '0'),
  ],
];
for (const [what, harm, mend] of FAULTS) {
  test(`a server that ${what}: calls end in time, and are answered again within 5 s`, async (t) => {
    const server = await redis(t);
    t.after(() => server.resume());
    const proxy = await faultProxy(t, server.port);
    const client = await connected(t, { urls: [`redis://127.0.0.1:${proxy.port}`] });
    await answered(client);
    await harm(server, proxy);
    const until = clock() + 1_500;
    let failures = 0;
    while (clock() < until) {
      const { outcome, ms } = await call(client, 'x', 20);
      assert.ok(ms < 20 + ALLOWANCE_MS, `${ms} ms`);
      if (outcome.type !== 'replied') failures += 1;
      else assert.equal(failures, 0, 'it failed, and is there again');
      await new Promise((resolve) => setTimeout(resolve, 5)); // the rate of calls
    }
    assert.ok(failures > 10, `${failures} calls failed`);
    await mend(server, proxy);
    t.diagnostic(`answered again after ${Math.round(await answered(client))} ms`);
  });
}

test('a replica is connected to again, but not without end; it is said why', async (t) => {
  const server = await redis(t);
  const whys: string[] = [];
  const settings = { urls: [server.url], timeoutMs: 20, prefix: 'test' };
  const client = new RedisClient(settings, { onReady() {}, onLost: (why) => whys.push(why) });
  t.after(() => client.close());
  await answered(client);
  const connections = async (): Promise<number> =>
    Number(/total_connections_received:(\d+)/.exec(await server.admin.info('stats'))?.[1]);
  const before = await connections();
  await server.admin.call('REPLICAOF', '127.0.0.1', '1');
  const from = clock();
  await until(async () => {
    await call(client, 'x', 50);
    return clock() > from + 2_000;
  }, 'two seconds of calls');
  const more = (await connections()) - before;
  assert.ok(more >= 2 && more <= 8, `${more} connections`);
  assert.deepEqual(
    whys.filter((why) => !why.startsWith('READONLY')),
    [],
  );
  await server.admin.call('REPLICAOF', 'NO', 'ONE');
  t.diagnostic(`${more} connections; answered again after ${Math.round(await answered(client))} ms`);
});

test('a reset loses the calls that are under way, and no others', async (t) => {
  const server = await redis(t);
  const proxy = await faultProxy(t, server.port);
  const client = await connected(t, { urls: [`redis://127.0.0.1:${proxy.port}`] });
  await call(client);
  proxy.set({ isStalled: true });
  const lost = call(client);
  proxy.reset();
  const { outcome } = await lost;
  assert.equal(outcome.type, 'failed');
  proxy.set({ isStalled: false });
  await answered(client);
});

test('a server that loads its data fails calls, and answers when it has', async (t) => {
  const server = await redis(t, {
    lines: [
      'enable-debug-command yes',
      'key-load-delay 2000',
      'loading-process-events-interval-bytes 1024',
      'rdbcompression no',
    ],
  });
  const client = await connected(t, { urls: [server.url] });
  await server.admin.call('DEBUG', 'POPULATE', '1000', 'key', '100');
  const loaded = server.admin.call('DEBUG', 'RELOAD');
  const whys = new Set<string>();
  await until(async () => {
    const { outcome, ms } = await call(client, 'x', 50);
    assert.ok(ms < 50 + ALLOWANCE_MS, `${ms} ms`);
    if (outcome.type === 'failed') whys.add(outcome.why.split(' ')[0] ?? '');
    return whys.has('LOADING');
  }, 'it says that it loads');
  await loaded;
  await answered(client);
});

test('TLS and an ACL user; without the right password it says so', async (t) => {
  const own = await certificate(t);
  const users = ['default off', 'gateway on >secret ~test:* +evalsha +eval +time +get +set +info +hello'];
  const server = await redis(t, { certificate: own, users });
  const tls = { ca: await readFile(own.ca, 'utf8') };
  const right = await connected(t, { urls: [server.url], username: 'gateway', password: 'secret', tls });
  assert.equal((await call(right)).outcome.type, 'replied');
  const denied = await call(right, 'other');
  assert.match(denied.outcome.type === 'failed' ? denied.outcome.why : '', /^NOPERM/);

  const wrong: [Partial<RedisSettings>, RegExp][] = [
    [{ tls, username: 'gateway', password: 'wrong' }, /WRONGPASS/],
    [{ tls, password: 'secret' }, /WRONGPASS/],
    [{ username: 'gateway', password: 'secret' }, /certificate|self.signed|issuer/i],
    [{ username: 'gateway', password: 'secret', tls: { ...tls, serverName: 'other' } }, /altnames|other/],
  ];
  for (const [settings, why] of wrong) {
    const whys: string[] = [];
    const client = new RedisClient(
      { urls: [server.url], timeoutMs: 20, prefix: 'test', ...settings },
      { onReady: () => whys.push('ready'), onLost: (text) => whys.push(text) },
    );
    t.after(() => client.close());
    await until(() => whys.length > 0, 'it is told');
    assert.match(whys[0] ?? '', why);
    client.close();
  }
});

test('Valkey', async (t) => {
  if (!hasParts(t, 'valkey')) return;
  const server = await redis(t, { program: VALKEY ?? '' });
  const client = await connected(t, { urls: [server.url] });
  assert.deepEqual((await call(client)).outcome, { type: 'replied', values: [1, 1, 0] });
  await server.kill();
  await server.start();
  await answered(client);
});

test('sentinels: after a failover calls go to the new primary', async (t) => {
  const { name, primary, replicas, sentinels: watchers } = await sentinels(t);
  const nodes = watchers.map(({ port }) => `127.0.0.1:${port}`);
  const client = await connected(t, { urls: [], sentinel: { name, nodes } });
  await answered(client);
  const isPrimary = async ({ admin }: RedisServer): Promise<boolean> =>
    (await admin.info('replication')).includes('role:master');
  // One that hangs keeps its connections; nothing else tells that it is gone.
  primary.pause();
  t.after(() => primary.resume());
  const some = async (): Promise<boolean> => (await Promise.all(replicas.map(isPrimary))).includes(true);
  await until(some, 'a replica is the primary', 20_000);
  t.diagnostic(`answered again ${Math.round(await answered(client))} ms after the failover`);
  // The old one comes back, as a replica: calls stay where they are.
  primary.resume();
  await until(async () => !(await isPrimary(primary)), 'the old primary follows', 20_000);
  await answered(client);
});

test('a cluster: keys of all nodes; one that dies takes only its own along, until its replica is there', async (t) => {
  const servers = await cluster(t);
  const client = await connected(t, { urls: servers.map(({ url }) => url), isCluster: true });
  const keys = Array.from({ length: 64 }, (_, i) => `test:{${i}}`);
  const all = async (): Promise<number> => {
    const done = await Promise.all(keys.map((key) => call(client, key, 200)));
    assert.ok(done.every(({ ms }) => ms < 200 + ALLOWANCE_MS));
    return done.filter(({ outcome }) => outcome.type === 'replied').length;
  };
  await until(async () => (await all()) === 64, 'all keys are answered');
  const victim = servers[0] as RedisServer;
  await victim.kill();
  const some = await all();
  assert.ok(some < 64, `${some} of 64 are answered without a node`);
  const [survivor] = servers.slice(1);
  const isWhole = async (): Promise<boolean> => {
    const told = String(await survivor?.admin.call('CLUSTER', 'NODES'));
    return (
      /master,fail/.test(told) &&
      String(await survivor?.admin.call('CLUSTER', 'INFO')).includes('cluster_state:ok')
    );
  };
  await until(isWhole, 'a replica took its place', 30_000);
  const began = clock();
  await until(async () => (await all()) === 64, 'all keys are answered again', 5_000);
  t.diagnostic(`answered again ${Math.round(clock() - began)} ms after the failover`);
});

const ADDRESSES: [what: string, settings: Partial<RedisSettings> & { urls: string[] }, fault: RegExp][] = [
  ['nothing', { urls: [] }, /no URL/],
  ['another scheme', { urls: ['http://a'] }, /no URL of a Redis/],
  ['no host', { urls: ['redis://'] }, /no URL of a Redis/],
  ['no number of a database', { urls: ['redis://a/b'] }, /database/],
  ['a database of a cluster', { urls: ['redis://a/1'], isCluster: true }, /database 0/],
  ['a path of a cluster', { urls: ['unix:/a', 'unix:/b'] }, /unix/],
];
for (const [what, settings, fault] of ADDRESSES) {
  test(`no address: ${what}`, () => {
    assert.throws(() => addressOf({ timeoutMs: 20, prefix: 'a', ...settings }), fault);
  });
}

test('a URL says all that a connection needs, and settings come before it', () => {
  const of = (settings: Partial<RedisSettings> & { urls: string[] }): Record<string, unknown> =>
    addressOf({ timeoutMs: 20, prefix: 'a', ...settings }).options as Record<string, unknown>;
  const url = 'rediss://me:p%40ss@[::1]:7000/3';
  const { host, port, db, username, password, tls } = of({ urls: [url] });
  assert.deepEqual([host, port, db, username, password, tls], ['::1', 7000, 3, 'me', 'p@ss', {}]);
  assert.equal(of({ urls: [url], username: 'you' }).username, 'you');
  assert.equal(of({ urls: ['unix:/run/redis.sock'] }).path, '/run/redis.sock');
  assert.equal(of({ urls: ['redis://a'] }).port, 6379);
  for (let attempt = 1; attempt < 100; attempt += 1) assert.ok(backOff(attempt) <= 1_000);
});
