/**
 * plugin: a module of the user's decides, and whatever it does, each request has an answer in time and others go on.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import type { Filter, PluginFilter, Route } from '../../ts/generated/config.js';
import { type Config, ConfigError, createGateway, type Gateway } from '../../ts/index.js';
import { folder, ironsluice } from '../kit/binary.js';
import { code } from '../kit/filtered.js';
import { gateway, type TestGateway } from '../kit/gateway.js';
import { type Origin, origin } from '../kit/origin.js';
import { raw } from '../kit/raw.js';
import { until } from '../kit/until.js';

interface Stand extends TestGateway {
  readonly up: Origin;
  readonly lines: Line[];
  /** The module's path, as the config has it. */
  readonly module: string;
  /** Another text for the module. */
  write(module: string): Promise<void>;
  /** The config, for a reload. */
  readonly config: Config;
}

interface Line {
  level: string;
  fields: Record<string, unknown>;
  message: string;
}

/** A route with this plugin, and `/plain/*` without one, in front of an origin. */
async function stand(
  t: TestContext,
  module: string,
  more: Partial<PluginFilter> = {},
  { before = [], behind = [] }: { before?: Filter[]; behind?: Filter[] } = {},
): Promise<Stand> {
  const path = join(await folder(t, { 'plugin.ts': module }), 'plugin.ts');
  const up = await origin(t);
  // Long enough for a machine that is busy with other tests.
  const plugin: PluginFilter = { use: 'plugin', module: path, timeout: '5s', ...more };
  const routes: Route[] = [
    { name: 'asked', match: { path: '/*' }, filters: [...before, plugin, ...behind], to: 'up' },
    { name: 'plain', match: { path: '/plain/*' }, to: 'up' },
  ];
  const config: Config = {
    workers: 2,
    listeners: [{ name: 'web', bind: '127.0.0.1:0' }],
    upstreams: [{ name: 'up', endpoints: [up.address] }],
    routes,
  };
  const lines: Line[] = [];
  const running = await gateway(t, config, { log: logOf(lines) });
  return { ...running, up, lines, config, module: path, write: (text) => writeFile(path, text) };
}

function logOf(lines: Line[]): never {
  const levels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'].map((level) => [
    level,
    (fields: Record<string, unknown>, message: string) => void lines.push({ level, fields, message }),
  ]);
  return Object.fromEntries(levels) as never;
}

async function failures(running: Gateway, kind: string): Promise<number> {
  const found = new RegExp(`ironsluice_plugin_failures_total\\{kind="${kind}"\\} (\\d+)`).exec(
    await running.metrics(),
  );
  return Number(found?.[1] ?? 0);
}

test('a plugin is told of the head, the client, the route and, if it wants it, the body', async (t) => {
  const module = `
    import { definePlugin } from 'ironsluice';
    export default definePlugin(async (head, info) => ({ reply: { status: 200, body: {
      method: head.method, host: head.host, path: head.path, query: head.query, q: head.searchParams.get('q'),
      header: head.header('x-a'), fields: head.headers.get('x-a'), none: head.header('x-none') ?? null,
      client: info.client, route: info.route, body: info.body === undefined ? null : Buffer.from(info.body).toString(),
      left: info.deadline - performance.now() > 100, aborted: info.signal.aborted,
    } } }));`;
  for (const body of [undefined, '1KiB']) {
    const set = { use: 'headers', request: { set: { 'x-a': 'b' } } } as const;
    const edge = await stand(t, module, body === undefined ? {} : { body }, { before: [set] });
    const answer = await edge.get('/x%20y?q=1', { method: 'POST', body: 'grüße' });
    assert.equal(answer.headers.get('content-type'), 'application/json');
    assert.deepEqual(await answer.json(), {
      method: 'POST',
      host: edge.url.slice('http://'.length),
      path: '/x%20y',
      query: 'q=1',
      q: '1',
      header: 'b',
      fields: 'b',
      none: null,
      client: '127.0.0.1',
      route: 'asked',
      body: body === undefined ? null : 'grüße',
      left: true,
      aborted: false,
    });
    assert.equal(edge.up.hits, 0);
  }
});

