/**
 * quota: what a consumer may use of a window, in each unit; what it is told; and what operators see.
 *
 * Windows are months, which do not end within a test; what depends on calendars and clocks is tested in `crates/core/src/quota`.
 */
import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Filter, QuotaFilter } from '../../ts/generated/config.js';
import { nameOf } from '../../ts/ledger/format.js';
import { folder } from '../kit/binary.js';
import { by, keysOf } from '../kit/consumers.js';
import { code, filtered } from '../kit/filtered.js';
import { gateway } from '../kit/gateway.js';
import { origin } from '../kit/origin.js';
import { freePorts } from '../kit/pebble.js';
import { until } from '../kit/until.js';

const quota = (more: Partial<QuotaFilter> = {}): QuotaFilter => ({
  use: 'quota',
  per: 'month',
  limit: 2,
  name: 'monthly',
  ...more,
});
const chain = (more: Partial<QuotaFilter> = {}): Filter[] => [keysOf('ali', 'bo'), quota(more)];
/** In seconds since 1970, of the month in UTC. */
const month = (from: number): number => {
  const now = new Date();
  return Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + from) / 1000;
};

test('what is left is told, and who has used it up waits for the end of the window', async (t) => {
  const edge = await filtered(t, chain());
  const answers = [];
  for (const consumer of ['ali', 'ali', 'ali', 'bo']) answers.push(await edge.get('/', by(consumer)));

  assert.deepEqual(
    answers.map(({ status, headers }) => [
      status,
      headers.get('ratelimit-policy'),
      headers.get('ratelimit')?.replace(/;t=\d+$/, ''),
    ]),
    [
      [200, '"monthly";q=2', '"monthly";r=1'],
      [200, '"monthly";q=2', '"monthly";r=0'],
      [429, '"monthly";q=2', '"monthly";r=0'],
      [200, '"monthly";q=2', '"monthly";r=1'],
    ],
  );
  const refused = answers[2] as Response;
  const wait = Number(refused.headers.get('retry-after'));
  assert.ok(Math.abs(month(1) - Date.now() / 1000 - wait) < 10, `${wait} seconds to the end of the month`);
  assert.equal(refused.headers.get('ratelimit'), `"monthly";r=0;t=${wait}`);
  assert.deepEqual(await refused.json(), {
    type: 'https://iana.org/assignments/http-problem-types#quota-exceeded',
    title: 'Request cannot be satisfied as assigned quota has been exceeded',
    status: 429,
    code: 'quota_exceeded',
    detail: 'The quota of this window is used up.',
    'violated-policies': ['monthly'],
  });
  assert.equal(edge.up.hits, 3);
  assert.equal((await edge.get('/')).status, 401);
});

test('bytes and fields are charged when the response has ended, and may end above', async (t) => {
  const units: [string, number][] = [
    ['request_bytes', 5],
    ['response_bytes', 8],
    ['bytes', 13],
    ['header:x-cost', 42],
  ];
  for (const [unit, want] of units) {
    const edge = await filtered(t, chain({ unit, limit: want + 1 }), {
      handler: (_, response) => void response.writeHead(200, { 'x-cost': 42 }).end('8 bytes!'),
    });
    const send = async (): Promise<[number, string]> => {
      const answer = await edge.get('/', by('ali', { method: 'POST', body: '5 byt' }));
      await answer.text();
      return [answer.status, answer.headers.get('ratelimit')?.replace(/;t=\d+$/, '') ?? ''];
    };
    assert.deepEqual(await send(), [200, `"monthly";r=${want + 1}`], unit);
    // The response's last byte may be here before the charge is.
    await until(async () => (await send())[1] !== `"monthly";r=${want + 1}`, `a charge of ${unit}`);
    await until(async () => (await send())[0] === 429, `the end of ${unit}`);
    const { hits } = edge.up;
    assert.ok(hits >= 2, 'the second was admitted with 1 left');
    assert.deepEqual(await send(), [429, '"monthly";r=0'], unit);
    assert.equal(edge.up.hits, hits);
  }
});

test('two shards under many connections admit exactly the limit', async (t) => {
  const edge = await filtered(t, chain({ limit: 50 }), { workers: 2 });
  const all = Array.from({ length: 200 }, () =>
    edge.get('/', by('ali', { headers: { connection: 'close' } })),
  );
  const statuses = (await Promise.all(all)).map(({ status }) => status);
  assert.deepEqual([statuses.filter((s) => s === 200).length, edge.up.hits], [50, 50]);
});

