/**
 * traffic: gateways with one store, under a steady load on several limits at a time, while something befalls the store.
 *
 * A run: the load begins; a second later the harm is done; where the store is gone by it, that lasts 2.5 seconds; a second after all
 * nodes have it again, what passes is counted once more. What is checked of every run stands in {@link check}.
 */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { RateLimitFilter, RedisStore } from '../../ts/generated/config.js';
import type { Config } from '../../ts/index.js';
import { fleet, load, type Node, type Told } from '../kit/fleet.js';
import { until } from '../kit/until.js';

/** Of each limit, over all nodes, a second. */
export const RATE = 60;
export const BURST = 12;
/** A limit. */
export interface Kind {
  mode: 'strict' | 'leased';
  algorithm?: RateLimitFilter['algorithm'];
  onFail?: 'fair_share' | 'open' | 'closed';
}

/** What befalls. */
export interface Scene {
  /** The store of each node, by its number. */
  stores: RedisStore[];
  harm(nodes: readonly Node[]): unknown;
  /** Resolves when the store is there again. Without it nothing is to be mended. */
  mend?(): unknown;
  /** So many nodes, the last ones, have no store in between. `some`: it is not known which, and for how long. */
  lost: number | 'some';
  /** True if the store forgets what was used. */
  forgets?: boolean;
  /** Added to the environment of the gateways. */
  env?: Record<string, string>;
}

/** A span of `performance.now()`. */
interface Span {
  from: number;
  to: number;
}

/** What came of a run. */
interface Ran {
  /** By node. */
  told: Told[][];
  /** From the harm to when all nodes had the store. */
  harmed: Span;
  /** How much of it some nodes may have been without the store, and others not, milliseconds. */
  apart: number;
  /** When the fallback must hold. */
  gone: Span;
  /** When the limit must hold again. */
  held: Span;
  /** `ironsluice_rate_limit_overshoot_bound` of each leased limit. */
  bound: number;
  /** Requests that were decided without the store: in all, and in {@link held}. */
  fallbacks: { all: number; held: number };
}

const nameOf = ({ mode, algorithm = 'gcra', onFail = 'fair_share' }: Kind): string =>
  `${mode}-${algorithm}-${onFail}`;
const isBucket = ({ algorithm = 'gcra' }: Kind): boolean => ['gcra', 'token_bucket'].includes(algorithm);

/** Runs it, and checks what must hold. */
export async function endure(t: TestContext, scene: Scene, kinds: readonly Kind[]): Promise<void> {
  const ran = await run(scene, kinds, await start(t, scene, kinds));
  for (const kind of kinds) check(t, scene, kind, ran);
  const sent = ran.told.flat();
  // What a busy machine may be late by; a wait for the store would show in many.
  const waits = sent.map(({ took }) => took).sort((a, b) => b - a);
  const [longest = 0, most = 0] = [waits[0], waits[Math.floor(waits.length / 100)]];
  t.diagnostic(
    `${sent.length} sent, back after ${Math.round(ran.harmed.to - ran.gone.to)} ms, 99 % within ${Math.round(most)} ms, all within ${Math.round(longest)} ms`,
  );
  assert.ok(most < TIMEOUT_MS + 200, `1 of 100 waited ${most} ms`);
  assert.ok(longest < 1_500, `one waited ${longest} ms`);
  const few = (ran.held.to - ran.held.from) * 0.001 * RATE * kinds.length * 0.03;
  assert.ok(ran.fallbacks.held <= few, `${ran.fallbacks.held} without the store that is back`);
  if (scene.lost === 0) assert.ok(ran.fallbacks.all <= 2 * few, `${ran.fallbacks.all} without the store`);
  else assert.ok(ran.fallbacks.all > 0, 'some were decided without the store');
}

