/**
 * docs/examples/plugin: a module in TypeScript refuses unknown keys, and names users to the limit behind it.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { example } from '../kit/example.js';

test('a key opens, no key is refused, and each user has a limit of its own', async (t) => {
  // Long enough for a machine that is busy with other tests.
  const env = { PORT: '0', ADMIN_PORT: '0', PLUGIN_TIMEOUT: '5s' };
  const running = example(t, 'plugin', 'npx ironsluice start', env);
  const { address } = await running.logged('listening');
  const get = (key?: string): Promise<Response> =>
    fetch(`http://${address}/`, key === undefined ? {} : { headers: { authorization: `Bearer ${key}` } });

  for (const refused of [await get(), await get('abracadabra')]) {
    assert.equal(refused.status, 401);
    assert.equal(refused.headers.get('www-authenticate'), 'Bearer');
    assert.deepEqual(await refused.json(), { error: 'a key is missing or unknown' });
  }
  const first = await get('open-sesame');
  assert.deepEqual([first.status, await first.text(), first.headers.get('x-user')], [200, 'hello\n', 'ali']);
  assert.equal((await get('open-sesame')).status, 200);
  const third = await get('open-sesame');
  assert.deepEqual([third.status, third.headers.get('x-user')], [429, 'ali']);
  assert.equal((await get('simsalabim')).status, 200);
});
