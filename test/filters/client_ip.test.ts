/**
 * client_ip: who is believed about the client, what the upstream is then told, and what later filters count by.
 *
 * The peer of every request here is 127.0.0.1.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Filter } from '../../ts/generated/config.js';
import { filtered } from '../kit/filtered.js';

const PEER = ['127.0.0.0/8'];
const perClient: Filter = { use: 'rate_limit', rate: '1/h', burst: 1, key: 'client_ip' };
const from = (xff: string): RequestInit => ({ headers: { 'X-Forwarded-For': xff } });

test('the upstream is told what trusted hops vouch for, and no more', async (t) => {
  const forwarded = { trust: PEER, header: 'forwarded' } as const;
  const cases: [config: object, sent: Record<string, string>, told: string][] = [
    [{ trust: PEER }, {}, '127.0.0.1'],
    [{ trust: PEER }, { 'X-Forwarded-For': '203.0.113.7' }, '203.0.113.7, 127.0.0.1'],
    [{ trust: PEER }, { 'X-Forwarded-For': '6.6.6.6, 203.0.113.7' }, '203.0.113.7, 127.0.0.1'],
    [
      { trust: PEER },
      { 'X-Forwarded-For': '6.6.6.6, 203.0.113.7, 127.0.0.9' },
      '203.0.113.7, 127.0.0.9, 127.0.0.1',
    ],
    [{ trust: PEER }, { 'X-Forwarded-For': '203.0.113.7, junk' }, '127.0.0.1'],
    [{ trust: PEER }, { Forwarded: 'for=6.6.6.6' }, '127.0.0.1'],
    [{ hops: 1 }, { 'X-Forwarded-For': '6.6.6.6, 203.0.113.7' }, '203.0.113.7, 127.0.0.1'],
    [{ hops: 2 }, { 'X-Forwarded-For': '6.6.6.6, 203.0.113.7' }, '6.6.6.6, 203.0.113.7, 127.0.0.1'],
    [{ trust: PEER, hops: 1 }, { 'X-Forwarded-For': '203.0.113.7, 127.0.0.9' }, '127.0.0.9, 127.0.0.1'],
    [forwarded, { Forwarded: 'for=6.6.6.6, for="[2001:db8::7]:80";proto=https' }, '2001:db8::7, 127.0.0.1'],
    [forwarded, { 'X-Forwarded-For': '6.6.6.6' }, '127.0.0.1'],
  ];
  for (const [config, headers, told] of cases) {
    const edge = await filtered(t, [{ use: 'client_ip', ...config }], { workers: 1 });
    await edge.get('/', { headers });
    const seen = edge.up.seen[0]?.headers;
    const name = JSON.stringify([config, headers]);
    assert.equal(seen?.['x-forwarded-for'], told, name);
    assert.equal(seen?.forwarded, undefined, name);
  }
});

test('a stranger is the client itself, and nothing that it says of itself is passed on', async (t) => {
  const edge = await filtered(t, [{ use: 'client_ip', trust: ['10.0.0.0/8'] }]);
  await edge.get('/', {
    headers: {
      'X-Forwarded-For': '10.0.0.1',
      Forwarded: 'for=10.0.0.1;host=evil.example;proto=https',
      'X-Forwarded-Host': 'evil.example',
      'X-Forwarded-Proto': 'https',
      'X-Real-IP': '10.0.0.1',
    },
  });

  const { headers = {} } = edge.up.seen[0] ?? {};
  const of = (name: string) => headers[name];
  assert.deepEqual(
    ['x-forwarded-for', 'x-forwarded-proto', 'x-forwarded-host', 'forwarded', 'x-real-ip'].map(of),
    ['127.0.0.1', 'http', edge.url.slice('http://'.length), undefined, undefined],
  );
});

test('a trusted proxy is believed about the scheme and the host that the client used', async (t) => {
  const edge = await filtered(t, [{ use: 'client_ip', trust: PEER }]);
  await edge.get('/', { headers: { 'X-Forwarded-Proto': 'https', 'X-Forwarded-Host': 'shop.example' } });

  const { headers = {} } = edge.up.seen[0] ?? {};
  assert.deepEqual([headers['x-forwarded-proto'], headers['x-forwarded-host']], ['https', 'shop.example']);
});

test('a limit behind it counts by the client that it found; one before it, by the peer', async (t) => {
  const trusting: Filter = { use: 'client_ip', trust: PEER };
  const statuses = async (filters: Filter[]): Promise<number[]> => {
    const edge = await filtered(t, filters);
    const found: number[] = [];
    for (const ip of ['203.0.113.1', '203.0.113.2', '203.0.113.1', '6.6.6.6, 203.0.113.2']) {
      found.push((await edge.get('/', from(ip))).status);
    }
    return found;
  };

  assert.deepEqual(await statuses([trusting, perClient]), [200, 200, 429, 429]);
  assert.deepEqual(await statuses([perClient, trusting]), [200, 429, 429, 429]);
});

test('a stranger does not get past a limit by naming other clients', async (t) => {
  const edge = await filtered(t, [{ use: 'client_ip', trust: ['10.0.0.0/8'] }, perClient]);
  assert.equal((await edge.get('/', from('10.0.0.1'))).status, 200);

  for (const lie of ['10.0.0.2', '203.0.113.7, 10.0.0.2', '127.0.0.1', '::1', 'junk']) {
    assert.equal((await edge.get('/', from(lie))).status, 429, lie);
  }
  assert.equal(edge.up.hits, 1);
});