async function start(t: TestContext, { stores, env = {} }: Scene, kinds: readonly Kind[]): Promise<Node[]> {
  const routes = kinds.map((kind) => {
    const { mode, algorithm = 'gcra', onFail = 'fair_share' } = kind;
    const limit: RateLimitFilter = {
      use: 'rate_limit',
      rate: `${RATE}/s`,
      scope: 'global',
      key: 'route',
      mode,
      algorithm,
      on_fail: onFail,
      ...(isBucket(kind) && { burst: BURST }),
    };
    const name = nameOf(kind);
    return {
      name,
      match: { path: `/${name}` },
      filters: [limit, { use: 'respond' as const, status: 200, body: 'ok' }],
    };
  });
  const config = (number: number): Partial<Config> => ({
    store: { ...stores[number], timeout: `${TIMEOUT_MS}ms` },
    routes,
  });
  return fleet(t, stores.length, config, env);
}

async function run(scene: Scene, kinds: readonly Kind[], nodes: Node[]): Promise<Ran> {
  const all = (name: string): Promise<number[]> => Promise.all(nodes.map((node) => node.metric(name)));
  const passes = (ms: number, from = performance.now()): Promise<void> =>
    until(() => performance.now() >= from + ms, 'time', ms + 5_000);
  const isWhole = async (): Promise<boolean> =>
    (await all('ironsluice_store_nodes')).every((count) => count === nodes.length);
  await until(isWhole, 'each node knows of all', 20_000);

  // A fair share is to be exceeded at each node, or it would not show.
  const weight = ({ onFail = 'fair_share' }: Kind): number => (onFail === 'fair_share' ? 3 : 2);
  const paths = [0, 1, 2].flatMap((n) =>
    kinds.filter((kind) => weight(kind) > n).map((k) => `/${nameOf(k)}`),
  );
  const over = new AbortController();
  const flow = { rate: 20 * paths.length, forMs: 60_000, paths, signal: over.signal };
  const whole = Promise.all(nodes.map((node) => load(node, flow)));
  try {
    await passes(1_000);
    const from = performance.now();
    await scene.harm(nodes);
    let apart = 0;
    if (typeof scene.lost === 'number' && scene.lost > 0) {
      const lost = nodes.slice(-scene.lost);
      const isGone = async (): Promise<boolean> =>
        (await Promise.all(lost.map((n) => n.metric('ironsluice_store_up')))).every((up) => up === 0);
      await until(isGone, 'the store is known to be gone', 1_000 - (performance.now() - from));
      apart = performance.now() - from;
      await passes(2_500, from);
    }
    const gone = { from: from + 1_000, to: performance.now() };
    await scene.mend?.();
    const mended = performance.now();
    const isBack = async (): Promise<boolean> => (await all('ironsluice_store_up')).every((up) => up === 1);
    await until(isBack, 'all have the store again', 4_000);
    const harmed = { from, to: performance.now() };
    apart = scene.lost === 'some' ? APART_MS : apart + harmed.to - mended;
    const sum = async (): Promise<number> =>
      (await all('ironsluice_rate_limit_fallback_total')).reduce((a, b) => a + b, 0);
    await passes(scene.lost === 'some' ? SOME_MS : 1_000);
    const [held, before] = [{ from: performance.now(), to: 0 }, await sum()];
    assert.ok(held.from - mended < 5_000, 'within 5 s');
    await passes(1_500);
    held.to = performance.now();
    const after = await sum();
    const leases = kinds.filter(({ mode }) => mode === 'leased').length;
    const bounds = leases === 0 ? [0] : await all('ironsluice_rate_limit_overshoot_bound');
    const bound = Math.max(...bounds) / Math.max(1, leases);
    over.abort();
    return {
      told: await whole,
      harmed,
      apart,
      gone,
      held,
      bound,
      fallbacks: { all: after, held: after - before },
    };
  } finally {
    over.abort();
    await whole;
  }
}

