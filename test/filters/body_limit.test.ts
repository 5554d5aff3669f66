/**
 * body_limit: what is announced too long is refused before the origin hears of it, and what turns out too long is cut.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import type { Filter } from '../../ts/generated/config.js';
import { code, filtered } from '../kit/filtered.js';
import { gateway } from '../kit/gateway.js';
import { raw } from '../kit/raw.js';
import { until } from '../kit/until.js';

const limit = (max: string): Filter => ({ use: 'body_limit', max });
const post = (fields: string): string => `POST / HTTP/1.1\r\nHost: a\r\n${fields}\r\n\r\n`;

test('a body up to the limit passes, whichever way it is framed', async (t) => {
  const edge = await filtered(t, [limit('1KiB')]);
  const most = 'x'.repeat(1024);

  assert.equal((await edge.get('/', { method: 'POST', body: most })).status, 200);
  const client = await raw(t, edge.port);
  await client.send(
    `${post('Transfer-Encoding: chunked')}200\r\n${most.slice(512)}\r\n200\r\n${most.slice(512)}\r\n0\r\n\r\n`,
  );
  await client.waitFor(/^HTTP\/1\.1 200 /);
  assert.equal((await edge.get('/')).status, 200);

  assert.deepEqual(
    edge.up.seen.map(({ body }) => body),
    [most, most, ''],
  );
});

test('an announced length is refused before any byte of the body, and the origin is not asked', async (t) => {
  const edge = await filtered(t, [limit('1KiB')]);
  for (const [length, expect] of [
    ['1025', ''],
    ['1025', '\r\nExpect: 100-continue'],
    ['9223372036854775807', ''],
  ]) {
    const client = await raw(t, edge.port);
    await client.send(post(`Content-Length: ${length}${expect}`));
    const answer = await client.waitFor(/\r\n\r\n\{.*\}/s);
    assert.match(answer, /^HTTP\/1\.1 413 .*"code":"body_too_large"/s, `${length}${expect}`);
    assert.match(answer, /\r\ncontent-type: application\/problem\+json\r\n/i);
  }
  assert.equal(await code(await edge.get('/', { method: 'PUT', body: 'x'.repeat(1025) })), 'body_too_large');
  assert.deepEqual([edge.up.hits, edge.up.connections], [0, 0]);
});

test('a stream is cut when it passes the limit: 413, and the origin gets no whole body', async (t) => {
  const edge = await filtered(t, [limit('16B')]);
  const client = await raw(t, edge.port);

  await client.send(`${post('Transfer-Encoding: chunked')}8\r\n12345678\r\n`);
  await edge.up.reached(1);
  await client.send('9\r\n123456789\r\n');
  await client.waitFor(/^HTTP\/1\.1 413 .*"code":"body_too_large"/s);

  await until(() => edge.up.connections === 0, 'the end of the exchange at the origin');
  assert.equal(edge.up.seen[0]?.body, '');
});

test('a response that has begun is aborted, not ended', async (t) => {
  const server = createServer((request, response) => {
    request.on('error', () => {}); // it is cut off, which is the point
    request.resume();
    response.write('early');
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  const edge = await gateway(t, {
    upstreams: [{ name: 'up', endpoints: [`127.0.0.1:${(server.address() as AddressInfo).port}`] }],
    routes: [{ name: 'all', filters: [limit('16B')], to: 'up' }],
  });
  const client = await raw(t, edge.port);

  await client.send(`${post('Transfer-Encoding: chunked')}8\r\n12345678\r\n`);
  await client.waitFor(/^HTTP\/1\.1 200 .*early/s);
  await client.send('9\r\n123456789\r\n');
  const all = await client.waitForClose();

  // The last chunk would tell the client that it has the whole answer.
  assert.doesNotMatch(all, /\r\n0\r\n\r\n|413/);
});

test('of several limits the least counts, in either order', async (t) => {
  for (const filters of [
    [limit('16B'), limit('1KiB')],
    [limit('1KiB'), limit('16B')],
  ]) {
    const edge = await filtered(t, filters);
    assert.equal((await edge.get('/', { method: 'POST', body: 'x'.repeat(17) })).status, 413);
    const client = await raw(t, edge.port);
    await client.send(`${post('Transfer-Encoding: chunked')}11\r\n${'x'.repeat(17)}\r\n0\r\n\r\n`);
    await client.waitFor(/^HTTP\/1\.1 413 /);
  }
});

test('the rest of a refused body is never read as a request', async (t) => {
  const edge = await filtered(t, [limit('16B')]);
  const smuggled = 'GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n';
  for (const bytes of [
    `${post(`Content-Length: ${smuggled.length}`)}${smuggled}`,
    `${post('Transfer-Encoding: chunked')}${smuggled.length.toString(16)}\r\n${smuggled}\r\n0\r\n\r\n`,
    `${post('Transfer-Encoding: chunked')}7fffffff\r\n${smuggled}`,
  ]) {
    const client = await raw(t, edge.port);
    await client.send(bytes);
    await client.waitFor(/^HTTP\/1\.1 413 /);
    client.end();
    assert.equal((await client.waitForClose()).split('HTTP/1.1 ').length - 1, 1, bytes);
  }
  assert.ok(!edge.up.seen.some(({ url }) => url === '/smuggled'));
});