test('its verdict changes the request, the response, or is the answer', async (t) => {
  const module = `
    const replies: Record<string, object | undefined> = {
      pass: undefined,
      empty: {},
      change: {
        request: { remove: ['x-gone'], set: { 'x-user': 'ann', 'x-bytes': '\\u00e9' }, add: { 'x-more': ['1', '2'] } },
        response: { set: { 'x-seen': 'yes' }, remove: ['date'] },
      },
      text: { reply: { status: 403, body: 'no' } },
      bytes: { reply: { status: 200, body: new Uint8Array([255, 0]), headers: { 'x-a': 'b' } } },
      typed: { reply: { status: 200, body: '<p>', headers: { 'Content-Type': 'text/html' } } },
      none: { reply: { status: 204 } },
    };
    export default (head: { path: string }) => replies[head.path.slice(1)];`;
  const seen = { use: 'headers', response: { set: { 'x-before': '1' } } } as const;
  const edge = await stand(t, module, {}, { before: [seen] });

  for (const path of ['pass', 'empty', 'change']) {
    const answer = await edge.get(`/${path}`, { headers: { 'x-gone': '1', 'x-user': 'eve', 'x-more': '0' } });
    assert.equal(await answer.text(), 'ok', path);
    const headers = edge.up.seen.at(-1)?.headers ?? {};
    const isChanged = path === 'change';
    assert.equal(headers['x-gone'], isChanged ? undefined : '1', path);
    assert.equal(headers['x-user'], isChanged ? 'ann' : 'eve', path);
    assert.equal(headers['x-more'], isChanged ? '0, 1, 2' : '0', path);
    assert.equal(headers['x-bytes'], isChanged ? '\u00e9' : undefined, path);
    assert.equal(answer.headers.get('x-seen'), isChanged ? 'yes' : null, path);
  }
  const cases: [path: string, status: number, type: string | null, body: number[]][] = [
    ['text', 403, 'text/plain; charset=utf-8', [...Buffer.from('no')]],
    ['bytes', 200, 'application/octet-stream', [255, 0]],
    ['typed', 200, 'text/html', [...Buffer.from('<p>')]],
    ['none', 204, null, []],
  ];
  for (const [path, status, type, body] of cases) {
    const answer = await edge.get(`/${path}`);
    assert.equal(answer.status, status, path);
    assert.equal(answer.headers.get('content-type'), type, path);
    assert.deepEqual([...new Uint8Array(await answer.arrayBuffer())], body, path);
    assert.equal(answer.headers.get('x-before'), '1', 'filters before it see the reply');
  }
  assert.equal(edge.up.hits, 3);
  assert.match(await edge.gateway.metrics(), /ironsluice_plugin_calls_total 7\b/);
  assert.deepEqual(edge.lines, []);
});

test('what it sets is what a filter behind it goes by', async (t) => {
  const limit: Filter = { use: 'rate_limit', rate: '1/h', burst: 1, key: 'header:x-tenant' };
  const module = `export default (head) => ({ request: { set: { 'x-tenant': head.path.slice(1, 2) } } });`;
  const edge = await stand(t, module, {}, { behind: [limit] });
  const statuses = [];
  for (const path of ['/a', '/b', '/a', '/b']) statuses.push((await edge.get(path)).status);
  assert.deepEqual(statuses, [200, 200, 429, 429]);
});

