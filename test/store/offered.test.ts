/**
 * rate_limit, `scope: global`, offered ten times its rate: two gateways of four threads each, one key at 1,000/s, for ten seconds.
 *
 * h2load sends at a pace, whatever the answers are. What passed is counted by the gateways, and time by the store's clock.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import type { RateLimitFilter } from '../../ts/generated/config.js';
import { fleet, type Node } from '../kit/fleet.js';
import { type RedisServer, redis } from '../kit/redis.js';
import { until } from '../kit/until.js';

const run = promisify(execFile);
const RATE = 1_000;
const BURST = 100;
const SECONDS = 10;

test('strict: at most the limit by the clock of the store, at least 97 % of it, and no fallback', async (t) => {
  const { store, nodes } = await start(t, 'strict');
  const from = await clock(store);
  await Promise.all(nodes.map((node) => offer(node, 5_000)));
  const elapsed = (await clock(store)) - from;
  const passed = await sum(nodes, PASSED);
  const most = BURST + RATE * elapsed;
  t.diagnostic(
    `${passed} of ${most.toFixed(0)} in ${elapsed.toFixed(2)} s, ${await sum(nodes, ALL)} offered`,
  );
  assert.equal(await sum(nodes, 'ironsluice_rate_limit_fallback_total'), 0);
  assert.ok(passed <= most, `${passed} of at most ${most}`);
  assert.ok(passed >= 0.97 * (BURST + RATE * SECONDS), `${passed} of ${most}`);
  assert.equal(await sum(nodes, FAILED), 0);
});

test('leased: within the bound, at most 1 % over at steady state, and at most 0.05 calls a request', async (t) => {
  for (const [name, busy, quiet] of [
    ['even', 5_000, 5_000],
    ['9 to 1', 9_000, 1_000],
  ] as const) {
    const { store, nodes } = await start(t, 'leased');
    const [one, other] = nodes;
    assert.ok(one !== undefined && other !== undefined);
    const calls = 'ironsluice_store_calls_total';
    const callsBefore = await sum(nodes, calls);
    const from = await clock(store);
    const load = Promise.all([offer(one, busy), offer(other, quiet)]);
    // The burst is used up by then.
    await until(async () => (await clock(store)) - from > 2, 'a steady state', 5_000);
    const [steadyFrom, passedBefore] = [await clock(store), await sum(nodes, PASSED)];
    await until(async () => (await clock(store)) - from > SECONDS - 1, 'nearly all of the load', 15_000);
    const [steady, passedSteady] = [(await clock(store)) - steadyFrom, await sum(nodes, PASSED)];
    await load;
    const elapsed = (await clock(store)) - from;
    const [passed, offered] = [await sum(nodes, PASSED), await sum(nodes, ALL)];
    const bound = await one.metric('ironsluice_rate_limit_overshoot_bound');
    const each = ((await sum(nodes, calls)) - callsBefore) / offered;
    const most = BURST + RATE * elapsed;
    const over = (passedSteady - passedBefore) / (RATE * steady);
    t.diagnostic(
      `${name}: ${passed} of ${most.toFixed(0)} in ${elapsed.toFixed(2)} s, bound ${bound}, ${offered} offered; ` +
        `steady ${(100 * over).toFixed(2)} % of the rate, ${each.toFixed(4)} calls a request`,
    );
    assert.ok(passed <= most + bound, `${name}: ${passed} of ${most} and ${bound}`);
    assert.ok(over <= 1.01, `${name}: ${over} of the rate`);
    assert.ok(passed >= 0.97 * RATE * SECONDS, `${name}: ${passed} of ${most}`);
    assert.ok(each <= 0.05, `${name}: ${each} calls a request`);
    assert.equal(await sum(nodes, FAILED), 0);
    assert.equal(await sum(nodes, 'ironsluice_rate_limit_fallback_total'), 0);
  }
});

/** Two gateways that know of each other. */
async function start(
  t: TestContext,
  mode: 'strict' | 'leased',
): Promise<{ store: RedisServer; nodes: Node[] }> {
  const store = await redis(t);
  const rate: RateLimitFilter = {
    use: 'rate_limit',
    rate: `${RATE}/s`,
    burst: BURST,
    scope: 'global',
    key: 'client_ip',
    mode,
  };
  const nodes = await fleet(t, 2, {
    workers: 4,
    store: { redis: store.url, timeout: '2s' },
    routes: [{ name: 'all', filters: [rate, { use: 'respond', status: 200, body: 'ok' }] }],
  });
  const know = async (): Promise<boolean> => (await sum(nodes, 'ironsluice_store_nodes')) === 4;
  await until(know, 'each knows of the other', 5_000);
  return { store, nodes };
}

/** So many requests a second, of 50 connections. */
async function offer({ address }: Node, rate: number): Promise<void> {
  const each = rate / 50;
  await run('h2load', ['--h1', '-c', '50', '-D', `${SECONDS}`, '--rps', `${each}`, `http://${address}/`]);
}

/** Seconds of the store's clock. */
async function clock(store: RedisServer): Promise<number> {
  const [seconds, micros] = await store.admin.time();
  return Number(seconds) + Number(micros) / 1e6;
}

async function sum(nodes: readonly Node[], metric: string): Promise<number> {
  const all = await Promise.all(nodes.map((node) => node.metric(metric)));
  return all.reduce((a, b) => a + b, 0);
}

const ALL = 'ironsluice_requests_total';
const PASSED = 'ironsluice_requests_total{class="2xx",route="all"}';
const FAILED = 'ironsluice_requests_total{class="5xx",route="all"}';
