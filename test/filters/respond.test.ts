/**
 * respond: the answer is what the config says, for every method, and nothing behind the filter is reached.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RespondFilter } from '../../ts/generated/config.js';
import { filtered } from '../kit/filtered.js';
import { gateway } from '../kit/gateway.js';
import { raw } from '../kit/raw.js';

const respond = (more: Partial<RespondFilter> = {}): RespondFilter => ({ use: 'respond', ...more });
/** What is looked at: status, length, media type, body. */
type Look = [status: number, length: string | null, kind: string | null, body: string];

test('status, body and media type are those of the config', async (t) => {
  const cases: [config: Partial<RespondFilter>, look: Look][] = [
    [{}, [200, '0', null, '']],
    [{ status: 204 }, [204, null, null, '']],
    [{ status: 304 }, [304, null, null, '']],
    [{ status: 599 }, [599, '0', null, '']],
    [{ body: 'grüße' }, [200, '7', 'text/plain; charset=utf-8', 'grüße']],
    [{ body: '<p>', content_type: 'text/html' }, [200, '3', 'text/html', '<p>']],
    [{ json: { ok: [true, null] }, status: 503 }, [503, '18', 'application/json', '{"ok":[true,null]}']],
    [{ json: false }, [200, '5', 'application/json', 'false']],
    [{ json: null }, [200, '4', 'application/json', 'null']],
  ];
  for (const [config, look] of cases) {
    const edge = await gateway(t, { workers: 1, routes: [{ name: 'all', filters: [respond(config)] }] });
    const answer = await edge.get('/');
    const of = (name: string) => answer.headers.get(name);
    const got: Look = [answer.status, of('content-length'), of('content-type'), await answer.text()];
    assert.deepEqual(got, look, JSON.stringify(config));
  }
});

test('more fields are sent, such as where to go instead', async (t) => {
  const headers = { location: 'https://new.example/', 'cache-control': 'no-store' };
  const { get } = await gateway(t, {
    routes: [{ name: 'all', filters: [respond({ status: 308, headers })] }],
  });
  const answer = await get('/old');

  assert.equal(answer.status, 308);
  assert.equal(answer.headers.get('location'), 'https://new.example/');
  assert.equal(answer.headers.get('cache-control'), 'no-store');
});

test('HEAD is told the length of the body and gets none of it', async (t) => {
  const { port } = await gateway(t, { routes: [{ name: 'all', filters: [respond({ body: 'hello' })] }] });
  const client = await raw(t, port);
  // The second answer shows where the first ended.
  await client.send('HEAD / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n');
  const all = await client.waitFor(/hello$/);

  const [first = '', second = '', body] = all.split('\r\n\r\n');
  for (const head of [first, second]) assert.match(head, /^HTTP\/1\.1 200 .*\r\ncontent-length: 5(\r\n|$)/is);
  assert.equal(body, 'hello');
});

test('neither the upstream nor filters behind it are reached', async (t) => {
  const limit = { use: 'rate_limit', rate: '1/h', burst: 1 } as const;
  const edge = await filtered(t, [respond({ status: 418 }), limit]);
  for (const method of ['GET', 'POST', 'DELETE', 'OPTIONS']) {
    const answer = await edge.get('/', { method });
    assert.equal(answer.status, 418, method);
    assert.equal(answer.headers.get('ratelimit'), null);
  }
  assert.equal(edge.up.hits, 0);

  const before = await filtered(t, [limit, respond({ status: 418 })]);
  assert.deepEqual([(await before.get('/')).status, (await before.get('/')).status], [418, 429]);
});

test('the body of a request that nobody reads is not taken for the next request', async (t) => {
  const edge = await gateway(t, {
    routes: [
      { name: 'hidden', match: { path: '/hidden' }, filters: [respond({ status: 299 })] },
      { name: 'all', filters: [respond({ status: 201 })] },
    ],
  });
  const hidden = 'GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n';
  for (const framed of [
    `Content-Length: ${hidden.length}\r\n\r\n${hidden}`,
    `Transfer-Encoding: chunked\r\n\r\n${hidden.length.toString(16)}\r\n${hidden}\r\n0\r\n\r\n`,
  ]) {
    const client = await raw(t, edge.port);
    await client.send(`POST / HTTP/1.1\r\nHost: a\r\n${framed}`);
    await client.waitFor(/^HTTP\/1\.1 201 /);
    client.end();
    const all = await client.waitForClose();
    assert.equal(all.split('HTTP/1.1 ').length - 1, 1, all);
  }
});
