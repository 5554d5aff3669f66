/**
 * Apps behind the edge: what handlers return, what they are told, and that no death of a worker is seen by anybody else.
 */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { ConfigError, createGateway } from '../../ts/index.js';
import { folder } from '../kit/binary.js';
import { gateway, type TestGateway } from '../kit/gateway.js';
import { origin } from '../kit/origin.js';
import { raw } from '../kit/raw.js';
import { until } from '../kit/until.js';

/** A gateway whose routes `/app/*` lead to this module, and all others to an upstream that says `edge`. */
async function stand(
  t: TestContext,
  module: string,
  more: { workers?: number; app?: object; admin?: boolean } = {},
): Promise<TestGateway & { write(module: string): Promise<void>; config: object }> {
  const path = await folder(t, { 'app.ts': module });
  const upstream = await origin(t, (_, response) => void response.end('edge'));
  const config = {
    workers: more.workers ?? 1,
    ...(more.admin ? { admin: { bind: '127.0.0.1:0' } } : {}),
    apps: [{ name: 'site', module: join(path, 'app.ts'), ...more.app }],
    listeners: [{ name: 'web', bind: '127.0.0.1:0' }],
    upstreams: [{ name: 'up', endpoints: [upstream.address] }],
    routes: [
      { name: 'app', match: { path: '/app/*' }, to: { app: 'site' } },
      { name: 'rest', match: { path: '/*' }, to: 'up' },
    ],
  };
  const running = await gateway(t, config as never);
  return { ...running, config, write: (text) => writeFile(join(path, 'app.ts'), text) };
}

const REPLIES = `
const bytes = new TextEncoder().encode('bytes');
const replies: Record<string, () => unknown> = {
  text: () => 'hello',
  bytes: () => bytes,
  nothing: () => undefined,
  json: () => ({ a: [1, 'ü'] }),
  list: () => [1, 2],
  parts: () => ({ status: 201, headers: { 'x-a': ['1', '2'], 'content-type': 'text/x' }, body: 'made' }),
  'parts-json': () => ({ status: 202, body: { ok: true } }),
  response: () => new Response('fetch', { status: 203, headers: { 'x-b': '3' } }),
  stream: () => ({ body: (async function* () { yield 'a'; yield bytes; yield 'c'; })() }),
  async: async () => 'later',
  throws: () => { throw new Error('the secret inside'); },
  'bad-field': () => ({ headers: { 'x-a': 'b\\r\\nx-evil: 1' }, body: '' }),
  'bad-status': () => ({ status: 101, body: '' }),
};
export default (request: { path: string }) => replies[request.path.slice(5)]?.();
`;

test('each kind of reply becomes its answer', async (t) => {
  const { get } = await stand(t, REPLIES);
  const cases: [string, number, string | undefined, string][] = [
    ['text', 200, 'text/plain; charset=utf-8', 'hello'],
    ['bytes', 200, 'application/octet-stream', 'bytes'],
    ['nothing', 204, undefined, ''],
    ['json', 200, 'application/json', '{"a":[1,"ü"]}'],
    ['list', 200, 'application/json', '[1,2]'],
    ['parts', 201, 'text/x', 'made'],
    ['parts-json', 202, 'application/json', '{"ok":true}'],
    ['response', 203, 'text/plain;charset=UTF-8', 'fetch'],
    ['stream', 200, 'application/octet-stream', 'abytesc'],
    ['async', 200, 'text/plain; charset=utf-8', 'later'],
    ['none', 204, undefined, ''],
  ];
  for (const [path, status, type, body] of cases) {
    const answer = await get(`/app/${path}`);
    assert.equal(answer.status, status, path);
    assert.equal(answer.headers.get('content-type') ?? undefined, type, path);
    assert.equal(await answer.text(), body, path);
  }
  assert.equal((await get('/app/parts')).headers.get('x-a'), '1, 2');
  for (const path of ['throws', 'bad-field', 'bad-status']) {
    const answer = await get(`/app/${path}`);
    const text = await answer.text();
    assert.equal(answer.status, 500, path);
    assert.equal(JSON.parse(text).code, 'internal', path);
    assert.ok(!text.includes('secret') && answer.headers.get('x-evil') === null, path);
  }
  const head = await get('/app/text', { method: 'HEAD' });
  assert.equal(head.headers.get('content-length'), '5');
});

