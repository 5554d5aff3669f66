/**
 * The admin listener: what it answers, whom it refuses, and that it needs no main thread.
 */
import assert from 'node:assert/strict';
import { request } from 'node:http';
import { type TestContext, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { gateway, type TestGateway } from './kit/gateway.js';
import { origin } from './kit/origin.js';

interface Answer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: string;
}

/** `fetch` sets Host and Origin itself; this does not. */
function ask(url: string, method = 'GET', headers: Record<string, string> = {}, body = ''): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = request(url, { method, headers, agent: false }, (incoming) => {
      let text = '';
      incoming.setEncoding('utf8').on('data', (part: string) => {
        text += part;
      });
      incoming.on('end', () =>
        resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, body: text }),
      );
    });
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

async function withAdmin(t: TestContext, more: object = {}): Promise<TestGateway> {
  const up = await origin(t);
  return gateway(t, {
    admin: { bind: '127.0.0.1:0', allow_hosts: ['ops.example'] },
    upstreams: [{ name: 'up', endpoints: [up.address] }],
    routes: [
      {
        name: 'all',
        filters: [{ use: 'headers', request: { set: { authorization: 'Bearer s3cret' } } }],
        to: 'up',
      },
    ],
    ...more,
  } as never);
}

test('each route answers in its form', async (t) => {
  const { admin, get } = await withAdmin(t);
  assert.equal((await get('/x')).status, 200);

  const metrics = await ask(`${admin}/metrics`);
  assert.equal(metrics.status, 200);
  assert.match(String(metrics.headers['content-type']), /^text\/plain; version=0\.0\.4/);
  assert.match(metrics.body, /^ironsluice_requests_total\{[^}]*class="2xx"[^}]*\} 1$/m);
  assert.match(metrics.body, /^ironsluice_request_duration_seconds_bucket\{le="\+Inf",route="all"\} 1$/m);
  assert.match(metrics.body, /^process_resident_memory_bytes \d+$/m);

  assert.equal((await ask(`${admin}/healthz`)).body, '{"status":"ok"}\n');
  assert.equal((await ask(`${admin}/readyz`)).body, '{"status":"ready"}\n');

  const config = JSON.parse((await ask(`${admin}/config`)).body);
  assert.equal(config.revision, 1);
  assert.equal(config.config.routes[0].filters[0].request.set.authorization, '[redacted]');

  const upstreams = JSON.parse((await ask(`${admin}/upstreams`)).body);
  assert.equal(upstreams[0].name, 'up');

  const head = await ask(`${admin}/metrics`, 'HEAD');
  assert.deepEqual([head.status, head.body], [200, '']);
});

test('what is not there, not allowed or not ours is refused with a problem', async (t) => {
  const { admin } = await withAdmin(t);
  const json = { 'content-type': 'application/json' };
  const cases: [string, string, Record<string, string>, string, number, string][] = [
    ['GET', '/nothing', {}, '', 404, 'not_found'],
    ['GET', '/__proto__', {}, '', 404, 'not_found'],
    ['POST', '/metrics', {}, '', 405, 'method_not_allowed'],
    ['GET', '/reload', {}, '', 405, 'method_not_allowed'],
    ['GET', '/config', { host: 'evil.example' }, '', 421, 'wrong_host'],
    ['GET', '/config', { host: 'evil.example:80@127.0.0.1' }, '', 421, 'wrong_host'],
    ['GET', '/config', { host: '10.9.8.7' }, '', 421, 'wrong_host'],
    ['POST', '/reload', { origin: 'http://evil.example' }, '', 403, 'cross_site'],
    ['POST', '/reload', { origin: 'null' }, '', 403, 'cross_site'],
    ['POST', '/reload', { 'sec-fetch-site': 'cross-site' }, '', 403, 'cross_site'],
    ['POST', '/reload', { 'content-type': 'text/plain' }, '{}', 415, 'not_json'],
    ['POST', '/reload', json, '{', 422, 'config_invalid'],
    ['POST', '/reload', json, '{"listeners":[]}', 422, 'config_invalid'],
    ['POST', '/reload', json, `"${'x'.repeat(17 * 1024 * 1024)}"`, 413, 'too_large'],
    ['POST', '/reload', {}, '', 422, 'config_not_found'],
  ];
  for (const [method, path, headers, body, status, code] of cases) {
    const answer = await ask(`${admin}${path}`, method, headers, body);
    assert.equal(answer.status, status, `${method} ${path} ${JSON.stringify(headers)}: ${answer.body}`);
    assert.equal(answer.headers['content-type'], 'application/problem+json');
    assert.equal(JSON.parse(answer.body).code, code);
  }
  assert.equal((await ask(`${admin}/reload`)).headers.allow, 'POST');
  for (const host of ['localhost:1', '127.0.0.1', '[::1]:9901', 'OPS.example']) {
    assert.equal((await ask(`${admin}/healthz`, 'GET', { host })).status, 200, host);
  }
});

