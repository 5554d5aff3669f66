/**
 * rate_limit: what a limited client is told, what counts together, and that no number of connections, reloads or keys
 * gives anybody more than the rate.
 *
 * Rates of some requests an hour: nothing comes back within a test, unless that is what it is about.
 */
import assert from 'node:assert/strict';
import { Agent, get as httpGet } from 'node:http';
import { test } from 'node:test';
import type { RateLimitFilter } from '../../ts/generated/config.js';
import { filtered } from '../kit/filtered.js';
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
