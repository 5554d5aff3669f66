/**
 * maintenance: 503 with Retry-After for all but those who work on it, and a reload ends it.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import type { Filter, MaintenanceFilter } from '../../ts/generated/config.js';
import { curl } from '../kit/curl.js';
import { filtered } from '../kit/filtered.js';
import { gateway } from '../kit/gateway.js';

const closed = (more: Partial<MaintenanceFilter> = {}): Filter => ({ use: 'maintenance', ...more });
const hash = createHash('sha256').update('C4n4ry').digest('hex');

test('everybody is told to come again, and a reload opens the route', async (t) => {
  const edge = await filtered(t, [closed({ retry_after: '2m', detail: 'Back at noon.' })]);
  const answer = await curl(`${edge.url}/`);
  assert.deepEqual(
    [answer.status, answer.headers['retry-after'], answer.headers['cache-control']],
    [503, '120', 'no-store'],
  );
  const { code, detail } = JSON.parse(answer.body);
  assert.deepEqual([code, detail], ['maintenance', 'Back at noon.']);
  assert.equal(edge.up.hits, 0);

  const page = closed({ body: '<h1>Back soon</h1>' });
  await edge.gateway.reload(edge.config([page]));
  const html = await curl(`${edge.url}/`);
  assert.deepEqual(
    [html.status, html.headers['content-type'], html.headers['retry-after'], html.body],
    [503, 'text/html; charset=utf-8', '300', '<h1>Back soon</h1>'],
  );
  await edge.gateway.reload(edge.config([closed({ enabled: false })]));
  assert.equal((await curl(`${edge.url}/`)).status, 200);
});

test('addresses and a word let in, and the word goes no further', async (t) => {
  const behind: Filter = { use: 'client_ip', trust: ['127.0.0.1'] };
  const edge = await filtered(t, [behind, closed({ allow: ['10.0.0.0/8'], bypass: { hash } })]);
  for (const [field, status] of [
    ['X-Forwarded-For: 10.1.2.3', 200],
    ['X-Forwarded-For: 11.1.2.3', 503],
    ['X-Maintenance-Bypass: C4n4ry', 200],
    ['X-Maintenance-Bypass: c4n4ry', 503],
    [`X-Maintenance-Bypass: ${hash}`, 503],
  ] as const) {
    assert.equal((await curl('-H', field, `${edge.url}/`)).status, status, field);
  }
  assert.equal(edge.up.hits, 2);
  assert.ok(edge.up.seen.every(({ headers }) => headers['x-maintenance-bypass'] === undefined));
});

test('a route that is closed needs no upstream', async (t) => {
  const edge = await gateway(t, { routes: [{ name: 'all', filters: [closed()] }] });
  assert.equal((await curl(`${edge.url}/`)).status, 503);
});
