/**
 * docs/examples/api-keys: the README's keys open, each caller has a limit of its own, and the log shows no key.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { commands, example } from '../kit/example.js';

test('the keys of the README open, and the log says whose they are', async (t) => {
  const [ali, other] = commands('api-keys').flatMap((line) => /demo_(?:ali|else)_\w+/.exec(line)?.[0] ?? []);
  assert.ok(ali !== undefined && other !== undefined);
  const running = example(t, 'api-keys', 'npx ironsluice start', { PORT: '0' });
  const { address } = await running.logged('listening');
  const get = (query: string, headers: Record<string, string> = {}): Promise<Response> =>
    fetch(`http://${address}/${query}`, { headers });

  const none = await get('');
  assert.equal(none.status, 401);
  assert.match(none.headers.get('www-authenticate') ?? '', /^ApiKey realm="all"/);
  for (const status of [200, 200, 429]) assert.equal((await get('', { 'x-api-key': ali })).status, status);
  assert.equal(await (await get(`?api_key=${other}`)).text(), 'hello\n');

  const [line] = await running.printed(/^else .*$/m);
  assert.equal(line, 'else "GET /?-" 200 -');
  await running.printed(/^ali "GET \/\?-" 429 rate_limited$/m);
  await running.printed(/^- "GET \/\?-" 401 api_key_missing$/m);
});

test('a new key is printed with the line that the config takes', async (t) => {
  const running = example(t, 'api-keys', 'npx ironsluice key new me', {});
  const [, prefix] = await running.printed(/^key {2}(key_\w{8})_\w{43}$/m);
  await running.printed(new RegExp(`- \\{ prefix: "${prefix}", consumer: "me", hash: "[0-9a-f]{64}" \\}`));
});
