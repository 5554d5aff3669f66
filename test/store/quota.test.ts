/**
 * quota, `scope: global`: two gateways with one Redis keep one quota, also when the store is gone for a while, and in windows that the
 * store's clock tells.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { QuotaFilter } from '../../ts/generated/config.js';
import type { Config } from '../../ts/index.js';
import { check } from '../../ts/ledger/check.js';
import { folder } from '../kit/binary.js';
import { by, keysOf } from '../kit/consumers.js';
import { code } from '../kit/filtered.js';
import { gateway, type TestGateway } from '../kit/gateway.js';
import { origin } from '../kit/origin.js';
import { hasParts, redis } from '../kit/redis.js';
import { until } from '../kit/until.js';

/** Two gateways of one quota; each has a ledger of its own. */
interface Pair {
  nodes: [TestGateway, TestGateway];
  /** Where the ledgers are. */
  states: string[];
  config(node: number): Partial<Config>;
}

async function pair(t: TestContext, url: string, more: Partial<QuotaFilter> = {}): Promise<Pair> {
  const up = await origin(t, (_, response) => void response.end('8 bytes!'));
  const quota: QuotaFilter = { use: 'quota', per: 'month', limit: 50, name: 'q', scope: 'global', ...more };
  const states = [await folder(t), await folder(t)];
  const config = (node: number): Partial<Config> => ({
    workers: 2,
    admin: { bind: '127.0.0.1:0' },
    state_dir: states[node] ?? '',
    store: { redis: url, timeout: '1s' }, // a busy machine may be late
    upstreams: [{ name: 'up', endpoints: [up.address] }],
    routes: [{ name: 'all', to: 'up', filters: [keysOf('ali', 'bo'), quota] }],
  });
  const nodes: Pair['nodes'] = [await gateway(t, config(0)), await gateway(t, config(1))];
  await until(
    async () => (await metrics(nodes, 'ironsluice_store_nodes')).every((n) => n >= 2),
    'each node knows of the other',
  );
  return { nodes, states, config };
}