test('a reload with a body publishes it; a bad one names all faults and changes nothing', async (t) => {
  const { admin, get, gateway: running } = await withAdmin(t);
  const bind = admin.replace('http://', '');
  const send = (config: object): Promise<Answer> =>
    ask(`${admin}/reload`, 'POST', { 'content-type': 'application/json' }, JSON.stringify(config));
  const listeners = [{ name: 'web', bind: '127.0.0.1:0' }];

  const bad = JSON.parse((await send({ listeners, surprise: 1, workers: 0 })).body);
  assert.deepEqual(bad.faults.map((fault: { path: string }) => fault.path).sort(), ['surprise', 'workers']);
  assert.equal((await get('/x')).status, 200);

  const answer = { use: 'respond', status: 418 };
  const good = await send({
    listeners,
    admin: { bind: '127.0.0.1:0' },
    routes: [{ name: 'all', filters: [answer] }],
  });
  assert.equal(good.body, '{"revision":2}\n');
  assert.equal((await get('/x')).status, 418);
  assert.equal(running.revision, 2);
  assert.equal(JSON.parse((await ask(`http://${bind}/config`)).body).revision, 2);
});

test('the admin listener moves with its config, and goes with it', async (t) => {
  const { admin, gateway: running } = await withAdmin(t);
  const listeners = [{ name: 'web', bind: '127.0.0.1:0' }];

  await running.reload({ listeners, admin: { bind: '[::1]:0' } });
  assert.match(running.admin ?? '', /^\[::1\]:\d+$/);
  assert.equal((await ask(`http://${running.admin}/healthz`)).status, 200);

  const taken = new URL(admin).port;
  const blocker = await gateway(t, { admin: { bind: '127.0.0.1:0' } } as never);
  const before = running.revision;
  await assert.rejects(running.reload({ listeners, admin: { bind: blocker.admin.replace('http://', '') } }), {
    code: 'admin_bind_failed',
  });
  assert.equal(running.revision, before, `nothing was published (${taken})`);

  await running.reload({ listeners, admin: 'off' });
  assert.equal(running.admin, undefined);
});

test('traffic and admin answer while the main thread is blocked', async (t) => {
  const { admin, url } = await withAdmin(t, {
    routes: [{ name: 'all', filters: [{ use: 'respond', status: 204 }] }],
  });
  const shared = new Int32Array(new SharedArrayBuffer(8));
  const code = `
    const { workerData } = require('node:worker_threads');
    const { request } = require('node:http');
    const { shared, urls } = workerData;
    const ask = (url) => new Promise((resolve) => request(url, { agent: false }, (r) => { r.resume(); r.on('end', () => resolve(r.statusCode)); }).on('error', () => resolve(0)).end());
    (async () => {
      Atomics.wait(shared, 0, 0);
      let good = 0;
      for (let i = 0; i < 5; i += 1) for (const url of urls) { const status = await ask(url); if (status === 200 || status === 204) good += 1; }
      Atomics.store(shared, 1, good);
      Atomics.notify(shared, 1);
    })();`;
  const asker = new Worker(code, {
    eval: true,
    workerData: { shared, urls: [`${url}/x`, `${admin}/metrics`, `${admin}/readyz`] },
  });
  t.after(() => asker.terminate());

  await new Promise((resolve) => asker.once('online', resolve));
  Atomics.store(shared, 0, 1);
  Atomics.notify(shared, 0);
  // From here until the answers are in, this thread does nothing else.
  const woken = Atomics.wait(shared, 1, 0, 10_000);

  assert.notEqual(woken, 'timed-out');
  assert.equal(shared[1], 15);
});