function check(t: TestContext, scene: Scene, kind: Kind, ran: Ran): void {
  const { mode, onFail = 'fair_share' } = kind;
  const { told, harmed, apart, gone, held, bound, fallbacks } = ran;
  const name = nameOf(kind);
  const mine = told.map((of) => of.filter(({ path }) => path === `/${name}`));
  const count = (
    { from, to }: Span,
    of: Told[][] = mine,
    status = 200,
  ): { passed: number; sent: number; seconds: number } => {
    const sent = of.flat().filter((one) => one.sent >= from && one.sent < to);
    const passed = sent.filter((one) => one.status === status).length;
    return { passed, sent: sent.length, seconds: (to - from) / 1_000 };
  };
  const all = count({ from: 0, to: Number.POSITIVE_INFINITY });
  const sent = mine.flat().map((one) => one.sent);
  const seconds = (Math.max(...sent) - Math.min(...sent)) / 1_000 + 0.1;
  const statuses = new Set(mine.flat().map(({ status }) => status));
  const allowed = scene.lost !== 0 && onFail === 'closed' ? [200, 429, 503] : [200, 429];
  assert.deepEqual(
    [...statuses].filter((status) => !allowed.includes(status)),
    [],
    `${name}: statuses`,
  );

  // A window's count may pass at the end of one and again at the beginning of the next.
  const burst = isBucket(kind) ? BURST : RATE;
  const beyond = burst + (mode === 'leased' ? bound : 0);
  const again = count(held);
  // All of a window's may pass at its beginning.
  const sure = 0.85 * RATE * (isBucket(kind) ? again.seconds : Math.floor(again.seconds));
  assert.ok(again.passed <= RATE * again.seconds + beyond, `${name}: ${again.passed} when it was back`);
  assert.ok(again.passed >= sure, `${name}: only ${again.passed} when it was back`);

  const lost = scene.lost === 'some' ? mine.length : scene.lost;
  let without = '';
  if (typeof scene.lost === 'number' && lost > 0) {
    const alone = count(gone, mine.slice(-lost), onFail === 'closed' ? 503 : 200);
    without = `, ${alone.passed} of ${alone.sent} without the store`;
    if (onFail === 'fair_share') {
      const share = (RATE * alone.seconds * lost) / mine.length;
      assert.ok(alone.passed <= 1.02 * share + 2 * lost, `${name}: ${alone.passed} of a share of ${share}`);
      assert.ok(alone.passed >= 0.85 * share, `${name}: only ${alone.passed} of a share of ${share}`);
    } else {
      assert.equal(alone.passed, alone.sent, `${name}: all alike`);
    }
    if (lost < mine.length) {
      const rest = count(gone, mine.slice(0, -lost));
      assert.ok(rest.passed >= 0.85 * RATE * rest.seconds, `${name}: only ${rest.passed} at the others`);
      assert.ok(rest.passed <= RATE * rest.seconds + beyond, `${name}: ${rest.passed} at the others`);
    }
  }
  // What docs/guide/limits.md says of an outage: two bursts, and what nodes without the store add while others have it.
  const split = lost === mine.length ? apart : harmed.to - harmed.from;
  const added = (RATE * split * Math.min(lost, mine.length - 1)) / mine.length / 1_000;
  const outage = lost === 0 ? Math.min(burst, fallbacks.all) : 2 * burst + added;
  const most = RATE * seconds + beyond + outage + (scene.forgets === true ? burst : 0);
  t.diagnostic(
    `${name}: ${all.passed} of at most ${most.toFixed(0)} passed, ${again.passed} of ${(RATE * again.seconds).toFixed(0)} at the end${without}`,
  );
  if (onFail !== 'open') assert.ok(all.passed <= most, `${name}: ${all.passed} of at most ${most}`);
}

/** When it is known only that something was lost: how long until all have found it. */
const SOME_MS = 3_000;
/** By how much less all have lost or found it then. */
const APART_MS = 2_000;
/** The deadline of the store: longer than the default, so that a busy machine is no store that is gone. */
const TIMEOUT_MS = 200;
