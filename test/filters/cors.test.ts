/**
 * cors: which pages read what, in a real browser; preflights, and that the upstream has no word in it.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CorsFilter, Filter } from '../../ts/generated/config.js';
import { browser } from '../kit/browser.js';
import { keysOf } from '../kit/consumers.js';
import { curl } from '../kit/curl.js';
import { filtered } from '../kit/filtered.js';
import { gateway } from '../kit/gateway.js';

const cors = (more: Omit<CorsFilter, 'use'>): Filter => ({ use: 'cors', ...more });
const APP = 'https://app.example.com';

test('a page of another origin reads what it may, and nothing else, in a browser', async (t) => {
  const chromium = await browser(t);
  if (chromium === undefined) return;
  const site = await gateway(t, {
    routes: [{ name: 'page', filters: [{ use: 'respond', body: '<p>', content_type: 'text/html' }] }],
  });
  const api = await filtered(
    t,
    [
      cors({
        origins: [site.url],
        methods: ['GET', 'PUT'],
        headers: ['content-type', 'x-api-key'],
        expose: ['x-secret'],
        credentials: true,
        max_age: '10m',
      }),
      keysOf('ali'),
    ],
    {
      handler: (_, response) => {
        response.writeHead(200, { 'x-secret': 'seen', 'access-control-allow-origin': '*' }).end('ok');
      },
    },
  );
  const page = await chromium.open(site.url);
  const ask = (init: object): Promise<string> =>
    page.evaluate(
      `fetch('${api.url}/', ${JSON.stringify(init)}).then(
        async (r) => r.status + ' ' + r.headers.get('x-secret') + ' ' + (await r.text()).slice(0, 2),
        (error) => error.name)`,
    );
  const headers = { 'content-type': 'application/json', 'x-api-key': 'test_ali' };
  const login = { credentials: 'include', headers };
  assert.equal(await ask({ ...login, method: 'PUT', body: '{}' }), '200 seen ok');
  assert.equal(await ask({ headers }), '200 seen ok');
  // Refusals of filters behind can be read too.
  assert.equal(await ask({}), '401 null {"');
  const hits = api.up.hits;
  assert.equal(await ask({ ...login, method: 'DELETE' }), 'TypeError');
  assert.equal(await ask({ headers: { ...headers, 'x-other': '1' } }), 'TypeError');
  assert.equal(api.up.hits, hits, 'no preflight, and nothing that one forbids, reaches the origin');

  const other = await gateway(t, {
    routes: [{ name: 'page', filters: [{ use: 'respond', body: '<p>', content_type: 'text/html' }] }],
  });
  const stranger = await chromium.open(other.url);
  assert.equal(
    await stranger.evaluate(
      `fetch('${api.url}/', { headers: { 'x-api-key': 'test_ali' } }).catch((e) => e.name)`,
    ),
    'TypeError',
  );
});

test('preflights are answered before anybody else is asked', async (t) => {
  const edge = await filtered(t, [
    cors({ origins: [APP], methods: ['PUT'], headers: ['x-a'], max_age: '1h' }),
    keysOf('ali'),
  ]);
  const ask = (origin: string, method: string, headers?: string) =>
    curl(
      ...['-X', 'OPTIONS', '-H', `Origin: ${origin}`, '-H', `Access-Control-Request-Method: ${method}`],
      ...(headers === undefined ? [] : ['-H', `Access-Control-Request-Headers: ${headers}`]),
      `${edge.url}/`,
    );
  const good = await ask(APP, 'PUT', 'X-A');
  assert.equal(good.status, 204);
  assert.equal(good.headers['access-control-allow-origin'], APP);
  assert.equal(good.headers['access-control-allow-methods'], 'PUT');
  assert.equal(good.headers['access-control-allow-headers'], 'x-a');
  assert.equal(good.headers['access-control-max-age'], '3600');
  assert.equal(good.headers['access-control-allow-credentials'], undefined);
  assert.match(good.headers.vary ?? '', /^Origin, /);
  for (const [origin, method, headers, code] of [
    ['https://evil.example', 'PUT', undefined, 'cors_origin'],
    ['null', 'PUT', undefined, 'cors_origin'],
    [APP, 'DELETE', undefined, 'cors_method'],
    [APP, 'PUT', 'x-a, x-b', 'cors_headers'],
  ] as const) {
    const refused = await ask(origin, method, headers);
    assert.deepEqual([refused.status, JSON.parse(refused.body).code], [403, code]);
  }
  assert.equal(edge.up.hits, 0);
});

test('a response says whom it is for, whatever the upstream says', async (t) => {
  const edge = await filtered(t, [cors({ origins: ['https://*.example.com'] })], {
    handler: (_, response) => {
      response.writeHead(200, { 'access-control-allow-origin': '*', vary: 'Accept-Encoding' }).end('ok');
    },
  });
  for (const [origin, want] of [
    [APP, APP],
    ['https://example.com', undefined],
    ['https://app.example.com.evil.example', undefined],
    ['http://app.example.com', undefined],
    ['null', undefined],
  ] as const) {
    const { status, headers } = await curl('-H', `Origin: ${origin}`, `${edge.url}/`);
    assert.equal(status, 200, 'CORS keeps no request out');
    assert.equal(headers['access-control-allow-origin'], want, origin);
    assert.equal(headers.vary, 'Accept-Encoding, Origin');
  }
  const plain = await curl(`${edge.url}/`);
  assert.equal(plain.headers['access-control-allow-origin'], undefined);
  assert.equal(plain.headers.vary, 'Accept-Encoding, Origin', 'a cache must not keep this for a page');
});
