/**
 * docs/examples/shared-limits: what is used at one gateway is used at the other.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { example } from '../kit/example.js';
import { redis } from '../kit/redis.js';

test('two gateways count as one', async (t) => {
  const store = await redis(t);
  const start = async (): Promise<string> => {
    const env = { PORT: '0', REDIS_URL: store.url };
    const { address } = await example(t, 'shared-limits', 'npx ironsluice start', env).logged('listening');
    return `http://${address}/`;
  };
  const [one, other] = await Promise.all([start(), start()]);
  const statuses: number[] = [];
  for (const url of [one, other, other, one]) statuses.push((await fetch(url)).status);
  assert.deepEqual(statuses, [200, 200, 429, 429]);
});
