/**
 * adaptive_concurrency: that the limit comes to what an origin bears, whoever asks for more is told so, and who had it gives it back.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import type { AdaptiveConcurrencyFilter } from '../../ts/generated/config.js';
import { code, type Filtered, filtered } from '../kit/filtered.js';
import type { OriginHandler } from '../kit/origin.js';
import { raw } from '../kit/raw.js';
import { until } from '../kit/until.js';

const adaptive = (more: Partial<AdaptiveConcurrencyFilter> = {}): AdaptiveConcurrencyFilter => ({
  use: 'adaptive_concurrency',
  ...more,
});

async function gauge(edge: Filtered, name: string): Promise<number> {
  const line = new RegExp(`^ironsluice_concurrency_${name}\\{.*\\} (\\d+)`, 'm');
  return Number(line.exec(await edge.gateway.metrics())?.[1] ?? Number.NaN);
}

test('an origin that serves five at a time gets about as many, and not the hundred that are offered', async (t) => {
  const waiting: (() => void)[] = [];
  let busy = 0;
  let seen: number[] = [];
  const next = (): void => {
    seen.push(busy + waiting.length);
    if (busy >= 5) return;
    const serve = waiting.shift();
    if (serve === undefined) return;
    busy += 1;
    setTimeout(() => {
      busy -= 1;
      serve();
      next();
    }, 20);
  };
  const handler: OriginHandler = (_request, response) => {
    waiting.push(() => response.end('ok'));
    next();
  };
  const edge = await filtered(t, [adaptive({ initial: 100, interval: '2s' })], { handler });
  let over = false;
  const took: number[] = [];
  let refused = 0;
  const lane = async (): Promise<void> => {
    while (!over) {
      const began = performance.now();
      const answer = await edge.get('/');
      if (answer.status === 200) {
        took.push(performance.now() - began);
        await answer.text();
        continue;
      }
      refused += 1;
      assert.deepEqual([answer.status, await code(answer)], [503, 'adaptive_concurrency']);
      assert.equal(answer.headers.get('retry-after'), '1');
      await pause(20); // as a client that was told to come again later
    }
  };
  const lanes = Array.from({ length: 100 }, lane);
  try {
    await until(async () => (await gauge(edge, 'limit')) < 25, 'a limit that the origin bears', 30_000);
    await until(() => busy + waiting.length < 25, 'what was sent before is served', 30_000);
    const before = took.length;
    seen = [];
    await until(() => took.length > before + 300, 'three hundred more that were served', 20_000);
    // It probes for more now and then: half of all say what it keeps to.
    const median = seen.sort((a, b) => a - b)[seen.length >> 1] ?? Number.NaN;
    assert.ok(median < 60, `${median} at the origin at a time`);
    assert.ok(refused > 100, `${refused} refused`);
    assert.ok((await gauge(edge, 'limit')) >= 3);
    assert.ok((await gauge(edge, 'refused_total')) > 100);
  } finally {
    over = true;
    await Promise.all(lanes);
  }
  await until(async () => (await gauge(edge, 'in_flight')) === 0, 'nothing in flight');
});

test('a client that goes away gives its slot back', async (t) => {
  const edge = await filtered(t, [adaptive({ initial: 2, min: 2, max: 2 })], { handler: () => {} });
  const clients = [await raw(t, edge.port), await raw(t, edge.port)];
  for (const client of clients) await client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  await edge.up.reached(2);
  assert.equal((await edge.get('/')).status, 503);
  for (const client of clients) client.socket.destroy();
  await until(async () => (await gauge(edge, 'in_flight')) === 0, 'both are back');
});
