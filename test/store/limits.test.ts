/**
 * rate_limit, `scope: global`: two gateways with one Redis admit together what one limit says. What they do without it: faults.test.ts.
 *
 * Rates are low and times are seconds: what is checked are counts over a time that was measured, not how fast anything is.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RateLimitFilter, RateLimitLimit } from '../../ts/generated/config.js';
import type { Config } from '../../ts/index.js';
import { filtered } from '../kit/filtered.js';
import { fleet, load, type Told } from '../kit/fleet.js';
import { gateway } from '../kit/gateway.js';
import { redis } from '../kit/redis.js';

const RATE = 300;
const BURST = 30;

/** One route that answers by itself, behind this limit. */
function limited(url: string, limit: Partial<RateLimitFilter>): Partial<Config> {
  const rate: RateLimitFilter = {
    use: 'rate_limit',
    rate: `${RATE}/s`,
    burst: BURST,
    scope: 'global',
    key: 'route',
    ...limit,
  };
  return {
    store: { redis: url, timeout: '1s' }, // a busy machine may be late
    routes: [{ name: 'all', filters: [rate, { use: 'respond', status: 200, body: 'ok' }] }],
  };
}

/** How many passed, and from the first request to the last answer of all, seconds. */
function sum(told: Told[]): { passed: number; seconds: number; statuses: Set<number> } {
  const from = Math.min(...told.map(({ sent }) => sent));
  const to = Math.max(...told.map(({ sent, took }) => sent + took));
  return {
    passed: told.filter(({ status }) => status === 200).length,
    seconds: (to - from) / 1_000,
    statuses: new Set(told.map(({ status }) => status)),
  };
}

test('strict: two gateways admit one limit, and hardly less', async (t) => {
  const store = await redis(t);
  const nodes = await fleet(t, 2, limited(store.url, { mode: 'strict' }));
  const forMs = 3_000;
  const told = (await Promise.all(nodes.map((node) => load(node, { rate: RATE, forMs })))).flat();

  const { passed, seconds, statuses } = sum(told);
  assert.deepEqual([...statuses].sort(), [200, 429]);
  const most = BURST + RATE * seconds;
  t.diagnostic(`${passed} of ${most.toFixed(1)}, ${told.length} sent`);
  assert.ok(passed <= most, `${passed} of at most ${most}`);
  assert.ok(passed >= 0.97 * (BURST + (RATE * forMs) / 1_000), `${passed} of ${most}`);
});

test('leased: within its bound, nearly all of the limit at a skew of 9 to 1, and few calls', async (t) => {
  const store = await redis(t);
  const nodes = await fleet(t, 2, limited(store.url, { mode: 'leased' }));
  const [busy, idle] = nodes;
  assert.ok(busy !== undefined && idle !== undefined);
  const forMs = 5_000;
  const told = (
    await Promise.all([load(busy, { rate: 1.8 * RATE, forMs }), load(idle, { rate: 0.2 * RATE, forMs })])
  ).flat();

  const { passed, seconds, statuses } = sum(told);
  assert.deepEqual([...statuses].sort(), [200, 429]);
  const bound = await busy.metric('ironsluice_rate_limit_overshoot_bound');
  const calls = await Promise.all(nodes.map((node) => node.metric('ironsluice_store_calls_total')));
  const most = BURST + RATE * seconds;
  t.diagnostic(`${passed} of ${most.toFixed(1)}, bound ${bound}, calls ${calls}, ${told.length} sent`);
  assert.ok(bound > 0 && passed <= most + bound, `${passed} of ${most} and ${bound}`);
  assert.ok(passed >= 0.97 * ((RATE * forMs) / 1_000), `${passed} of ${most}`);
  assert.deepEqual(
    await Promise.all(nodes.map((n) => n.metric('ironsluice_rate_limit_fallback_total'))),
    [0, 0],
  );
});

test('each algorithm counts over two gateways, with the fields of a limit of one', async (t) => {
  const store = await redis(t);
  for (const algorithm of [
    'gcra',
    'token_bucket',
    'fixed_window',
    'sliding_window',
    'sliding_window_log',
  ] as const) {
    const limit: Partial<RateLimitFilter> = {
      mode: 'strict',
      algorithm,
      rate: '4/h',
      cost: 2,
      legacy_headers: true,
      name: 'shared',
    };
    const isBucket = algorithm === 'gcra' || algorithm === 'token_bucket';
    const config = limited(store.url, isBucket ? { ...limit, burst: 4 } : limit);
    if (!isBucket) delete (config.routes?.[0]?.filters?.[0] as RateLimitFilter | undefined)?.burst;
    const edges = [await gateway(t, config), await gateway(t, config)];
    const answers = [];
    for (const edge of [...edges, ...edges]) answers.push(await edge.get('/'));
    assert.deepEqual(
      answers.map(({ status }) => status),
      [200, 200, 429, 429],
      algorithm,
    );
    assert.deepEqual(
      answers.map(({ headers }) => headers.get('ratelimit')?.replace(/;t=\d+$/, '')),
      [2, 0, 0, 0].map((left) => `"shared";r=${left}`),
      algorithm,
    );
    const [first, , refused] = answers;
    assert.equal(first?.headers.get('x-ratelimit-limit'), '4');
    assert.equal(first?.headers.get('x-ratelimit-remaining'), '2');
    assert.ok(Number(refused?.headers.get('retry-after')) > 0);
  }
});

