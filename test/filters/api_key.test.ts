/**
 * api_key: who sends a known key is let in, everybody behind is told whose it is, and no key is shown anywhere.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import type { ApiKeyFilter, Filter } from '../../ts/generated/config.js';
import { folder, launch } from '../kit/binary.js';
import { code, filtered } from '../kit/filtered.js';
import { gateway } from '../kit/gateway.js';
import { origin } from '../kit/origin.js';
import { raw } from '../kit/raw.js';

const sha256 = (key: string): string => createHash('sha256').update(key).digest('hex');
const ALI = 'acme_live_C4n4ryAli';
const ELSE = 'acme_live_C4n4ryElse';
const OLD = 'old_C4n4ryOld';
const KEYS = [
  { prefix: 'acme_live', hash: sha256(ALI), consumer: 'ali' },
  { prefix: 'acme_live', hash: sha256(ELSE), consumer: 'else' },
  { prefix: 'old', hash: sha256(OLD), consumer: 'old', expires: '2020-01-01T00:00:00Z' },
];
const keyed = (more: Partial<ApiKeyFilter> = {}): Filter => ({ use: 'api_key', keys: KEYS, ...more });

test('a known key opens and goes no further; its consumer is told, and nobody else says that field', async (t) => {
  const edge = await filtered(t, [keyed({ query: 'key' })]);
  const cases: [path: string, headers: Record<string, string>, consumer: string, url: string][] = [
    ['/a', { 'x-api-key': ALI }, 'ali', '/a'],
    ['/a', { 'X-API-KEY': ELSE, 'Ironsluice-Consumer': 'admin' }, 'else', '/a'],
    [`/a?b=1&key=${ALI}&c`, {}, 'ali', '/a?b=1&c'],
    [`/a?key=${ALI}`, { 'x-api-key': ALI }, 'ali', '/a'],
  ];
  for (const [path, headers, consumer, url] of cases) {
    assert.equal((await edge.get(path, { headers })).status, 200, path);
    const seen = edge.up.seen.at(-1);
    assert.equal(seen?.url, url);
    assert.equal(seen?.headers['ironsluice-consumer'], consumer);
    assert.doesNotMatch(JSON.stringify(seen?.rawHeaders), /C4n4ry|x-api-key/i);
  }
});

test('without the filter nobody is told a consumer that a client made up', async (t) => {
  const edge = await filtered(t, []);
  await edge.get('/', { headers: { 'ironsluice-consumer': 'admin' } });
  assert.equal(edge.up.seen[0]?.headers['ironsluice-consumer'], undefined);
});

test('what is refused, with which words, and nothing of it reaches the origin', async (t) => {
  const realm = 'ApiKey realm="all", header="x-api-key"';
  const edge = await filtered(t, [keyed({ query: 'key' })]);
  const cases: [path: string, sent: string[], code: string][] = [
    ['/', [], 'api_key_missing'],
    ['/', ['acme_live_C4n4ry'], 'api_key_unknown'],
    ['/', ['C4n4ry'], 'api_key_unknown'],
    ['/', [OLD], 'api_key_expired'],
    ['/', [ALI, ELSE], 'api_key_ambiguous'],
    [`/?key=${ALI}`, [ELSE], 'api_key_ambiguous'],
    [`/?key=${ALI}&key=${ELSE}`, [], 'api_key_ambiguous'],
  ];
  for (const [path, sent, word] of cases) {
    const fields = sent.map((value) => `X-Api-Key: ${value}\r\n`).join('');
    const client = await raw(t, edge.port);
    await client.send(`GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${fields}\r\n`);
    const answer = await client.waitForClose();
    assert.match(answer, new RegExp(`^HTTP/1.1 401 [^]*"code":"${word}"`));
    assert.ok(answer.toLowerCase().includes(`\r\nwww-authenticate: ${realm.toLowerCase()}\r\n`), answer);
    assert.ok(answer.includes('application/problem+json'), answer);
    assert.doesNotMatch(answer, /C4n4ry/);
  }
  assert.equal(edge.up.hits, 0);
});

test('a bearer, and a key that is to be forwarded', async (t) => {
  const edge = await filtered(t, [keyed({ header: 'authorization', forward: true })]);
  const bearer = { authorization: `Bearer ${ALI}` };
  assert.equal((await edge.get('/', { headers: bearer })).status, 200);
  assert.equal(edge.up.seen[0]?.headers.authorization, bearer.authorization);
  const refused = await edge.get('/', { headers: { authorization: 'Bearer acme_live_x' } });
  assert.equal(refused.headers.get('www-authenticate'), 'Bearer realm="all", error="invalid_token"');
  assert.equal(await code(refused), 'api_key_unknown');
});

test('a query whose key cannot be taken out is refused rather than passed on', async (t) => {
  const up = await origin(t);
  const edge = await gateway(t, {
    listeners: [{ name: 'web', bind: '127.0.0.1:0', limits: { head: '1MiB', uri: '1MiB' } }],
    upstreams: [{ name: 'up', endpoints: [up.address] }],
    routes: [{ name: 'all', to: 'up', filters: [keyed({ query: 'key' })] }],
  });
  const client = await raw(t, edge.port);
  const long = 'x'.repeat(600 << 10);
  await client.send(`GET /?key=${ALI}&a=${long} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
  assert.match(await client.waitForClose(), /^HTTP\/1\.1 400 .*"code":"api_key_query"/s);
  assert.equal(up.hits, 0);
});

test('each consumer has a limit of its own, whichever key it uses, and a reload keeps the count', async (t) => {
  const spare = { prefix: 'spare', hash: sha256('spare_C4n4ry'), consumer: 'ali' };
  const filters = (keys: typeof KEYS): Filter[] => [
    keyed({ keys }),
    { use: 'rate_limit', rate: '1/m', burst: 2, key: 'consumer' },
  ];
  const edge = await filtered(t, filters([...KEYS, spare]));
  const status = async (key: string): Promise<number> =>
    (await edge.get('/', { headers: { 'x-api-key': key } })).status;
  assert.deepEqual([await status(ALI), await status('spare_C4n4ry'), await status(ALI)], [200, 200, 429]);
  assert.equal(await status(ELSE), 200);
  await edge.gateway.reload(edge.config(filters(KEYS)));
  assert.deepEqual([await status('spare_C4n4ry'), await status(ALI), await status(ELSE)], [401, 429, 200]);
});

test('no key is in a log, a metric, the config that is shown, or a fault', async (t) => {
  const up = await origin(t, (request, response) => {
    if (request.url?.startsWith('/reset')) request.socket.destroy();
    else response.end('ok');
  });
  const app = `export default (request, ctx) => {
    if (request.path === '/app/throws') throw new Error('of the app');
    return { consumer: ctx.consumer ?? null, key: request.header('x-api-key') ?? null, query: request.query };
  };`;
  const plugin =
    'export default (head, info) => ({ response: { set: { "x-whose": info.consumer ?? "-" } } });';
  const filter = { ...keyed({ query: 'key' }) };
  const config = {
    listeners: [{ name: 'web', bind: '127.0.0.1:0' }],
    admin: { bind: '127.0.0.1:0' },
    access_log: { to: 'stdout', format: 'line $consumer $path $query $header_x_api_key $status $code' },
    apps: [{ name: 'site', module: './app.mjs' }],
    upstreams: [{ name: 'up', endpoints: [up.address] }],
    routes: [
      { name: 'forwarded', match: { path: '/forward' }, filters: [{ ...filter, forward: true }], to: 'up' },
      {
        name: 'limited',
        match: { path: '/limited' },
        filters: [{ use: 'respond', status: 429 }, filter],
        to: 'up',
      },
      { name: 'app', match: { path: '/app/*' }, filters: [filter], to: { app: 'site' } },
      {
        name: 'up',
        match: { path: ['/up', '/reset'] },
        filters: [filter, { use: 'plugin', module: './plugin.mjs', timeout: '5s' }],
        to: 'up',
      },
    ],
  };
  const cwd = await folder(t, { 'c.json': JSON.stringify(config), 'app.mjs': app, 'plugin.mjs': plugin });
  const running = launch(t, ['start', '--config', 'c.json', '--log-level', 'trace', '--log-format', 'json'], {
    cwd,
  });
  const { address } = await running.logged('listening');
  const url = `http://${address}`;
  const answers: string[] = [];
  const ask = async (path: string, key?: string, method = 'GET'): Promise<Response> => {
    const headers: Record<string, string> = key === undefined ? {} : { 'x-api-key': key };
    const answer = await fetch(`${url}${path}`, { method, headers });
    answers.push(await answer.clone().text(), JSON.stringify([...answer.headers]));
    return answer;
  };

  assert.deepEqual(await (await ask(`/app/a?b=1&key=${ALI}`)).json(), {
    consumer: 'ali',
    key: null,
    query: 'b=1',
  });
  assert.equal((await ask('/up', ELSE)).headers.get('x-whose'), 'else');
  for (const [path, key, status] of [
    ['/app/throws', ALI, 500],
    [`/up?key=${OLD}`, undefined, 401],
    ['/up?a=1', 'acme_live_C4n4ry', 401],
    [`/up?key=${ALI}`, ELSE, 401],
    [`/forward?key=${ALI}`, ALI, 200],
    ['/reset', ALI, 502],
    [`/limited?%6bey=${ALI}`, ALI, 429],
    [`/nowhere?key=${ALI}`, ALI, 404],
  ] as const) {
    assert.equal((await ask(path, key)).status, status, path);
  }
  await ask(`/up?key=${ALI}`, undefined, 'PURGE');
  await running.printed(/^line ali \/forward key=\[redacted\] \[redacted\] 200 -$/m);
  await running.printed(/^line - \/nowhere key=\[redacted\] \[redacted\] 404 no_route$/m);
  await running.printed(/^line - \/limited %6bey=\[redacted\] \[redacted\] 429 /m);
  await running.printed(/^line - \/up key=\[redacted\] - \d+ \w+$/m);

  const admin = await running.logged('admin listening');
  for (const path of ['/metrics', '/config', '/upstreams']) {
    answers.push(await (await fetch(`http://${admin.address}${path}`)).text());
  }
  running.child.kill('SIGTERM');
  const { stdout, stderr } = await running.ended();
  assert.match(stdout, /^line /m);
  assert.doesNotMatch(`${stdout}${stderr}${answers.join('\n')}`, /C4n4ry/);
});

test('a preflight passes without a key, and so do all requests where nobody must have one', async (t) => {
  const preflight = {
    method: 'OPTIONS',
    headers: { Origin: 'https://a.example', 'Access-Control-Request-Method': 'PUT' },
  };
  const ask = async (more: Partial<ApiKeyFilter>, init: RequestInit): Promise<string> => {
    const edge = await filtered(t, [keyed(more)], { workers: 1 });
    // `fetch` keeps Origin for itself.
    const client = await raw(t, edge.port);
    const fields = Object.entries(init.headers ?? {}).map(([name, value]) => `${name}: ${value}\r\n`);
    await client.send(`${init.method} / HTTP/1.1\r\nHost: a\r\n${fields.join('')}Connection: close\r\n\r\n`);
    const status = (await client.waitForClose()).slice(9, 12);
    return `${status} ${edge.up.seen[0]?.headers['ironsluice-consumer']}`;
  };
  assert.equal(await ask({}, preflight), '401 undefined');
  assert.equal(await ask({ preflight: 'pass' }, preflight), '200 undefined');
  assert.equal(await ask({ preflight: 'pass' }, { method: 'OPTIONS' }), '401 undefined');
  assert.equal(await ask({ anonymous: true }, { method: 'GET' }), '200 undefined');
  assert.equal(await ask({ anonymous: true }, { method: 'GET', headers: { 'x-api-key': ALI } }), '200 ali');
  assert.equal(
    await ask({ anonymous: true }, { method: 'GET', headers: { 'x-api-key': OLD } }),
    '401 undefined',
  );
});
