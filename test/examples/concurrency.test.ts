/**
 * docs/examples/concurrency: a tenant with twenty requests at once, some of which are refused, and another that is served among the first.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { example } from '../kit/example.js';

test('the quiet tenant is served before the loud one is through', async (t) => {
  const origin = example(t, 'concurrency', 'node origin.mjs', { ORIGIN: '127.0.0.1:0' });
  const [, ORIGIN = ''] = await origin.printed(/^listens on (\S+)$/m);
  const running = example(t, 'concurrency', 'npx ironsluice start', { PORT: '0', ORIGIN });
  const { address } = await running.logged('listening');
  const order: string[] = [];
  const ask = async (tenant: string): Promise<void> => {
    const answer = await fetch(`http://${address}/`, { headers: { 'x-tenant': tenant } });
    if (answer.status === 200) order.push((await answer.text()).trim());
    else assert.equal(answer.status, 503);
  };
  const loud = Array.from({ length: 20 }, () => ask('loud'));
  await running.printed(/^loud 503 concurrency_limited$/m);
  await Promise.all([...loud, ask('quiet')]);
  assert.ok(order.indexOf('quiet') >= 0 && order.indexOf('quiet') < order.length - 3, order.join(' '));
  assert.ok(order.length >= 16 && order.length <= 19, `${order.length} were served`);
  await running.printed(/^quiet 200 -$/m);
});
