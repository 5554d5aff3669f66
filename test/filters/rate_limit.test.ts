/**
 * rate_limit: what a limited client is told, what counts together, and that no number of connections, reloads or keys
 * gives anybody more than the rate.
 *
 * Rates of some requests an hour: nothing comes back within a test, unless that is what it is about.
 */
import assert from 'node:assert/strict';
import { Agent, get as httpGet } from 'node:http';
import { get as httpsGet } from 'node:https';
import { connect } from 'node:net';
import { test } from 'node:test';
import type { RateLimitFilter } from '../../ts/generated/config.js';
import { folder } from '../kit/binary.js';
import { type Filtered, filtered } from '../kit/filtered.js';
import { gateway, portOf } from '../kit/gateway.js';
import { until } from '../kit/until.js';

const limit = (more: Partial<RateLimitFilter> = {}): RateLimitFilter => ({
  use: 'rate_limit',
  rate: '1/h',
  burst: 1,
  ...more,
});
const key = (value: string): RequestInit => ({ headers: { 'X-Key': value } });

test('what is left is told with each answer, and a refusal says when to come back', async (t) => {
  const edge = await filtered(t, [limit({ rate: '6/h', burst: 2, name: 'hourly' })]);

  const answers = [await edge.get('/'), await edge.get('/'), await edge.get('/')];
  const fields = answers.map(({ headers }) => headers.get('ratelimit') ?? '');
  assert.deepEqual(
    answers.map(({ status, headers }) => [status, headers.get('ratelimit-policy')]),
    [200, 200, 429].map((status) => [status, '"hourly";q=6;w=3600']),
  );
  assert.deepEqual(
    fields.map((field) => field.replace(/;t=\d+$/, '')),
    ['"hourly";r=1', '"hourly";r=0', '"hourly";r=0'],
  );
  const seconds = Number(/t=(\d+)$/.exec(fields[2] ?? '')?.[1]);
  assert.ok(seconds > 590 && seconds <= 600, `${seconds} to one more, at 6 an hour`);
  const [, , refused] = answers;
  assert.equal(refused?.headers.get('retry-after'), `${seconds}`);
  assert.equal(refused?.headers.get('content-type'), 'application/problem+json');
  assert.deepEqual(await refused?.json(), {
    type: 'https://iana.org/assignments/http-problem-types#quota-exceeded',
    title: 'Request cannot be satisfied as assigned quota has been exceeded',
    status: 429,
    code: 'rate_limited',
    detail: 'Too many requests.',
    'violated-policies': ['hourly'],
  });
  assert.equal(edge.up.hits, 2);
});

test('two limits both speak, and without headers only Retry-After does', async (t) => {
  const both = await filtered(t, [limit({ name: 'a', burst: 9 }), limit({ name: 'b', burst: 5 })]);
  // Responses pass in reverse.
  assert.match((await both.get('/')).headers.get('ratelimit') ?? '', /^"b";r=4;t=\d+, "a";r=8;t=\d+$/);

  const silent = await filtered(t, [limit({ headers: false })]);
  const [passed, refused] = [await silent.get('/'), await silent.get('/')];
  assert.deepEqual([passed.status, refused.status], [200, 429]);
  assert.ok(Number(refused.headers.get('retry-after')) > 3_590);
  for (const answer of [passed, refused]) {
    assert.equal(answer.headers.get('ratelimit'), null);
    assert.equal(answer.headers.get('ratelimit-policy'), null);
  }
});

test('a refused request uses nothing up: who keeps asking is admitted when it is time', async (t) => {
  const edge = await filtered(t, [limit({ rate: '4/s' })]);
  const began = performance.now();
  assert.equal((await edge.get('/')).status, 200);
  let refusals = 0;
  await until(async () => {
    const { status } = await edge.get('/');
    if (status === 429) refusals += 1;
    return status === 200;
  }, 'another admission');

  assert.ok(refusals > 3, `${refusals} refusals`);
  const passed = performance.now() - began;
  assert.ok(passed >= 250, `the second of 4/s after ${passed} ms`);
});