test('a body up to the bound reaches plugin and origin, a longer one neither, even if failures pass', async (t) => {
  const module = `export default (_, info) => ({ request: { set: { 'x-length': String(info.body.length) } } });`;
  const edge = await stand(t, module, { body: '64KiB', on_fail: 'open' });
  const most = 'x'.repeat(64 << 10);
  for (const body of ['', 'hello', most]) {
    assert.equal((await edge.get('/', { method: 'PUT', body })).status, 200);
    assert.equal(edge.up.seen.at(-1)?.headers['x-length'], String(body.length));
    assert.equal(edge.up.seen.at(-1)?.body, body);
  }
  const tooLong = await edge.get('/', { method: 'PUT', body: `${most}x` });
  assert.deepEqual([tooLong.status, await code(tooLong)], [413, 'plugin_body_too_large']);
  assert.equal(edge.up.hits, 3);
});

const FAILING = `
  export default async (head: { path: string }) => {
    switch (head.path) {
      case '/throws': throw new Error('the secret inside');
      case '/rejects': return Promise.reject('no error');
      case '/number': return 7;
      case '/key': return { reqest: {} };
      case '/field': return { request: { set: { host: 'evil' } } };
      case '/cycle': { const a: Record<string, unknown> = {}; a.a = a; return { request: a }; }
      case '/never': return new Promise(() => {});
    }
  };`;

test('no verdict is what on_fail says: 503 plugin_failed, or on without it; the log says why', async (t) => {
  const why: [path: string, RegExp][] = [
    ['throws', /a call failed: Error: the secret inside\n.*plugin\.ts:4:/s],
    ['rejects', /a call failed: no error/],
    ['number', /a verdict is an object/],
    ['key', /its verdict is none: unknown field `reqest`/],
    ['field', /its verdict is none: request\.set: Host is not changed/],
    ['cycle', /circular/i],
    ['never', /no verdict in time/],
  ];
  for (const onFail of ['closed', 'open'] as const) {
    const edge = await stand(t, FAILING, { on_fail: onFail, timeout: '300ms' });
    for (const [path, line] of why) {
      const answer = await edge.get(`/${path}`);
      if (onFail === 'open') {
        assert.deepEqual([answer.status, await answer.text()], [200, 'ok'], path);
      } else {
        assert.equal(answer.status, 503, path);
        const text = await answer.text();
        assert.equal(JSON.parse(text).code, 'plugin_failed', path);
        assert.ok(!text.includes('secret'), path);
      }
      const of = (): Line | undefined => edge.lines.find(({ message }) => line.test(message));
      await until(() => of() !== undefined, `the line of ${path}`);
      const about = { module: edge.module, route: 'asked', request: `GET /${path}` };
      assert.deepEqual(of()?.fields, about);
    }
    assert.equal(await failures(edge.gateway, 'timeout'), 1);
    assert.equal(await failures(edge.gateway, 'error'), why.length - 1);
    assert.equal((await edge.get('/good')).status, 200);
  }
});

test('verdicts and deadlines do not wait for a main thread that is busy', async (t) => {
  const module = `export default (head) => head.path === '/never' ? new Promise(() => {}) : { reply: { status: 200 } };`;
  const edge = await stand(t, module, { timeout: '300ms' });
  // A thread of its own asks, for this one is busy.
  const asking = new Worker(
    `const { parentPort, workerData } = require('node:worker_threads');
     const get = async (path) => {
       const began = performance.now();
       const { status } = await fetch(workerData + path);
       return [status, performance.now() - began];
     };
     parentPort.once('message', async () => parentPort.postMessage([await get('/x'), await get('/never')]));
     parentPort.postMessage('ready');`,
    { eval: true, workerData: edge.url },
  );
  t.after(() => asking.terminate());
  await once(asking, 'message');
  asking.postMessage('go');
  const began = performance.now();
  while (performance.now() - began < 2_000);
  type Got = [status: number, ms: number];
  const [[[good, goodMs], [late, lateMs]]] = (await once(asking, 'message')) as [[Got, Got]];
  assert.deepEqual([good, late], [200, 503]);
  assert.ok(goodMs + lateMs < 1_900, `${goodMs} and ${lateMs} ms`);
});