test('a handler is told what the core knows, and not what a client says', async (t) => {
  const { get } = await stand(
    t,
    `export default { fetch: async (request, ctx) => ({ body: {
      method: request.method, path: request.path, query: request.query, q: request.searchParams.get('q'),
      url: request.url, header: request.header('x-a'), fields: request.headers.get('x-a'),
      body: request.method === 'POST' ? await request.json() : null,
      app: ctx.app, client: ctx.client, route: ctx.route, trace: ctx.trace ?? null,
      left: ctx.deadline - performance.now() > 10_000, aborted: ctx.signal.aborted,
      count: ctx.counter('seen').add(1),
    } }) }`,
    { app: { timeouts: { response: '20s' } } },
  );
  const headers = {
    'x-a': 'b',
    'ironsluice-client': '6.6.6.6',
    'ironsluice-route': 'admin',
    'content-type': 'application/json',
    traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
  };
  const answer = await get('/app/x%20y?q=1', { method: 'POST', headers, body: '{"n":1}' });
  const seen = (await answer.json()) as Record<string, unknown>;
  const { url, ...rest } = seen;
  assert.match(String(url), /^http:\/\/127\.0\.0\.1:\d+\/app\/x%20y\?q=1$/);
  assert.deepEqual(rest, {
    method: 'POST',
    path: '/app/x%20y',
    query: 'q=1',
    q: '1',
    header: 'b',
    fields: 'b',
    body: { n: 1 },
    app: 'site',
    client: '127.0.0.1',
    route: 'app',
    trace: headers.traceparent,
    left: true,
    aborted: false,
    count: 1,
  });
});

test('bodies have a bound, and bad ones have their status', async (t) => {
  const { get } = await stand(
    t,
    `export default async (request) => request.path.endsWith('json') ? { got: await request.json() } : String((await request.bytes(1000)).length);`,
  );
  const post = async (path: string, body: string | ReadableStream): Promise<[number, string]> => {
    const init = { method: 'POST', body, ...(typeof body === 'string' ? {} : { duplex: 'half' }) };
    const answer = await get(path, init as RequestInit);
    const text = await answer.text();
    return [answer.status, answer.ok ? text : JSON.parse(text).code];
  };
  const stream = (n: number) =>
    new ReadableStream({
      start(to) {
        for (let i = 0; i < n; i++) to.enqueue(new Uint8Array(100));
        to.close();
      },
    });
  assert.deepEqual(await post('/app/bytes', 'x'.repeat(1000)), [200, '1000']);
  assert.deepEqual(await post('/app/bytes', 'x'.repeat(1001)), [413, 'body_too_large']);
  assert.deepEqual(await post('/app/bytes', stream(10)), [200, '1000']);
  assert.deepEqual(await post('/app/bytes', stream(11)), [413, 'body_too_large']);
  assert.deepEqual(await post('/app/json', '{'), [400, 'bad_body']);
});

test('a stream that fails is cut, visibly, and the next request is answered', async (t) => {
  const { port, get } = await stand(
    t,
    `export default (request) => request.path.endsWith('cut')
      ? { body: (async function* () {
          yield 'begun';
          await new Promise((go) => setTimeout(go, 50)); // so that the head is on its way
          throw new Error('broken');
        })() } : 'ok';`,
  );
  const client = await raw(t, port);
  await client.send('GET /app/cut HTTP/1.1\r\nHost: a\r\n\r\n');
  const got = await client.waitForClose();
  assert.match(got, /^HTTP\/1\.1 200 [\s\S]*begun/);
  assert.ok(!got.endsWith('0\r\n\r\n'), 'no clean end');
  assert.equal(await (await get('/app/ok')).text(), 'ok');
});

const DEADLY = `
import { setTimeout as later } from 'node:timers/promises';
export default async (request: { path: string }) => {
  switch (request.path.slice(5)) {
    case 'exit': process.exit(7);
    case 'throw': setTimeout(() => { throw new Error('thrown'); }); return later(60_000);
    case 'reject': void Promise.reject(new Error('rejected')); return later(60_000);
    case 'loop': for (;;);
    case 'memory': { const all = []; for (;;) all.push(new Array(100_000).fill(all.length)); }
    default: return 'alive';
  }
};
`;

test('a worker may die in any way: the edge does not notice, and the app answers again', async (t) => {
  const { get, port } = await stand(t, DEADLY, {
    workers: 2,
    app: { stuck_timeout: '300ms', memory: '32MiB' },
  });
  let stop = false;
  let edge = 0;
  const load = (async () => {
    while (!stop) {
      assert.equal(await (await get('/edge')).text(), 'edge');
      edge += 1;
    }
  })();
  for (const kind of ['exit', 'throw', 'reject', 'loop', 'memory', 'loop', 'exit']) {
    // A connection of its own, which is held while the worker dies.
    const held = connect(port, '127.0.0.1');
    held.on('error', () => {});
    held.write('POST /app/held HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n');
    // A GET would be sent once more, as on any connection that may have been stale.
    const answer = await get(`/app/${kind}`, { method: 'POST', body: '' });
    assert.equal(answer.status, 502, kind);
    await answer.text();
    await until(
      async () => (await (await get('/app/x')).text()) === 'alive',
      `an answer after ${kind}`,
      5_000,
    );
    held.destroy();
  }
  stop = true;
  await load;
  assert.ok(edge > 10, `${edge} requests beside`);
});

