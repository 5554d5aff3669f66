/**
 * rewrite: the path and the host that the upstream sees, and that no rule and no request leads where it should not.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Filter, RewriteFilter } from '../../ts/generated/config.js';
import { code, filtered } from '../kit/filtered.js';
import { raw } from '../kit/raw.js';

const rewrite = (more: Partial<RewriteFilter>): Filter => ({ use: 'rewrite', ...more });

test('the path becomes what the rule makes of it, and the query stays', async (t) => {
  const both = { strip_prefix: '/api/', add_prefix: '/v1' };
  const users = { regex: '^/u/([0-9]+)', replace: '/users/$1' };
  const template = { path: '/p/{rest}/of/{id}' };
  const cases: [path: string | string[], config: Partial<RewriteFilter>, asked: string, seen: string][] = [
    ['/*', { path: '/fixed' }, '/any/thing?q=1', '/fixed?q=1'],
    ['/users/{id}/{rest*}', template, '/users/7/a/b?q', '/p/a/b/of/7?q'],
    ['/users/{id}/{rest*}', template, '/users/a%20b/c', '/p/c/of/a%20b'],
    [['/users/{id}/{rest*}', '/plain'], template, '/plain', '/plain'],
    ['/*', { strip_prefix: '/api' }, '/api/x?q', '/x?q'],
    ['/*', { strip_prefix: '/api' }, '/api', '/'],
    ['/*', { strip_prefix: '/api' }, '/apix', '/apix'],
    ['/*', { add_prefix: '/v1/' }, '/x', '/v1/x'],
    ['/*', both, '/api/x', '/v1/x'],
    ['/*', both, '/other', '/other'],
    ['/*', users, '/u/17/x?q=/u/1', '/users/17/x?q=/u/1'],
    ['/*', users, '/v/17', '/v/17'],
    ['/*', { regex: 'a', replace: 'b' }, '/aa/a', '/bb/b'],
    ['/*', { regex: '(?<x>[0-9]+)', replace: '${x}0' }, '/7', '/70'],
  ];
  for (const [path, config, asked, seen] of cases) {
    const edge = await filtered(t, [rewrite(config)], { workers: 1, route: { match: { path } } });
    assert.equal((await edge.get(asked)).status, 200);
    assert.equal(edge.up.seen[0]?.url, seen, `${JSON.stringify(config)} ${asked}`);
  }
});

test('a new host is what the upstream sees as Host, and it is told which one was asked for', async (t) => {
  const edge = await filtered(t, [rewrite({ host: 'inner.example:81' })]);
  await edge.get('/a?b');

  const { headers, url } = edge.up.seen[0] ?? {};
  assert.deepEqual([url, headers?.host], ['/a?b', 'inner.example:81']);
  assert.equal(headers?.['x-forwarded-host'], new URL(edge.url).host);
});

test('several rules work on each other in the order of the filters', async (t) => {
  const strip = rewrite({ strip_prefix: '/api' });
  const add = rewrite({ add_prefix: '/api' });
  for (const [filters, seen] of [
    [[strip, add], '/api/x'],
    [[add, strip], '/api/x'],
    [[strip, strip], '/x'],
    [[add, add], '/api/api/api/x'],
  ] as const) {
    const edge = await filtered(t, [...filters], { workers: 1 });
    await edge.get('/api/x');
    assert.equal(edge.up.seen[0]?.url, seen);
  }
});

test('what comes out and is no path is 400, and the upstream is not asked', async (t) => {
  for (const [config, asked] of [
    [{ regex: 'x', replace: '../..' }, '/a/x'],
    [{ regex: '^/', replace: '' }, '/a'],
    [{ regex: '^/', replace: 'http://evil.example/' }, '/a'],
    [{ regex: 'x', replace: '?' }, '/x'],
    [{ regex: 'x', replace: '\r\nx-evil: 1\r\n' }, '/x'],
    [{ regex: 'x', replace: ' HTTP/1.1' }, '/x'],
  ] as const) {
    const edge = await filtered(t, [rewrite(config)], { workers: 1 });
    const answer = await edge.get(asked);
    assert.deepEqual([answer.status, await code(answer)], [400, 'rewrite_failed'], JSON.stringify(config));
    assert.equal(edge.up.hits, 0);
  }
});

test('a request cannot climb out of what the rule puts before it', async (t) => {
  const hostile = [
    '/files/../../etc/passwd',
    '/files/a/../../../x',
    '/files/%2e%2e/%2E%2E/x',
    '/files/..%2f..%2fx',
    '/files/%2e%2e%2fx',
    '/files/..;/x',
    '/files/..%5c..%5cx',
    '/files//../../x',
  ];
  for (const escaped_slash of ['reject', 'keep'] as const) {
    const edge = await filtered(t, [rewrite({ path: '/tenants/7/{rest}' })], {
      workers: 1,
      route: { match: { path: '/files/{rest*}' }, escaped_slash },
    });
    for (const target of [...hostile, '/files/a/../b', '/files/b']) {
      const client = await raw(t, edge.port);
      await client.send(`GET ${target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
      assert.match(await client.waitForClose(), /^HTTP\/1\.1 (200|400|404) /, target);
    }
    const urls = edge.up.seen.map(({ url }) => url);
    assert.deepEqual(urls.slice(-2), ['/tenants/7/b', '/tenants/7/b']);
    for (const url of urls) {
      // As a server reads it that knows escapes and backslashes.
      const read = new URL(decodeURIComponent(url), 'http://a').pathname;
      assert.match(read, /^\/tenants\/7(\/|$)/, `${escaped_slash} ${url}`);
    }
  }
});
