/**
 * docs/examples/quickstart: two servers behind a gateway with a rate limit.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { example } from '../kit/example.js';

test('both servers answer, and the eleventh request at once is refused', async (t) => {
  const origins = example(t, 'quickstart', 'node origin.mjs', {
    ORIGIN_A: '127.0.0.1:0',
    ORIGIN_B: '127.0.0.1:0',
  });
  const [, a = ''] = await origins.printed(/^a listens on (\S+)$/m);
  const [, b = ''] = await origins.printed(/^b listens on (\S+)$/m);
  const env = { ORIGIN_A: a, ORIGIN_B: b, PORT: '0', ADMIN_PORT: '0' };
  const running = example(t, 'quickstart', 'npx ironsluice start', env);
  const { address } = await running.logged('listening');
  const url = `http://${address}/`;

  const answers: string[] = [];
  for (let i = 0; i < 10; i += 1) answers.push(await (await fetch(url)).text());
  const refused = await fetch(url);

  // Turns are taken by each thread for itself.
  assert.deepEqual([...new Set(answers)].sort(), ['a: GET /\n', 'b: GET /\n']);
  assert.equal(refused.status, 429);
  assert.ok(Number(refused.headers.get('retry-after')) > 0);
  assert.equal((await fetch(`${url}readyz`)).status, 200);
});