test('a plugin in an endless loop is ended, its stack is told, and others go on', async (t) => {
  const module = `
    function spinning() { for (;;); }
    export default (head) => { if (head.path === '/loop') spinning(); return { reply: { status: 200, body: 'alive' } }; };`;
  const edge = await stand(t, module, { timeout: '200ms' });
  const loops = Array.from({ length: 3 }, () => edge.get('/loop'));
  for (const answer of await Promise.all(loops)) assert.equal(answer.status, 503);
  assert.equal(await (await edge.get('/plain/x')).text(), 'ok');
  // Threads that are stuck are replaced, until one answers again.
  await until(async () => (await edge.get('/x')).status === 200, 'a verdict', 15_000);
  await until(() => edge.lines.some(({ message }) => message.includes('is stuck')), 'the line');
  const stuck = edge.lines.find(({ message }) => message.includes('is stuck'));
  assert.match(String(stuck?.fields.stack), /^spinning \(.*plugin\.ts:2:\d+\)/);
});

test('a thread that dies, in any way, takes its own calls along and nothing else', async (t) => {
  const module = `
    export default (head) => {
      if (head.path === '/exit') process.exit(3);
      if (head.path === '/throw') { setTimeout(() => { throw new Error('thrown'); }); return new Promise(() => {}); }
      if (head.path === '/memory') { const all = []; for (;;) all.push(new Array(100_000).fill(all.length)); }
      return { reply: { status: 200, body: 'alive' } };
    };`;
  const edge = await stand(t, module);
  for (const path of ['/exit', '/throw', '/memory', '/exit', '/throw']) {
    const answer = await edge.get(path);
    assert.deepEqual([answer.status, await code(answer)], [503, 'plugin_failed'], path);
    assert.equal(await (await edge.get('/plain/x')).text(), 'ok', path);
    await until(async () => (await edge.get('/x')).status === 200, `a verdict after ${path}`);
  }
});

test('the thread that takes the calls may die: they wait for the next one', async (t) => {
  const started = once(process, 'worker') as Promise<[Worker]>;
  const edge = await stand(t, `export default () => ({ reply: { status: 200, body: 'alive' } });`);
  assert.equal(await (await edge.get('/')).text(), 'alive');
  const [supervisor] = await started;
  await supervisor.terminate();
  assert.equal(await (await edge.get('/')).text(), 'alive');
});

