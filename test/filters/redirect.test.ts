/**
 * redirect: to https, to another host, to another path; as curl follows it, and never in a circle or to a stranger's host.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Filter, RedirectFilter } from '../../ts/generated/config.js';
import { folder } from '../kit/binary.js';
import { certificate } from '../kit/certificate.js';
import { curl } from '../kit/curl.js';
import { code, filtered } from '../kit/filtered.js';
import { gateway, portOf } from '../kit/gateway.js';
import { raw } from '../kit/raw.js';

const redirect = (more: Partial<RedirectFilter>): Filter => ({ use: 'redirect', ...more });

test('http leads to https of the same gateway, and there the request is served', async (t) => {
  const { ca, cert, key } = await certificate(t);
  const path = await folder(t, { 'a.pem': cert, 'a.key': key });
  const tls = { certificates: [{ cert: `${path}/a.pem`, key: `${path}/a.key` }] };
  const listeners = [
    { name: 'web', bind: '127.0.0.1:0' },
    { name: 'tls', bind: '127.0.0.1:0', tls },
  ];
  const edge = await gateway(t, {
    listeners,
    routes: [{ name: 'all', filters: [redirect({ scheme: 'https' }), { use: 'respond', body: 'safe' }] }],
  });
  const port = portOf(edge.gateway, 'tls');
  const first = await curl(`http://localhost:${edge.port}/a/b?c=d`);
  assert.deepEqual([first.status, first.headers.location], [307, 'https://localhost/a/b?c=d']);
  assert.equal(first.body, '');
  const followed = await curl(
    ...['-L', '--cacert', ca, '--connect-to', `localhost:443:127.0.0.1:${port}`],
    `http://localhost:${edge.port}/a/b?c=d`,
  );
  assert.deepEqual([followed.status, followed.body], [200, 'safe']);
});

test('paths and hosts, what is kept of the request, and what passes', async (t) => {
  const cases: [path: string, config: Partial<RedirectFilter>, asked: string, want: string][] = [
    ['/old/{id}/{rest*}', { path: '/new/{rest}/{id}', status: 301 }, '/old/7/a/b?q=1', '301 /new/a/b/7?q=1'],
    ['/*', { path: '/x', keep_query: false, status: 303 }, '/y?q', '303 /x'],
    ['/*', { strip_prefix: '/api', add_prefix: '/v1', status: 308 }, '/api/x', '308 /v1/x'],
    ['/*', { strip_prefix: '/api' }, '/other', '200 -'],
    ['/*', { regex: '\\.php$', replace: '' }, '/a.php?x', '307 /a?x'],
    ['/*', { host: 'www.example.com', status: 302 }, '/a?b', '302 http://www.example.com/a?b'],
    ['/*', { host: '127.0.0.1' }, '/a', '200 -'],
    ['/*', { host: 'a.example', scheme: 'https', port: 8443 }, '/a', '307 https://a.example:8443/a'],
    ['/*', { strip_prefix: '/a' }, '/a//evil.example', '307 /evil.example'],
  ];
  for (const [path, config, asked, want] of cases) {
    const edge = await filtered(t, [redirect(config)], { workers: 1, route: { match: { path } } });
    const { status, headers } = await curl('--path-as-is', `${edge.url}${asked}`);
    assert.equal(`${status} ${headers.location ?? '-'}`, want, `${JSON.stringify(config)} ${asked}`);
  }
});

test('behind a proxy that ends TLS it is no circle, and only a trusted one is believed', async (t) => {
  for (const [trust, status] of [
    [['127.0.0.0/8'], 200],
    [['10.0.0.0/8'], 307],
  ] as const) {
    const edge = await filtered(t, [{ use: 'client_ip', trust: [...trust] }, redirect({ scheme: 'https' })]);
    const answer = await curl('-H', 'X-Forwarded-Proto: https', `${edge.url}/`);
    assert.equal(answer.status, status);
  }
});

test('what leads nowhere is 400', async (t) => {
  const edge = await filtered(t, [redirect({ regex: '^/x', replace: 'https://evil.example' })]);
  const answer = await edge.get('/x');
  assert.deepEqual([answer.status, await code(answer)], [400, 'redirect_failed']);

  const bare = await filtered(t, [redirect({ scheme: 'https' })]);
  const client = await raw(t, bare.port);
  await client.send('GET / HTTP/1.0\r\n\r\n');
  assert.match(await client.waitForClose(), /^HTTP\/1\.[01] 400 .*"code":"redirect_failed"/s);
});

test('a route of a redirect needs no upstream', async (t) => {
  const edge = await gateway(t, {
    routes: [{ name: 'moved', filters: [redirect({ host: 'new.example' })] }],
  });
  const { status, headers } = await curl(`${edge.url}/a`);
  assert.deepEqual([status, headers.location], [307, 'http://new.example/a']);
  // What is at its goal has nowhere to go.
  const there = await curl('-H', 'Host: new.example', `${edge.url}/a`);
  assert.deepEqual([there.status, JSON.parse(there.body).code], [404, 'no_route']);
});
