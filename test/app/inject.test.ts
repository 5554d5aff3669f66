/**
 * A request that a handler sends on, and one that has no client: what only an app's own door and `inject` can do.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { createGateway } from '../../ts/index.js';
import { folder } from '../kit/binary.js';
import { portOf } from '../kit/gateway.js';
import { origin } from '../kit/origin.js';
import { type Case, wire } from '../kit/wire.js';

const SENDER = `
export default async (request, ctx) => {
  try {
    if (request.path === '/read') await request.bytes();
    if (request.path === '/later') await new Promise((resolve) => setImmediate(resolve));
    return ctx.forward(request.path === '/unknown' ? 'nobody' : 'up');
  } catch (error) {
    return { status: 500, body: { code: error.code ?? error.name, why: error.message } };
  }
};`;

test('a handler sends a request on, at its own door only and while it can', async (t) => {
  const path = await folder(t, { 'app.ts': SENDER });
  const up = await origin(t, (seen, response) => {
    response.end(
      `up ${seen.method} ${seen.url} ${seen.body.length} ${seen.headers['ironsluice-client'] ?? 'untold'}`,
    );
  });
  const running = await createGateway(
    {
      workers: 1,
      apps: [{ name: 'site', module: join(path, 'app.ts') }],
      listeners: [
        { name: 'int', bind: '127.0.0.1:0', door: 'app', app: 'site' },
        { name: 'web', bind: '127.0.0.1:0' },
      ],
      upstreams: [{ name: 'up', endpoints: [up.address] }],
      routes: [{ name: 'web', listeners: ['web'], to: { app: 'site' } }],
    } as never,
    { log: false },
  );
  t.after(() => running.close(0));
  const cases: [door: string, one: Omit<Case, 'name'>][] = [
    ['int', { path: '/a?b', status: 200, answer: 'up GET /a?b 0 untold' }],
    [
      'int',
      {
        path: '/later',
        method: 'POST',
        body: 'x'.repeat(200_000),
        status: 200,
        answer: 'up POST /later 200000 untold',
      },
    ],
    [
      'int',
      {
        path: '/a',
        method: 'PUT',
        headers: { 'transfer-encoding': 'chunked' },
        body: 'y'.repeat(90_000),
        status: 200,
        answer: 'up PUT /a 90000 untold',
      },
    ],
    ['int', { path: '/unknown', status: 500, answer: /"code":"unknown_upstream".*upstreams/ }],
    [
      'int',
      { path: '/read', method: 'POST', body: 'x', status: 500, answer: /"code":"TypeError".*too late/ },
    ],
    ['web', { path: '/a', status: 500, answer: /"code":"not_direct".*door: app/ }],
  ];
  for (const [door, one] of cases) {
    const answer = await wire(t, portOf(running, door), { name: '', ...one });
    assert.equal(answer.status, one.status, `${door} ${one.path}: ${answer.body}`);
    if (typeof one.answer === 'string') assert.equal(answer.body, one.answer);
    else assert.match(answer.body, one.answer as RegExp);
  }
});

test('a stub answers what would be forwarded, and filters see its answer', async (t) => {
  const running = await createGateway(
    {
      listeners: [{ name: 'web', bind: '127.0.0.1:0' }],
      upstreams: [{ name: 'up', endpoints: ['127.0.0.1:1'] }],
      routes: [
        {
          name: 'all',
          filters: [
            { use: 'headers', request: { set: { 'x-req': '1' } }, response: { set: { 'x-rsp': '2' } } },
          ],
          to: 'up',
        },
      ],
    } as never,
    { log: false },
  );
  t.after(() => running.close(0));
  const answer = await running.inject({
    url: 'http://shop.example/a?b=c',
    method: 'POST',
    body: '{"n":1}',
    client: '192.0.2.7',
    stub: async (request) => ({
      status: 202,
      body: {
        path: request.path,
        seen: request.header('x-req'),
        host: request.header('host'),
        from: request.header('x-forwarded-for'),
        body: await request.json(),
      },
    }),
  });
  assert.equal(answer.status, 202);
  assert.equal(answer.headers.get('x-rsp'), '2');
  assert.deepEqual(answer.json(), {
    path: '/a',
    seen: '1',
    host: 'shop.example',
    from: '192.0.2.7',
    body: { n: 1 },
  });
  const streamed = await running.inject({
    url: '/s',
    stub: () => ({
      body: (async function* () {
        yield 'one';
        yield 'two';
      })(),
    }),
  });
  assert.equal(streamed.text(), 'onetwo');
  const thrown = running.inject({
    url: '/t',
    stub: () => {
      throw new Error('mine');
    },
  });
  await assert.rejects(thrown, /mine/);
  await assert.rejects(running.inject({ url: '/x\r\nevil: 1' }), { code: 'usage' });
  await assert.rejects(running.inject({ url: '/', client: 'nobody' }), { code: 'usage' });
  await assert.rejects(running.inject({ url: '/', listener: 'nobody' }), { code: 'usage' });
  assert.equal((await running.inject({ url: '/down' })).status, 503, 'without a stub the upstream is called');
});
