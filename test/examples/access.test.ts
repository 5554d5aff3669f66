/**
 * docs/examples/access: each command of the README gets what is written beside it.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { curl } from '../kit/curl.js';
import { commands, example } from '../kit/example.js';

test('each request of the README is answered as it says', async (t) => {
  const running = example(t, 'access', 'npx ironsluice start', { PORT: '0' });
  const { address } = await running.logged('listening');
  const asked = commands('access').filter((line) => line.startsWith('curl -i '));
  const answers = [];
  for (const line of asked) {
    const words = [...line.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? '');
    const there = words.slice(2).map((word) => word.replace('127.0.0.1:8080', String(address)));
    answers.push(await curl(...there));
  }
  assert.deepEqual(
    answers.map(({ status }) => status),
    [200, 403, 401, 200, 200, 503],
  );
  const [read, , , office, moved, shop] = answers;
  assert.equal(read?.headers['access-control-allow-origin'], 'http://127.0.0.1:3000');
  assert.deepEqual([office?.body, office?.headers['x-frame-options']], ['welcome\n', 'deny']);
  assert.equal(moved?.body, '{"hello":"reader"}');
  assert.equal(shop?.headers['retry-after'], '600');
});

test('a login of the command is printed with the line that the config takes', async (t) => {
  const running = example(t, 'access', 'npx ironsluice key basic me', {});
  await running.printed(/^ {2}- "me:\{SSHA256\}[A-Za-z0-9+/]{64}"$/m);
});