test('a stuck worker is named by the stack of its code', async (t) => {
  const lines: { level: string; fields: Record<string, unknown>; message: string }[] = [];
  const path = await folder(t, {
    'app.mjs': `function spinning() { for (;;); }\nexport default () => spinning();\n`,
  });
  const log = Object.fromEntries(
    ['trace', 'debug', 'info', 'warn', 'error', 'fatal'].map((level) => [
      level,
      (fields: Record<string, unknown>, message: string) => void lines.push({ level, fields, message }),
    ]),
  );
  const running = await createGateway(
    {
      workers: 1,
      apps: [{ name: 'site', module: join(path, 'app.mjs'), stuck_timeout: '200ms' }],
      listeners: [{ name: 'web', bind: '127.0.0.1:0' }],
      routes: [{ name: 'app', to: { app: 'site' } }],
    },
    { log: log as never },
  );
  t.after(() => running.close(0));
  const answer = await fetch(`http://${running.addresses()[0]?.address}/`, { method: 'POST' });
  assert.equal(answer.status, 502);
  const stuck = lines.find(({ message }) => message.startsWith('a worker is stuck'));
  assert.ok(stuck, JSON.stringify(lines));
  assert.match(String((stuck.fields.stack as string[])[0]), /^spinning \(.*app\.mjs:1:\d+\)$/);
});

test('a module that cannot be run is a fault of the config, with its place', async (t) => {
  const path = await folder(t, {
    'throws.ts': `const a = 1;\nthrow new Error('not today');\nexport default () => 'x';\n`,
    'syntax.ts': `export default () => {{;\n`,
    'nothing.ts': `export const a = 1;\n`,
  });
  const whole = (module: string) => ({
    workers: 1,
    apps: [{ name: 'site', module: join(path, module) }],
    listeners: [{ name: 'web', bind: '127.0.0.1:0' }],
    routes: [{ name: 'app', to: { app: 'site' } }],
  });
  const cases: [string, RegExp][] = [
    ['throws.ts', /throws\.ts:2:\d+: not today/],
    ['syntax.ts', /syntax\.ts: \d+:\d+ /],
    ['nothing.ts', /exports no app/],
    ['gone.ts', /Could not resolve|no such file/i],
  ];
  for (const [module, why] of cases) {
    await assert.rejects(createGateway(whole(module) as never, { log: false }), (error: unknown) => {
      assert.ok(error instanceof ConfigError, String(error));
      assert.equal(error.faults[0]?.path, 'apps[0].module');
      assert.match(error.faults[0]?.why ?? '', why);
      return true;
    });
  }
});

test('a reload brings a new module, lets the old one finish, and a bad one changes nothing', async (t) => {
  const slow = (word: string) => `
import { setTimeout as later } from 'node:timers/promises';
export default async (request) => { if (request.path.endsWith('slow')) await later(400); return '${word}'; };
`;
  const { gateway: running, get, write, config } = await stand(t, slow('one'), { workers: 2 });
  assert.equal(await (await get('/app/x')).text(), 'one');
  const old = get('/app/slow');
  await write(slow('two'));
  await running.reload(config);
  assert.equal(await (await get('/app/x')).text(), 'two');
  assert.equal(await (await old).text(), 'one', 'what was in flight is finished by the old module');
  await write('throw new Error("bad")');
  await assert.rejects(running.reload(config), /bad/);
  assert.equal(await (await get('/app/x')).text(), 'two');
  await write(slow('two'));
  await running.reload(config);
  assert.equal(await (await get('/app/x')).text(), 'two');
});

test('how workers do is in the metrics', async (t) => {
  const { gateway: running, get } = await stand(
    t,
    `export default (_, ctx) => String(ctx.counter('hits').add(2))`,
  );
  assert.equal(await (await get('/app/x')).text(), '2');
  await until(
    async () => /ironsluice_app_requests_total\{app="site",worker="0"\} 1\b/.test(await running.metrics()),
    'the worker says that it took a request',
  );
  const text = await running.metrics();
  assert.match(text, /ironsluice_app_counter\{app="site",name="hits"\} 2/);
  assert.match(text, /ironsluice_app_heap_bytes\{app="site",worker="0"\} [1-9]/);
});
