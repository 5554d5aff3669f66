/**
 * consumer: what a plugin or a PROXY header proves is told to everybody behind, and what a client says of itself is not.
 */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Filter } from '../../ts/generated/config.js';
import { ConfigError } from '../../ts/index.js';
import { writeProxyHeader } from '../../ts/parts.js';
import { folder } from '../kit/binary.js';
import { code, filtered } from '../kit/filtered.js';
import { gateway } from '../kit/gateway.js';
import { origin } from '../kit/origin.js';
import { raw } from '../kit/raw.js';

const each: Filter = { use: 'rate_limit', rate: '1/h', burst: 1, key: 'consumer' };

/** Says `x-user` of whoever has a ticket, and nothing of others. */
const TICKETS = `
  import { definePlugin } from 'ironsluice';
  export default definePlugin((head) => {
    const ticket = head.headers.get('x-ticket');
    if (ticket === 'both') return { request: { add: { 'x-user': ['a', 'b'] } } };
    return ticket === null ? undefined : { request: { set: { 'x-user': 'user-' + ticket } } };
  });`;

test('a plugin proves a consumer by a field that no client can say', async (t) => {
  const module = join(await folder(t), 'tickets.ts');
  await writeFile(module, TICKETS);
  const plugin: Filter = { use: 'plugin', module, timeout: '5s', claims: ['X-User'] };
  const from: Filter = { use: 'consumer', from: 'header:x-user' };
  const edge = await filtered(t, [plugin, from, each]);
  const ask = (headers: Record<string, string>): Promise<Response> => edge.get('/', { headers });

  const found: (string | number)[] = [];
  for (const headers of [{ 'x-ticket': '1' }, { 'x-ticket': '2', 'x-user': 'user-1' }, { 'x-ticket': '1' }]) {
    found.push((await ask(headers)).status);
  }
  assert.deepEqual(found, [200, 200, 429]);
  const told = edge.up.seen.map(({ headers }) => [headers['ironsluice-consumer'], headers['x-user']]);
  assert.deepEqual(told, [
    ['user-1', 'user-1'],
    ['user-2', 'user-2'],
  ]);
  assert.equal(await code(await ask({ 'x-user': 'user-3' })), 'consumer_missing');
  assert.equal(await code(await ask({ 'x-ticket': 'a b' })), 'consumer_invalid');
  assert.equal(await code(await ask({ 'x-ticket': 'both' })), 'consumer_ambiguous');
  assert.equal(edge.up.hits, 2);

  await assert.rejects(edge.gateway.reload(edge.config([{ ...plugin, claims: [] }, from])), (error) => {
    assert.ok(error instanceof ConfigError);
    assert.match(error.message, /filters\[1\]\.from +x-user is what the client says/);
    return true;
  });
});

test('a value of a trusted PROXY header is a consumer, and who has none is nobody if that is allowed', async (t) => {
  const up = await origin(t);
  const { port } = await gateway(t, {
    workers: 1,
    listeners: [{ name: 'web', bind: '127.0.0.1:0', proxy_protocol: { trust: ['127.0.0.1'] } }],
    upstreams: [{ name: 'up', endpoints: [up.address] }],
    routes: [
      {
        name: 'open',
        match: { path: '/open' },
        filters: [{ use: 'consumer', from: 'proxy:tlv_e0', anonymous: true }],
        to: 'up',
      },
      { name: 'all', filters: [{ use: 'consumer', from: 'proxy:tlv_e0' }, each], to: 'up' },
    ],
  });
  const status = async (path: string, value?: string): Promise<string> => {
    const tlvs = value === undefined ? [] : [{ type: 0xe0, value }];
    const client = await raw(t, port);
    const ends = { address: '203.0.113.7', port: 40_000 };
    await client.send(writeProxyHeader({ source: ends, destination: ends, tlvs, checksum: true }));
    await client.send(`GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
    return (await client.waitForClose()).slice(9, 12);
  };
  const found: string[] = [];
  for (const value of ['acme', 'bolt', 'acme', undefined]) found.push(await status('/', value));
  for (const value of ['acme', undefined]) found.push(await status('/open', value));
  assert.deepEqual(found, ['200', '200', '429', '401', '200', '200']);
  const told = up.seen.map(({ headers }) => headers['ironsluice-consumer']);
  assert.deepEqual(told, ['acme', 'bolt', 'acme', undefined]);
});
