/** The main job, through the module: a request goes in, an upstream answers, and what a config says holds. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gateway } from './kit/gateway.js';
import { origin } from './kit/origin.js';

test('requests are spread over both endpoints, whose answers come back', async (t) => {
  const [a, b] = [await origin(t), await origin(t)];
  const edge = await gateway(t, {
    workers: 1,
    upstreams: [{ name: 'up', endpoints: [a.address, b.address] }],
    routes: [{ name: 'all', match: { path: '/*' }, to: 'up' }],
  });

  for (let n = 0; n < 4; n++) assert.equal((await fetch(`${edge.url}/x?n=${n}`)).status, 200);

  assert.deepEqual([a.hits, b.hits], [2, 2]);
  assert.equal(a.seen[0]?.headers['x-forwarded-for'], '127.0.0.1');
});

test('a body of 5 MB arrives whole, both ways', async (t) => {
  const up = await origin(t, (request, response) => void response.end(request.body));
  const edge = await gateway(t, {
    upstreams: [{ name: 'up', endpoints: [up.address] }],
    routes: [{ name: 'all', match: { path: '/*' }, to: 'up' }],
  });
  const body = 'ironsluice'.repeat(500_000);

  const answer = await fetch(`${edge.url}/echo`, { method: 'POST', body });

  assert.equal(await answer.text(), body);
});

test('a client over its rate is told when to come back, and the upstream never sees it', async (t) => {
  const up = await origin(t);
  const edge = await gateway(t, {
    upstreams: [{ name: 'up', endpoints: [up.address] }],
    routes: [
      {
        name: 'limited',
        match: { path: '/*' },
        filters: [{ use: 'rate_limit', rate: '1/h', burst: 1, key: 'client_ip' }],
        to: 'up',
      },
    ],
  });

  assert.equal((await fetch(edge.url)).status, 200);
  const refused = await fetch(edge.url);

  assert.equal(refused.status, 429);
  assert.ok(Number(refused.headers.get('retry-after')) > 3500);
  assert.equal(up.hits, 1);
});

test('no route is 404, a refusing upstream 503, and neither ends the gateway', async (t) => {
  const edge = await gateway(t, {
    upstreams: [{ name: 'gone', endpoints: ['127.0.0.1:1'] }],
    routes: [{ name: 'gone', match: { path: '/gone' }, to: 'gone' }],
  });

  assert.equal((await fetch(`${edge.url}/none`)).status, 404);
  assert.equal((await fetch(`${edge.url}/gone`)).status, 503);
  assert.equal((await fetch(`${edge.url}/none`)).status, 404);
});
