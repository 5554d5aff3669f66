/**
 * client_ip: who is believed about the client, what the upstream is then told, and what later filters count by.
 *
 * The peer of every request here is 127.0.0.1.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ClientIpWatch } from '../../ts/client-ip-watch.js';
import type { Filter } from '../../ts/generated/config.js';
import type { Log } from '../../ts/log.js';
import { filtered } from '../kit/filtered.js';
import { gateway } from '../kit/gateway.js';
import { origin } from '../kit/origin.js';
import { until } from '../kit/until.js';

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

/** A log that keeps the sentences, each with what to do. */
function sayings(): { said: string[]; log: Log } {
  const said: string[] = [];
  const warn = (fields: Record<string, unknown>, why: string) => void said.push(`${why}: ${fields.fix}`);
  const quiet = Object.fromEntries(
    ['trace', 'debug', 'info', 'error', 'fatal'].map((one) => [one, () => {}]),
  );
  return { said, log: { ...quiet, warn } as unknown as Log };
}

test('what requests say of proxies is counted, and a trust that does not fit is said with its remedy', async (t) => {
  const looks: (() => void)[] = [];
  const interval = globalThis.setInterval;
  t.mock.method(globalThis, 'setInterval', (look: () => void, ms: number) => {
    if (ms === 60_000) looks.push(look);
    return interval(look, ms);
  });
  const up = await origin(t);
  /** What is said after 200 requests with these fields to a gateway with this filter. */
  const looked = async (config: object | undefined, value: (n: number) => string | undefined) => {
    const { said, log } = sayings();
    const filters = config === undefined ? [] : [{ use: 'client_ip', ...config } as Filter];
    const edge = await gateway(
      t,
      {
        workers: 1,
        upstreams: [{ name: 'up', endpoints: [up.address] }],
        routes: [{ name: 'all', to: 'up', filters }],
      },
      { log },
    );
    const ask = async (_: unknown, n: number): Promise<void> => {
      const xff = value(n);
      await (await edge.get('/', xff === undefined ? {} : from(xff))).arrayBuffer();
    };
    await Promise.all(Array.from({ length: 200 }, ask));
    await until(
      async () => /requests_total\{class="2xx",route="all"\} 200/.test(await edge.gateway.metrics()),
      'all are counted',
    );
    looks.at(-1)?.();
    return { said: said.join(), metrics: await edge.gateway.metrics() };
  };

  const two = await looked({ hops: 1 }, (n) => (n % 10 === 0 ? '1.2.3.4' : '1.2.3.4, 5.6.7.8'));
  assert.equal(
    two.said,
    'you trust 1 hop, but 90 % of requests have more, mostly 2: ' +
      'write hops: 2 in client_ip if all of them are your proxies, else clients write it',
  );
  assert.match(two.metrics, /client_ip_requests_total\{route="all",seen="more"\} 180/);
  assert.match(two.metrics, /client_ip_requests_total\{route="all",seen="fits"\} 20/);
  assert.match(two.metrics, /client_ip_entries_total\{entries="2",route="all"\} 180/);

  const cases: [config: object | undefined, value: (n: number) => string | undefined, said: RegExp][] = [
    [
      { hops: 2 },
      () => undefined,
      /^you trust 2 hops, but 100 % of requests have fewer, mostly 0: let the proxy/,
    ],
    [{ hops: 2 }, () => '1.2.3.4', /^you trust 2 hops, .* fewer, mostly 1: write hops: 1 in client_ip$/],
    [
      { trust: PEER },
      () => '127.0.0.9',
      /^of 100 % of requests the client that was found is an address in trust/,
    ],
    [{ trust: PEER }, () => '1.2.3.4, 5.6.7.8', /^100 % of requests have entries beyond the client/],
    [undefined, (n) => `203.0.113.${n}`, /^many clients .* through 127\.0\.0\.1, .* trust: \[127\.0\.0\.1\]/],
    [undefined, () => '203.0.113.1', /^$/],
    [undefined, () => undefined, /^$/],
    [{ hops: 1 }, () => '1.2.3.4', /^$/],
    [{ trust: PEER }, () => '1.2.3.4', /^$/],
  ];
  for (const [config, value, said] of cases) {
    assert.match((await looked(config, value)).said, said, JSON.stringify(config));
  }
});

test('a trust that does not fit is said once in ten minutes, and by what is new', () => {
  let more = 0;
  let fits = 0;
  const sample = (seen: string, value: number) => ({ labels: { route: 'r', seen }, value });
  const counted = {
    metrics: () =>
      JSON.stringify([
        { name: 'ironsluice_client_ip_requests_total', values: [sample('more', more), sample('fits', fits)] },
      ]),
    suspects: () => '[]',
  };
  const { said, log } = sayings();
  const watch = new ClientIpWatch(counted, () => '{"routes":[]}', log);
  const minute = 60_000;
  const cases: [more: number, fits: number, at: number, said: number][] = [
    [199, 0, 0, 0], // too few to judge by
    [1, 0, 1, 1],
    [1000, 0, 2, 1],
    [1000, 0, 10, 1],
    [0, 0, 12, 1], // nothing is new
    [1000, 0, 13, 2],
    [100, 900, 30, 2], // it was mended
  ];
  for (const [moreNow, fitsNow, at, count] of cases) {
    more += moreNow;
    fits += fitsNow;
    watch.look(at * minute);
    assert.equal(said.length, count, `at minute ${at}`);
  }
});