test('each key counts for itself, and requests without it count together', async (t) => {
  const byHeader = await filtered(t, [limit({ key: 'header:x-key' })]);
  const statuses: number[] = [];
  for (const init of [key('a'), key('b'), key('a'), key('A'), {}, {}, key('')]) {
    statuses.push((await byHeader.get('/', init)).status);
  }
  assert.deepEqual(statuses, [200, 200, 429, 200, 200, 429, 429]);

  const whole = await filtered(t, [limit({ key: 'route' })]);
  assert.equal((await whole.get('/', key('a'))).status, 200);
  assert.equal((await whole.get('/other', key('b'))).status, 429);
});

test('two shards under many connections admit exactly the burst', async (t) => {
  const edge = await filtered(t, [limit({ burst: 100 })], { workers: 2 });
  // A connection for each request: the system spreads them over the shards.
  const agent = new Agent({ keepAlive: false, maxSockets: 64 });
  const ask = (): Promise<number> =>
    new Promise((resolve, reject) => {
      httpGet(edge.url, { agent }, (answer) => {
        answer.resume().on('end', () => resolve(answer.statusCode ?? 0));
      }).on('error', reject);
    });
  const statuses = await Promise.all(Array.from({ length: 400 }, ask));

  const of = (status: number): number => statuses.filter((s) => s === status).length;
  assert.deepEqual([of(200), of(429), edge.up.hits], [100, 300, 100]);
});

test('with scope thread each of two shards admits its own burst', async (t) => {
  const edge = await filtered(t, [limit({ burst: 5, scope: 'thread' })], { workers: 2 });
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const ask = (): Promise<number> =>
    new Promise((resolve, reject) => {
      httpGet(edge.url, { agent }, (answer) => {
        answer.resume().on('end', () => resolve(answer.statusCode ?? 0));
      }).on('error', reject);
    });
  // One connection is on one thread.
  const one: number[] = [];
  for (let n = 0; n < 8; n += 1) one.push(await ask());
  assert.deepEqual(one, [200, 200, 200, 200, 200, 429, 429, 429]);
  agent.destroy();
  // Many connections are on both.
  const other = new Agent({ keepAlive: false, maxSockets: 32 });
  const more = (): Promise<unknown> =>
    new Promise((resolve, reject) => {
      httpGet(edge.url, { agent: other }, (answer) => answer.resume().on('end', resolve)).on('error', reject);
    });
  await Promise.all(Array.from({ length: 200 }, more));
  assert.equal(edge.up.hits, 10);
});

test('the count survives a reload that keeps the limit, and starts anew with another limit', async (t) => {
  const edge = await filtered(t, [limit()]);
  assert.equal((await edge.get('/')).status, 200);

  await edge.gateway.reload(edge.config([limit({ headers: false, name: 'renamed' })]));
  assert.equal((await edge.get('/')).status, 429);
  await edge.gateway.reload(edge.config([limit({ burst: 2 })]));
  assert.equal((await edge.get('/')).status, 200);
});

test('a flood of keys frees nobody and grows nothing', async (t) => {
  const edge = await filtered(t, [limit({ key: 'header:x-key', max_keys: 8 })]);
  assert.equal((await edge.get('/', key('victim'))).status, 200);

  let admitted = 1;
  for (let n = 0; n < 100; n++) {
    if ((await edge.get('/', key(`flood-${n}`))).status === 200) admitted += 1;
  }
  assert.equal(admitted, 8, 'as many as there is room for; who comes later inherits a debt');
  assert.equal((await edge.get('/', key('victim'))).status, 429);
});