test('a plan has its own limit, a quota of one name is one on all routes, and a reload keeps what was used', async (t) => {
  const up = await origin(t);
  const plans = { plans: { pro: 5, free: 1 }, plan_of: { ali: 'pro', bo: 'free' } };
  const config = (more: Partial<QuotaFilter>) => ({
    listeners: [{ name: 'web', bind: '127.0.0.1:0' }],
    admin: { bind: '127.0.0.1:0' },
    upstreams: [{ name: 'up', endpoints: [up.address] }],
    routes: ['a', 'b'].map((name) => ({
      name,
      match: { path: `/${name}` },
      to: 'up',
      filters: [keysOf('ali', 'bo', 'cy/%'), quota({ ...plans, ...more })],
    })),
  });
  const edge = await gateway(t, config({}));
  const statuses = async (consumer: string, paths: string[]): Promise<number[]> => {
    const all = [];
    for (const path of paths) all.push((await edge.get(path, by(consumer))).status);
    return all;
  };
  assert.deepEqual(await statuses('ali', ['/a', '/b', '/a']), [200, 200, 200]);
  assert.deepEqual(await statuses('bo', ['/a', '/b']), [200, 429]);
  assert.deepEqual(await statuses('cy/%', ['/a', '/b', '/a']), [200, 200, 429]);

  const told = async (path: string): Promise<unknown> => (await fetch(`${edge.admin}${path}`)).json();
  const standing = (used: number, limit: number, plan?: string) => ({
    name: 'monthly',
    scope: 'process',
    unit: 'requests',
    per: 'month',
    time_zone: 'UTC',
    limit,
    used,
    left: limit - used,
    window: new Date(month(0) * 1000).toISOString().replace('.000', ''),
    reset: new Date(month(1) * 1000).toISOString().replace('.000', ''),
    ...(plan === undefined ? {} : { plan }),
  });
  const plain = (value: unknown): unknown =>
    JSON.parse(JSON.stringify(value, (key, v) => (key === 'reset_after_seconds' ? undefined : v)));
  const one = await told('/quotas/ali');
  assert.deepEqual(plain(one), { consumer: 'ali', quotas: [standing(3, 5, 'pro')] });
  const { quotas } = one as { quotas: { reset_after_seconds: number }[] };
  assert.ok(Math.abs((quotas[0]?.reset_after_seconds ?? 0) - (month(1) - Date.now() / 1000)) < 10);
  assert.deepEqual(plain(await told('/quotas/nobody')), { consumer: 'nobody', quotas: [standing(0, 2)] });
  assert.deepEqual(plain(await told('/quotas/cy%2F%25')), { consumer: 'cy/%', quotas: [standing(2, 2)] });
  assert.deepEqual(plain(await told('/quotas')), {
    consumers: [
      { consumer: 'ali', quotas: [standing(3, 5, 'pro')] },
      { consumer: 'bo', quotas: [standing(1, 1, 'free')] },
      { consumer: 'cy/%', quotas: [standing(2, 2)] },
    ],
    not_listed: 0,
  });
  assert.equal((await fetch(`${edge.admin}/quotas/%ff`)).status, 400);
  assert.match(await edge.gateway.metrics(), /^ironsluice_ledger_lost_charges_total 0$/m);

  await edge.gateway.reload(config({ plans: { pro: 4, free: 2 } }));
  assert.deepEqual(await statuses('ali', ['/b', '/b']), [200, 429]);
  assert.deepEqual(await statuses('bo', ['/b', '/b']), [200, 429]);
});

test('who cannot be counted is refused, and who is counted already is not', async (t) => {
  // A ledger that says that so many consumers used something that there is no room for one more, wherever it would be kept.
  const state = await folder(t);
  const consumers = ['ali', ...Array.from({ length: 400_000 }, (_, n) => `c${n}`)];
  const start = `${Date.now() - 1_000}-0000`;
  const usage = consumers.map((consumer) => ['monthly', 'requests', 'month', consumer, [[month(0), 1]]]);
  const header = { ledger: 1, start, file: 1, time: 0, carried: { positions: {}, usage } };
  await mkdir(join(state, 'ledger'), { mode: 0o700 });
  await writeFile(join(state, 'ledger', nameOf(start, 1)), `${JSON.stringify(header)}\n`);
  const up = await origin(t);
  const edge = await gateway(t, {
    state_dir: state,
    upstreams: [{ name: 'up', endpoints: [up.address] }],
    routes: [{ name: 'all', to: 'up', filters: chain() }],
  });
  const refused = await edge.get('/', by('bo'));
  assert.deepEqual([refused.status, await code(refused)], [503, 'quota_full']);
  const known = [await edge.get('/', by('ali')), await edge.get('/', by('ali'))];
  assert.deepEqual(
    known.map(({ status }) => status),
    [200, 429],
  );
});

test('of scope global with a store that is not there, closed refuses and the default admits', async (t) => {
  const up = await origin(t);
  const [port = 0] = await freePorts(1);
  for (const [on_fail, want] of [
    ['closed', [503, 503, 503]],
    ['fair_share', [200, 200, 429]],
  ] as const) {
    const edge = await gateway(t, {
      store: { redis: `redis://127.0.0.1:${port}` },
      upstreams: [{ name: 'up', endpoints: [up.address] }],
      routes: [{ name: 'all', to: 'up', filters: chain({ scope: 'global', on_fail }) }],
    });
    const answers = [];
    for (let n = 0; n < 3; n += 1) answers.push(await edge.get('/', by('ali')));
    assert.deepEqual(
      answers.map(({ status }) => status),
      want,
    );
    const last = await code(answers[2] as Response);
    assert.equal(last, on_fail === 'closed' ? 'quota_unavailable' : 'quota_exceeded');
  }
});