/** A metric of each node, summed over its labels. */
function metrics(nodes: TestGateway[], name: string): Promise<number[]> {
  const one = async ({ gateway }: TestGateway): Promise<number> => {
    const lines = (await gateway.metrics()).split('\n');
    const values = lines.filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`));
    return values.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
  };
  return Promise.all(nodes.map(one));
}

/** The statuses of so many requests at once, at each node in turn. */
async function statuses(nodes: TestGateway[], count: number, consumer = 'ali'): Promise<number[]> {
  const one = async (n: number): Promise<number> => {
    const answer = await nodes[n % nodes.length]?.get('/', by(consumer));
    await answer?.text();
    return answer?.status ?? 0;
  };
  return Promise.all(Array.from({ length: count }, (_, n) => one(n)));
}

const passed = (all: number[]): number => all.filter((status) => status === 200).length;

/** What a node says of a consumer's quota. */
async function standing(node: TestGateway, consumer = 'ali'): Promise<Record<string, unknown>> {
  const told = await (await fetch(`${node.admin}/quotas/${consumer}`)).json();
  return (told as { quotas: Record<string, unknown>[] }).quotas[0] ?? {};
}

/** What ledgers say that somebody used, when the gateways are closed. */
async function billed({ nodes, states }: Pair, consumer = 'ali'): Promise<number> {
  await Promise.all(nodes.map((node) => node.gateway.close()));
  const checked = await Promise.all(states.map((state) => check(join(state, 'ledger'))));
  assert.deepEqual(
    checked.flatMap(({ findings }) => findings),
    [],
  );
  const sums = checked.flatMap(({ sums }) => sums).filter((sum) => sum.consumer === consumer);
  return sums.reduce((sum, { units }) => sum + units, 0);
}

test('two gateways admit exactly what one quota says, and tell its use', async (t) => {
  const store = await redis(t);
  const edges = await pair(t, store.url);
  const { nodes } = edges;
  const all = await statuses(nodes, 200);
  assert.deepEqual([passed(all), [...new Set(all)].sort()], [50, [200, 429]]);
  assert.equal(passed(await statuses(nodes, 3, 'bo')), 3);

  for (const node of nodes) {
    const { used, left, scope, source } = await standing(node);
    assert.deepEqual({ used, left, scope, source }, { used: 50, left: 0, scope: 'global', source: 'store' });
    assert.equal((await standing(node, 'bo')).used, 3);
    assert.equal((await standing(node, 'nobody')).used, 0);
  }
  const list = (await (await fetch(`${nodes[0].admin}/quotas`)).json()) as {
    consumers: { consumer: string; quotas: { source: string }[] }[];
  };
  assert.deepEqual(
    list.consumers.map(({ consumer, quotas }) => [consumer, quotas[0]?.source]),
    [
      ['ali', 'node'],
      ['bo', 'node'],
    ],
  );
  const refused = await nodes[0].get('/', by('ali'));
  assert.equal(refused.headers.get('ratelimit')?.replace(/t=\d+/, ''), '"q";r=0;');
  assert.equal(await code(refused), 'quota_exceeded');
  assert.deepEqual(await metrics(nodes, 'ironsluice_quota_fallback_total'), [0, 0]);
  assert.equal(await billed(edges), 50);
});

test('a store that dies costs no request its answer, shares hold, and what was used is made up for', async (t) => {
  const store = await redis(t);
  const edges = await pair(t, store.url, { limit: 40 });
  const { nodes } = edges;
  const [first, second] = nodes;
  // The first knows of 9, the second of all 10.
  assert.equal(passed(await statuses([first], 9)), 9);
  assert.equal(passed(await statuses([second], 1)), 1);

  await store.kill();
  await until(
    async () => (await metrics(nodes, 'ironsluice_store_up')).every((up) => up === 0),
    'the store counts as gone',
  );
  const alone = [await statuses([first], 40), await statuses([second], 40)];
  // (40 - 9) / 2 and (40 - 10) / 2.
  assert.deepEqual(alone.map(passed), [15, 15]);
  assert.deepEqual([...new Set(alone.flat())].sort(), [200, 429]);
  assert.deepEqual(await metrics(nodes, 'ironsluice_quota_fallback_total'), [40, 40]);
  assert.deepEqual(await metrics(nodes, 'ironsluice_quota_owed'), [15, 15]);
  assert.deepEqual((await standing(first)).source, 'node');

  // It comes back with nothing of what it knew, and no request comes.
  await store.start();
  await until(
    async () => (await metrics(nodes, 'ironsluice_quota_owed')).every((owed) => owed === 0),
    'what was used is given',
  );
  for (const node of nodes) {
    const { used, left, source } = await standing(node);
    assert.deepEqual({ used, left, source }, { used: 40, left: 0, source: 'store' });
  }
  assert.equal(passed(await statuses(nodes, 10)), 0);
  assert.equal(await billed(edges), 40);
});

test('on_fail: open passes and counts, closed refuses; a restart takes what the ledger kept', async (t) => {
  const store = await redis(t);
  const edges = await pair(t, store.url, { limit: 20, on_fail: 'open' });
  const { nodes } = edges;
  await store.kill();
  await until(
    async () => (await metrics(nodes, 'ironsluice_store_up')).every((up) => up === 0),
    'the store counts as gone',
  );
  assert.equal(passed(await statuses(nodes, 30)), 30);
  assert.equal(await billed(edges), 30);
  // What the first used is in its ledger, and counts when it begins again.
  await store.start();
  const again = await gateway(t, edges.config(0));
  await until(async () => (await metrics([again], 'ironsluice_store_up'))[0] === 1, 'the store is there');
  assert.equal(passed(await statuses([again], 10)), 5);
  assert.equal((await standing(again)).used, 20);

  const closed = await pair(t, store.url, { name: 'closed', on_fail: 'closed' });
  assert.equal(passed(await statuses(closed.nodes, 4)), 4);
  await store.kill();
  await until(
    async () => (await metrics(closed.nodes, 'ironsluice_store_up')).every((up) => up === 0),
    'the store counts as gone',
  );
  const refused = await closed.nodes[0].get('/', by('ali'));
  assert.deepEqual([refused.status, await code(refused)], [503, 'quota_unavailable']);
});

test('bytes are charged when the response has ended, at all nodes', async (t) => {
  const store = await redis(t);
  const edges = await pair(t, store.url, { limit: 40, unit: 'response_bytes' });
  const { nodes } = edges;
  // One after the other, each when the one before is charged.
  for (let n = 1; n <= 5; n += 1) {
    assert.deepEqual(await statuses([nodes[n % 2] as TestGateway], 1), [200]);
    await until(async () => (await standing(nodes[0])).used === 8 * n, `${8 * n} bytes`);
  }
  assert.deepEqual(await statuses(nodes, 2), [429, 429]);
  assert.equal(await billed(edges), 40);
});

/** Where the store's clock is, in a time zone, before the end of a window; and its length in seconds. */
const BOUNDARIES: [per: QuotaFilter['per'], zone: string, end: string, window: string][] = [
  ['hour', 'UTC', '2027-03-04T10:00:00Z', '2027-03-04T09:00:00Z'],
  ['hour', 'Asia/Kolkata', '2027-03-04T10:30:00Z', '2027-03-04T09:30:00Z'],
  // A day of 23 hours.
  ['day', 'Europe/Berlin', '2027-03-28T22:00:00Z', '2027-03-27T23:00:00Z'],
  ['month', 'Europe/Berlin', '2027-06-30T22:00:00Z', '2027-05-31T22:00:00Z'],
  ['month', 'America/New_York', '2028-03-01T05:00:00Z', '2028-02-01T05:00:00Z'],
];

test('windows end by the calendar, at the time of the store whatever the clock of a gateway shows', async (t) => {
  if (!hasParts(t, 'faketime')) return;
  const store = await redis(t, { hasClock: true });
  for (const [per, zone, end, window] of BOUNDARIES) {
    const boundary = Date.parse(end) / 1_000;
    const sets = (before: number): Promise<void> =>
      store.setClock(Math.round(boundary - before - Date.now() / 1_000));
    await sets(60);
    const { nodes } = await pair(t, store.url, { per, time_zone: zone, limit: 3, name: `${per} ${zone}` });
    assert.equal(passed(await statuses(nodes, 8)), 3, end);
    const at = await standing(nodes[1]);
    assert.deepEqual([at.window, at.reset, at.used], [window, end, 3]);
    assert.ok(Number(at.reset_after_seconds) <= 60, `${at.reset_after_seconds}`);
    await sets(-60);
    assert.equal(passed(await statuses(nodes, 8)), 3, end);
    assert.deepEqual((await standing(nodes[0])).window, end);
    // An hour back: it stays in the window that is open.
    await sets(per === 'hour' ? 1_800 : 3_600);
    assert.equal(passed(await statuses(nodes, 8)), 0, end);
    await Promise.all(nodes.map((node) => node.gateway.close()));
  }
});