test('of several limits the strictest answers, and what it refuses counts for none', async (t) => {
  const edge = await filtered(t, [
    {
      use: 'rate_limit',
      limits: [
        { name: 'all', rate: '9/h', algorithm: 'fixed_window', key: 'route' },
        { name: 'each', rate: '2/h', algorithm: 'sliding_window_log', key: ['header:x-key', 'cookie:s'] },
      ],
    },
  ]);
  const left = async (value: string): Promise<string> => {
    const { status, headers } = await edge.get('/', { headers: { 'X-Key': value, Cookie: 's=1' } });
    assert.equal(headers.get('ratelimit-policy'), '"all";q=9;w=3600, "each";q=2;w=3600');
    return `${status} ${headers.get('ratelimit')?.replace(/;t=\d+/g, '')}`;
  };

  assert.equal(await left('a'), '200 "all";r=8, "each";r=1');
  assert.equal(await left('a'), '200 "all";r=7, "each";r=0');
  for (let n = 0; n < 5; n += 1) assert.equal(await left('a'), '429 "all";r=7, "each";r=0');
  assert.equal(await left('b'), '200 "all";r=6, "each";r=1');

  const refused = await edge.get('/', { headers: { 'X-Key': 'a', Cookie: 's=1' } });
  assert.ok(Number(refused.headers.get('retry-after')) > 3_500);
  assert.deepEqual(((await refused.json()) as { 'violated-policies': string[] })['violated-policies'], [
    'each',
  ]);
});

test('two shards under many connections admit exactly the quota of each algorithm', async (t) => {
  for (const algorithm of ['token_bucket', 'fixed_window', 'sliding_window', 'sliding_window_log'] as const) {
    const edge = await filtered(t, [{ use: 'rate_limit', rate: '50/h', algorithm, legacy_headers: true }]);
    const answers = await Promise.all(Array.from({ length: 120 }, () => edge.get('/')));
    const admitted = answers.filter(({ status }) => status === 200).length;
    assert.deepEqual([admitted, edge.up.hits], [50, 50], algorithm);
  }
});

test('a field says the cost, a bad one costs the most, and the older fields are there if asked for', async (t) => {
  const edge = await filtered(t, [
    limit({ rate: '20/h', burst: 20, cost_header: 'x-cost', max_cost: 8, legacy_headers: true }),
  ]);
  const left = async (init: RequestInit): Promise<string | null> =>
    (await edge.get('/', init)).headers.get('x-ratelimit-remaining');

  assert.equal(await left({}), '19');
  assert.equal(await left({ headers: { 'X-Cost': '3' } }), '16');
  assert.equal(await left({ headers: { 'X-Cost': 'free' } }), '8');
  assert.equal(await left({ headers: { 'X-Cost': '9' } }), '0');
  const { status, headers } = await edge.get('/');
  assert.deepEqual([status, headers.get('x-ratelimit-limit')], [429, '20']);
  assert.ok(Number(headers.get('x-ratelimit-reset')) > 3_500);
});

test('leaky_bucket lets requests go on at the rate, and refuses those for whom there is no place', async (t) => {
  const edge = await filtered(t, [limit({ rate: '4/s', burst: 3, algorithm: 'leaky_bucket' })]);
  const began = performance.now();
  const answers = await Promise.all(Array.from({ length: 5 }, () => edge.get('/')));

  const took = performance.now() - began;
  assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 200, 200, 429, 429]);
  assert.ok(took >= 500, `the third of 4/s after ${took} ms`);
  assert.equal(edge.up.hits, 3);
});

test('a client that goes away while it waits is let go, and nothing of its request goes on', async (t) => {
  const queue = limit({ rate: '1/m', burst: 2, algorithm: 'leaky_bucket', max_wait: '1m' });
  const edge = await filtered(t, [queue]);
  await edge.get('/');
  const metrics = (): Promise<string> => edge.gateway.metrics();
  const open = async (): Promise<number> =>
    Number(/connections_active\{[^}]*\} (\d+)/.exec(await metrics())?.[1]);

  const waiting = connect(edge.port, '127.0.0.1');
  waiting.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  const before = await open();
  // The place is taken once another finds none.
  await until(async () => (await edge.get('/')).status === 429, 'a queue that is full');
  waiting.destroy();
  await until(async () => (await open()) <= before, 'its connection is closed');
  await until(async () => /requests_total\{[^}]*class="4xx"[^}]*\} [2-9]/.test(await metrics()), 'its end');
  assert.equal(edge.up.hits, 1);
});

