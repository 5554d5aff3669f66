/**
 * The gateway inside a program: start, reload, close, and what is thrown.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import {
  ConfigError,
  checkConfig,
  createGateway,
  defineConfig,
  type GateError,
  version,
} from '../ts/index.js';
import { createLog } from '../ts/log.js';
import { Resolver } from '../ts/resolve.js';
import { folder, MAIN } from './kit/binary.js';
import { gateway } from './kit/gateway.js';
import { origin } from './kit/origin.js';
import { raw } from './kit/raw.js';
import { until } from './kit/until.js';

const LISTENERS = [{ name: 'web', bind: '127.0.0.1:0' }];
const respond = (status: number) => [{ name: 'all', filters: [{ use: 'respond' as const, status }] }];

test('a request passes, both bodies whole', async (t) => {
  const up = await origin(t, (request, response) => {
    response.setHeader('x-method', request.method ?? '');
    response.end(request.body.toUpperCase());
  });
  const { get } = await gateway(t, {
    upstreams: [{ name: 'up', endpoints: [up.address] }],
    routes: [{ name: 'all', match: { path: '/*' }, to: 'up' }],
  });

  const answer = await get('/a?b=c', { method: 'POST', body: 'hello' });

  assert.equal(answer.status, 200);
  assert.equal(await answer.text(), 'HELLO');
  assert.equal(answer.headers.get('x-method'), 'POST');
  assert.deepEqual([up.hits, up.seen[0]?.url, up.seen[0]?.body], [1, '/a?b=c', 'hello']);
});

test('a reload publishes in one step, keeps connections, and a bad one changes nothing', async (t) => {
  const { gateway: running, port } = await gateway(t, { routes: respond(201) });
  const client = await raw(t, port);
  const ask = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';

  await client.send(ask);
  await client.waitFor(/^HTTP\/1\.1 201 /);
  assert.equal(await running.reload({ listeners: LISTENERS, routes: respond(202) }), 2);
  await client.send(ask);
  await client.waitFor(/HTTP\/1\.1 202 /);
  await assert.rejects(
    running.reload({ listeners: LISTENERS, routes: [{ name: 'x', to: 'nowhere' }] }),
    (error) => {
      assert.ok(error instanceof ConfigError);
      assert.deepEqual([error.code, error.faults[0]?.path], ['config_invalid', 'routes[0].to']);
      return true;
    },
  );
  await client.send(ask);
  await client.waitFor(/202 .*202 /s);

  assert.equal(client.closed, false);
  assert.equal(running.revision, 2);
});

test('a gateway made from a file reads it again', async (t) => {
  const config = (status: number): string =>
    JSON.stringify({ listeners: LISTENERS, routes: respond(status) });
  const path = join(await folder(t, { 'a.json': config(201) }), 'a.json');
  const running = await createGateway({ config: path }, { log: false });
  t.after(() => running.close(0));
  const url = `http://${running.addresses()[0]?.address}/`;
  assert.equal((await fetch(url)).status, 201);

  await writeFile(path, config(202));
  await running.reload();

  assert.equal((await fetch(url)).status, 202);
  assert.equal(running.source, path);
});

test('close lets a request in flight end, and ends idle connections', async (t) => {
  let finish = (): void => {};
  const up = await origin(t, (_request, response) => {
    finish = () => response.end('done');
  });
  const {
    gateway: running,
    get,
    port,
  } = await gateway(t, {
    upstreams: [{ name: 'up', endpoints: [up.address] }],
    routes: [{ name: 'all', to: 'up' }],
  });
  const idle = await raw(t, port);
  const answer = get('/slow');
  await up.reached(1);
  await until(() => finish.name !== '' || up.seen[0]?.url === '/slow', 'the handler');

  const closing = running.close(10_000);
  await idle.waitForClose();
  assert.equal(running.ready, false);
  finish();

  assert.equal(await (await answer).text(), 'done');
  await closing;
  await assert.rejects(running.reload({ listeners: LISTENERS }), { code: 'closed' });
});

test('close(0) does not wait, also when another close does', async (t) => {
  const up = await origin(t, () => {}); // never answers
  const { gateway: running, get } = await gateway(t, {
    upstreams: [{ name: 'up', endpoints: [up.address] }],
    routes: [{ name: 'all', to: 'up' }],
  });
  const answer = get('/never').then(
    () => 'answered',
    () => 'cut',
  );
  await up.reached(1);

  const slow = running.close(600_000);
  await running.close(0);
  await slow;

  assert.equal(await answer, 'cut');
});

test('what cannot start says so, and leaves nothing behind', async (t) => {
  const blocker = createServer().listen(0, '127.0.0.1');
  await once(blocker, 'listening');
  t.after(() => blocker.close());
  const { port } = blocker.address() as { port: number };

  await assert.rejects(
    createGateway({ listeners: [{ name: 'web', bind: `127.0.0.1:${port}` }] }),
    (error) => {
      assert.equal((error as GateError).code, 'bind_failed');
      assert.match((error as GateError).message, /listener "web" cannot listen on 127\.0\.0\.1/);
      return true;
    },
  );
  const admin = { bind: `127.0.0.1:${port}` };
  await assert.rejects(createGateway({ listeners: LISTENERS, admin }), { code: 'admin_bind_failed' });
  await assert.rejects(checkConfig({ listeners: [] }), { code: 'config_invalid' });
  await assert.rejects(createGateway({ config: '/nowhere/a.yaml' }), { code: 'config_not_found' });
  await checkConfig(defineConfig({ listeners: LISTENERS }));
  assert.match(version, /^\d+\.\d+\.\d+$/);
});

test('names of endpoints are looked up; what does not resolve stops nothing', async (t) => {
  const up = await origin(t);
  const port = up.address.split(':')[1];
  const { get } = await gateway(t, {
    upstreams: [
      { name: 'local', endpoints: [`localhost:${port}`] },
      { name: 'gone', endpoints: [`name.invalid:${port}`] },
    ],
    routes: [
      { name: 'local', match: { path: '/local' }, to: 'local' },
      { name: 'gone', match: { path: '/gone' }, to: 'gone' },
    ],
  });

  assert.equal((await get('/local')).status, 200);
  assert.equal((await get('/gone')).status, 503);
});

test('the resolver asks two at a time, each name once, and keeps going after failures', async (t) => {
  const told = new Map<string, string[]>();
  let hosts = ['a', 'b', 'bad', 'c', 'd'];
  let running = 0;
  let most = 0;
  const asked: string[] = [];
  const target = { hosts: () => hosts, resolved: (host: string, all: string[]) => void told.set(host, all) };
  const resolver = new Resolver(target, createLog({ level: 'silent' }), async (host) => {
    asked.push(host);
    running += 1;
    most = Math.max(most, running);
    await new Promise((resolve) => setImmediate(resolve));
    running -= 1;
    if (host === 'bad') throw Object.assign(new Error('no'), { code: 'ENOTFOUND' });
    return ['127.0.0.2', '127.0.0.1', '127.0.0.2'];
  });
  t.after(() => resolver.stop());

  await resolver.start();
  hosts = [...hosts, 'new'];
  await resolver.refresh('new');

  assert.deepEqual([...told.keys()].sort(), ['a', 'b', 'c', 'd', 'new']);
  assert.deepEqual(told.get('a'), ['127.0.0.1', '127.0.0.2']);
  assert.equal(most, 2);
  assert.deepEqual(asked.slice(5), ['new'], 'a name with an answer, good or bad, waits for its turn');
});

test('workers that use the module and are terminated do not harm the process', async (t) => {
  const { get } = await gateway(t, { routes: respond(204) });
  const code = `
    import { createGateway } from ${JSON.stringify(new URL('../ts/index.js', import.meta.url).href)};
    import { parentPort } from 'node:worker_threads';
    await createGateway({ listeners: [{ name: 'w', bind: '127.0.0.1:0' }] }, { log: false });
    parentPort.postMessage('up');`;
  for (let i = 0; i < 5; i += 1) {
    const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(code)}`));
    await once(worker, 'message');
    await worker.terminate();
  }
  assert.equal((await get('/')).status, 204);
  assert.ok(MAIN.endsWith('main.js'));
});
