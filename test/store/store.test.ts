/**
 * The store of a gateway, from the thread that made it: its thread starts with the first store, is told of configs in two steps,
 * and ends.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RedisSettings } from '../../ts/store/address.js';
import { readFigures } from '../../ts/store/figures.js';
import { Store } from '../../ts/store/store.js';
import { redis } from '../kit/redis.js';
import { until } from '../kit/until.js';

const THREAD = new URL('./store-thread.js', import.meta.url);
const settingsOf = (url: string): RedisSettings => ({ urls: [url], timeoutMs: 500, prefix: 'test' });

test('a thread of its own takes calls, reloads, and ends', async (t) => {
  const server = await redis(t);
  const lines: string[] = [];
  const put = (_: unknown, message: string): void => void lines.push(message);
  const store = new Store({ info: put, warn: put, error: put } as never, THREAD);
  t.after(() => store.close());
  await store.prepare(undefined);
  await store.commit(7);
  assert.deepEqual(store.metrics(), [], 'without a store there is no thread');

  await assert.rejects(store.prepare(settingsOf('http://a')), { code: 'config_invalid' });
  await store.prepare(settingsOf(server.url));
  await store.commit(7);
  await until(() => lines.some((line) => line.startsWith('answers')), `an answer; there is ${lines}`);
  assert.ok(lines.includes('note true 1'));
  assert.ok(lines.includes('answers [{"number":7,"values":[1,60000000,0]}]'), lines.join('\n'));
  assert.equal(readFigures(store.figures).isUp, true);
  assert.ok(store.metrics().length >= 4);

  await store.prepare(undefined);
  await store.commit(7);
  assert.equal(lines.at(-1), 'note false 1', 'when a commit has ended, the store is not in force any more');
  await store.prepare(settingsOf(server.url));
  store.abandon();
  await store.close();
  assert.ok(lines.includes('closed'));
});