test('what a response says it cost, and its length, is paid by the next requests', async (t) => {
  const spent = (answer: string | undefined, more: Partial<RateLimitFilter>): Promise<Filtered> =>
    filtered(t, [limit({ rate: '10/h', burst: 10, max_cost: 100, ...more })], {
      handler: (_, response) => {
        if (answer !== undefined) response.setHeader('X-Cost', answer);
        response.end('0123456789');
      },
    });
  const said = await spent('30', { cost_response_header: 'x-cost' });
  const first = await said.get('/');
  assert.deepEqual([first.status, first.headers.get('ratelimit')?.slice(0, 10)], [200, '"10/h";r=0']);
  const refused = await said.get('/');
  assert.equal(refused.status, 429);
  // 30 are owed and 10 fit: 21 come back at 10 an hour before another is admitted.
  assert.ok(Number(refused.headers.get('retry-after')) > 7_500);

  const unsaid = await spent(undefined, { cost_response_header: 'x-cost' });
  assert.match((await unsaid.get('/')).headers.get('ratelimit') ?? '', /r=9;/);

  const bytes = await spent(undefined, { cost_response: 'bytes' });
  assert.equal(await (await bytes.get('/')).text(), '0123456789');
  await until(async () => (await bytes.get('/')).status === 429, 'ten bytes of ten are counted');
});

test('a key by the host of the handshake, which is one for requests without TLS', async (t) => {
  const config = {
    state_dir: await folder(t),
    listeners: [
      { name: 'tls', bind: '127.0.0.1:0', tls: 'dev' as const },
      { name: 'web', bind: '127.0.0.1:0' },
    ],
    routes: [{ name: 'all', filters: [limit({ key: 'sni' }), { use: 'respond' as const }] }],
  };
  const { gateway: running } = await gateway(t, config);
  const ask = (servername: string): Promise<number> =>
    new Promise((resolve, reject) => {
      const at = { host: '127.0.0.1', port: portOf(running, 'tls'), rejectUnauthorized: false, agent: false };
      httpsGet({ ...at, servername }, (answer) => {
        answer.resume().on('end', () => resolve(answer.statusCode ?? 0));
      }).on('error', reject);
    });
  const statuses: number[] = [];
  for (const host of ['a.localhost', 'b.localhost', 'a.localhost']) statuses.push(await ask(host));
  const plain = `http://127.0.0.1:${portOf(running, 'web')}/`;
  for (const url of [plain, plain]) statuses.push((await fetch(url)).status);
  assert.deepEqual(statuses, [200, 200, 429, 200, 429]);
});

test('without a store requests are refused or pass, as on_fail says, and none fails', async (t) => {
  const cases = [
    ['closed', 503, 'rate_limit_unavailable'],
    ['open', 200, undefined],
    ['fair_share', 200, undefined],
  ] as const;
  for (const mode of ['strict', 'leased'] as const) {
    for (const [on_fail, status, code] of cases) {
      const edge = await gateway(t, {
        store: { redis: 'redis://127.0.0.1:9' },
        routes: [
          {
            name: 'all',
            filters: [limit({ scope: 'global', mode, on_fail }), { use: 'respond', status: 200, body: 'ok' }],
          },
        ],
      });
      const answer = await edge.get('/');
      assert.equal(answer.status, status, `${mode} ${on_fail}`);
      if (code !== undefined) assert.equal(((await answer.json()) as { code: string }).code, code);
    }
  }
});
