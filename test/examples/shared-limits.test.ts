/**
 * docs/examples/shared-limits: what is used at one gateway is used at the other.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { folder } from '../kit/binary.js';
import { commands, example } from '../kit/example.js';
import { redis } from '../kit/redis.js';

test('two gateways count as one', async (t) => {
  const store = await redis(t);
  const start = async (): Promise<{ url: string; admin: string }> => {
    const env = { PORT: '0', ADMIN_PORT: '0', STATE_DIR: await folder(t), REDIS_URL: store.url };
    const running = example(t, 'shared-limits', 'npx ironsluice start', env);
    const { address } = await running.logged('listening');
    const { address: admin } = await running.logged('admin listening');
    return { url: `http://${address}/`, admin: `http://${admin}/` };
  };
  const [one, other] = await Promise.all([start(), start()]);
  const statuses: number[] = [];
  for (const { url } of [one, other, other, one]) statuses.push((await fetch(url)).status);
  assert.deepEqual(statuses, [200, 200, 429, 429]);

  const [key = ''] = commands('shared-limits').flatMap((line) => /demo_ali_\w+/.exec(line)?.[0] ?? []);
  const reports: number[] = [];
  for (const { url } of [one, other, other, one]) {
    reports.push((await fetch(`${url}reports`, { headers: { 'x-api-key': key } })).status);
  }
  assert.deepEqual(reports, [200, 200, 200, 429]);
  for (const { admin } of [one, other]) {
    const told = (await (await fetch(`${admin}quotas/ali`)).json()) as { quotas: { used: number }[] };
    assert.equal(told.quotas[0]?.used, 3);
  }
});
