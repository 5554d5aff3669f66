/**
 * Clocks of stores and gateways that are set an hour forward or back under load: nobody is locked out, nobody is let free.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { folder } from '../kit/binary.js';
import type { Node } from '../kit/fleet.js';
import { clockOf, failedOver, hasParts, offset, redis, sentinels } from '../kit/redis.js';
import { until } from '../kit/until.js';
import { endure, type Kind, type Scene } from './traffic.js';

const KINDS: readonly Kind[] = [
  { mode: 'leased', algorithm: 'gcra' },
  { mode: 'leased', algorithm: 'token_bucket' },
  ...(['gcra', 'token_bucket', 'fixed_window', 'sliding_window', 'sliding_window_log'] as const).map(
    (algorithm) => ({ mode: 'strict' as const, algorithm }),
  ),
];
const HOUR = 3_600;

/** The store's. */
async function store(t: TestContext, seconds: number): Promise<Scene> {
  const server = await redis(t, { hasClock: true });
  const one = { redis: server.url };
  // All that was used is over by a clock that was set forward.
  return { stores: [one, one], harm: () => server.setClock(seconds), lost: 0, forgets: seconds > 0 };
}

/** The gateways'. */
async function gateways(t: TestContext, seconds: number): Promise<Scene> {
  const file = join(await folder(t, { time: offset(0) }), 'time');
  const one = { redis: (await redis(t)).url };
  const harm = async (nodes: readonly Node[]): Promise<void> => {
    await writeFile(file, offset(seconds));
    for (const { address } of nodes) {
      const isSet = async (): Promise<boolean> => {
        const date = (await fetch(`http://${address}/`)).headers.get('date') ?? '';
        return Math.abs(Date.parse(date) - Date.now() - seconds * 1_000) < 5_000;
      };
      await until(isSet, 'the clock of a gateway is set');
    }
  };
  return { stores: [one, one], env: clockOf(file), harm, lost: 0 };
}

/** The one dies, and a replica whose clock is another takes its place. */
async function failover(t: TestContext, seconds: number): Promise<Scene> {
  const all = await sentinels(t, seconds);
  const { name, primary, sentinels: watchers } = all;
  const one = { sentinel: { name, nodes: watchers.map(({ port }) => `127.0.0.1:${port}`) } };
  return { stores: [one, one], harm: primary.kill, mend: () => failedOver(all), lost: 'some' };
}

test('a clock that is an hour off', { concurrency: 2 }, async (t) => {
  if (!hasParts(t, 'faketime')) return;
  const whose = { 'the store, set': store, 'the gateways, set': gateways, 'a failover to one': failover };
  const cases = Object.entries(whose).flatMap(([what, arrange]) =>
    [HOUR, -HOUR].map((by) =>
      t.test(`${what} ${by > 0 ? 'forward' : 'back'}`, async (t) => endure(t, await arrange(t, by), KINDS)),
    ),
  );
  await Promise.all(cases);
});
