/**
 * docs/examples/embed: a program with a gateway in it, which asks for a key, limits, and goes into maintenance.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { example } from '../kit/example.js';

test('a key is asked for, the sixth request at once is refused, and maintenance comes and goes', async (t) => {
  const running = example(t, 'embed', 'node main.mjs', { PORT: '0' });
  const [, url = '', pid] = await running.printed(/^(http:\S+) is served by process (\d+)$/m);
  assert.equal(Number(pid), running.child.pid);
  const ask = (key?: string): Promise<Response> => fetch(url, { headers: key ? { 'x-api-key': key } : {} });

  assert.equal((await ask()).status, 401);
  assert.equal((await ask('k2')).status, 401);
  assert.match(await (await ask('k1')).text(), /^hello k1, request \S+\n$/);
  for (let i = 0; i < 4; i += 1) assert.equal((await ask('k1')).status, 200);
  assert.equal((await ask('k1')).status, 429);

  running.child.kill('SIGUSR2');
  await running.printed(/^revision 2, maintenance: true$/m);
  assert.equal((await ask('k1')).status, 503);
  running.child.kill('SIGUSR2');
  await running.printed(/^revision 3, maintenance: false$/m);
  assert.equal((await ask()).status, 401);

  running.child.kill('SIGTERM');
  assert.equal((await running.ended()).code, 0);
});