test('calls beyond what may be on their way fail at once', async (t) => {
  const edge = await stand(t, `export default () => new Promise(() => {});`, { timeout: '1m' });
  const clients = await Promise.all(Array.from({ length: 1100 }, () => raw(t, edge.port)));
  await Promise.all(clients.map((client) => client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')));
  await until(async () => (await failures(edge.gateway, 'overflow')) === 1100 - 1024, '76 that overflow');
  const refused = (): number => clients.filter(({ received }) => received.startsWith('HTTP/1.1 503 ')).length;
  await until(() => refused() >= 76, '76 answers');
  assert.equal(refused(), 76);
  for (const client of clients) client.socket.destroy();
});

test('a module that cannot be run is a fault of the config, with its place, at the start and in a check', async (t) => {
  const path = await folder(t, {
    'throws.ts': `const a = 1;\nthrow new Error('not today');\nexport default () => a;\n`,
    'exits.ts': `process.exit(1);\nexport default () => {};\n`,
    'syntax.ts': `export default () => {{;\n`,
    'nothing.ts': `export const a = 1;\n`,
    'good.ts': `export default () => undefined;\n`,
  });
  const whole = (module: string): Config => ({
    listeners: [{ name: 'web', bind: '127.0.0.1:0' }],
    routes: [
      {
        name: 'a',
        match: { path: '/a' },
        filters: [{ use: 'plugin', module: join(path, 'good.ts') }, { use: 'respond' }],
      },
      {
        name: 'b',
        match: { path: '/b' },
        filters: [{ use: 'respond' }, { use: 'plugin', module: join(path, module) }],
      },
    ],
  });
  const cases: [module: string, why: RegExp, isSeenByCheck: boolean][] = [
    ['throws.ts', /throws\.ts:2:\d+: not today/, false],
    ['exits.ts', /its thread ended: .*code: 1/, false],
    ['syntax.ts', /syntax\.ts: \d+:\d+ /, true],
    ['nothing.ts', /exports no plugin/, false],
    ['gone.ts', /Could not resolve|no such file/i, true],
  ];
  for (const [module, why, isSeenByCheck] of cases) {
    await assert.rejects(createGateway(whole(module), { log: false }), (error: unknown) => {
      assert.ok(error instanceof ConfigError, String(error));
      assert.equal(error.faults[0]?.path, 'routes[1].filters[1].module', module);
      assert.match(error.faults[0]?.why ?? '', why);
      return true;
    });
    await writeFile(join(path, 'a.json'), JSON.stringify(whole(module)));
    const { code: exit, stderr } = await ironsluice(t, ['check', join(path, 'a.json')]);
    assert.equal(exit, isSeenByCheck ? 1 : 0, `${module}: ${stderr}`);
    if (isSeenByCheck) assert.match(stderr, /routes\[1\]\.filters\[1\]\.module/);
  }
});

test('a reload brings another module, requests in flight keep theirs, and a bad one changes nothing', async (t) => {
  const slow = (word: string): string => `
    import { setTimeout as later } from 'node:timers/promises';
    export default async (head) => {
      if (head.path === '/slow') await later(400);
      return { reply: { status: 200, body: '${word}' } };
    };`;
  const edge = await stand(t, slow('one'), { timeout: '10s' });
  assert.equal(await (await edge.get('/')).text(), 'one');
  const old = edge.get('/slow');
  await until(async () => /plugin_calls_total 2\b/.test(await edge.gateway.metrics()), 'the slow call');
  await edge.write(slow('two'));
  await edge.gateway.reload(edge.config);
  assert.equal(await (await edge.get('/')).text(), 'two');
  assert.equal(await (await old).text(), 'one');

  await edge.write('throw new Error("bad")');
  await assert.rejects(edge.gateway.reload(edge.config), /bad/);
  assert.equal(await (await edge.get('/')).text(), 'two');
  await edge.write(slow('three'));
  await edge.gateway.reload(edge.config);
  assert.equal(await (await edge.get('/')).text(), 'three');
});

test('a request that began under the config before calls the plugin of that config', async (t) => {
  const module = (word: string): string =>
    `export default () => ({ reply: { status: 200, body: '${word}' } });`;
  const edge = await stand(t, module('one'), { body: '1KiB' });
  const client = await raw(t, edge.port);
  await client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nha');
  // The shards take requests in order: once this one is answered, the other has begun.
  assert.equal(await (await edge.get('/')).text(), 'one');
  assert.equal(await (await edge.get('/')).text(), 'one');
  await edge.write(module('two'));
  await edge.gateway.reload(edge.config);
  assert.equal(await (await edge.get('/')).text(), 'two');
  await client.send('lf');
  assert.match(await client.waitFor(/one|two/), /one$/);
});

test('the first plugin may come with a reload, and the last may go', async (t) => {
  const edge = await stand(t, `export default () => ({ reply: { status: 200, body: 'asked' } });`);
  const without = { ...edge.config, routes: edge.config.routes?.slice(1) ?? [] };
  const other = await gateway(t, without);
  assert.equal((await other.get('/')).status, 404);
  await other.gateway.reload(edge.config);
  assert.equal(await (await other.get('/')).text(), 'asked');
  await other.gateway.reload(without);
  assert.equal((await other.get('/')).status, 404);
  await other.gateway.reload(edge.config);
  assert.equal(await (await other.get('/')).text(), 'asked');
});