test('of several limits over two gateways the strictest answers, and what it refuses counts for none', async (t) => {
  const store = await redis(t);
  // Of one kind, of several, and with one that each gateway counts for itself.
  const cases: [name: string, limits: RateLimitLimit[], left: string[]][] = [
    [
      'strict',
      [
        { name: 'all', rate: '9/h', algorithm: 'fixed_window', key: 'route', mode: 'strict' },
        { name: 'each', rate: '3/h', algorithm: 'sliding_window_log', key: 'header:x-key', mode: 'strict' },
        { name: 'burst', rate: '8/h', burst: 8, key: ['route', 'header:x-key'], mode: 'strict' },
      ],
      ['8 2 7', '7 1 6', '6 0 5', '6 0 5', '6 0 5', '6 0 5'],
    ],
    [
      'strict and process',
      [
        { name: 'all', rate: '3/h', burst: 3, key: 'route', mode: 'strict' },
        { name: 'here', rate: '5/h', algorithm: 'fixed_window', scope: 'process' },
      ],
      ['2 4', '1 4', '0 3', '0 4', '0 3', '0 4'],
    ],
  ];
  for (const [name, limits, left] of cases) {
    const config = limited(store.url, { limits });
    const filter = config.routes?.[0]?.filters?.[0] as Partial<RateLimitFilter>;
    for (const key of ['rate', 'burst', 'key'] as const) delete filter[key];
    config.store = { redis: store.url, timeout: '1s', prefix: name.replaceAll(' ', '-') };
    const edges = [await gateway(t, config), await gateway(t, config)];
    const ask = async (n: number, key = 'a'): Promise<Response | undefined> =>
      edges[n % 2]?.get('/', { headers: { 'X-Key': key } });
    for (const [n, wanted] of left.entries()) {
      const answer = await ask(n);
      assert.equal(answer?.status, n < 3 ? 200 : 429, `${name} ${n}`);
      const told = [...(answer?.headers.get('ratelimit') ?? '').matchAll(/r=(\d+)/g)];
      assert.equal(told.map(([, r]) => r).join(' '), wanted, `${name} ${n}`);
      if (n >= 3) assert.ok(Number(answer?.headers.get('retry-after')) > 1_100, name);
    }
    if (name !== 'strict') continue;
    const other = await ask(0, 'b');
    assert.match(other?.headers.get('ratelimit') ?? '', /"all";r=5;.*"each";r=2;.*"burst";r=7/);
  }
});

test('several leased limits: two gateways keep within the bound of the strictest, and few calls', async (t) => {
  const store = await redis(t);
  const limits: RateLimitLimit[] = [
    { name: 'wide', rate: `${3 * RATE}/s`, burst: 3 * BURST, key: 'route' },
    { name: 'strictest', rate: `${RATE}/s`, burst: BURST, key: 'route' },
    { name: 'here', rate: `${2 * RATE}/s`, scope: 'process', key: 'route' },
  ];
  const config = limited(store.url, { limits });
  const filter = config.routes?.[0]?.filters?.[0] as Partial<RateLimitFilter>;
  for (const key of ['rate', 'burst', 'key'] as const) delete filter[key];
  const nodes = await fleet(t, 2, config);
  const forMs = 4_000;
  const told = (await Promise.all(nodes.map((node) => load(node, { rate: 0.9 * RATE, forMs })))).flat();

  const { passed, seconds, statuses } = sum(told);
  assert.deepEqual([...statuses].sort(), [200, 429]);
  const bounds = await nodes[0]?.metric('ironsluice_rate_limit_overshoot_bound');
  const calls = await Promise.all(nodes.map((node) => node.metric('ironsluice_store_calls_total')));
  const most = BURST + RATE * seconds;
  t.diagnostic(`${passed} of ${most.toFixed(1)}, bounds ${bounds}, calls ${calls}, ${told.length} sent`);
  // The sum of the bounds of both that are leased: more than the strictest has.
  assert.ok(passed <= most + (bounds ?? 0), `${passed} of ${most} and ${bounds}`);
  assert.ok(passed >= 0.95 * ((RATE * forMs) / 1_000), `${passed} of ${most}`);
  const fallbacks = await Promise.all(nodes.map((n) => n.metric('ironsluice_rate_limit_fallback_total')));
  assert.deepEqual(fallbacks, [0, 0]);
});

test('when a reload has ended all is counted in its store, and memory is none', async (t) => {
  const [one, other] = [await redis(t), await redis(t)];
  const limit: RateLimitFilter = {
    use: 'rate_limit',
    rate: '1/h',
    burst: 1,
    scope: 'global',
    mode: 'strict',
  };
  const edge = await filtered(t, [{ use: 'respond', status: 200, body: 'ok' }]);
  const config = (url: string): Config => ({ ...edge.config([limit]), store: { redis: url, timeout: '1s' } });
  await edge.gateway.reload(config(one.url));
  assert.deepEqual([(await edge.get('/')).status, (await edge.get('/')).status], [200, 429]);
  await edge.gateway.reload(config(other.url));
  assert.equal((await edge.get('/')).status, 200);
  await assert.rejects(edge.gateway.reload(edge.config([limit])), /routes\[0\]\.filters\[0\]\.scope/);
  assert.equal((await edge.get('/')).status, 429);
});
