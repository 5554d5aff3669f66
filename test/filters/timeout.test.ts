/**
 * timeout: a request with its response has so long: then it is 504, or cut once it has begun; and what is in time notices nothing.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { WebSocketServer } from 'ws';
import type { Filter } from '../../ts/generated/config.js';
import { curl } from '../kit/curl.js';
import { code, filtered } from '../kit/filtered.js';
import { gateway, portOf } from '../kit/gateway.js';
import { raw } from '../kit/raw.js';
import { site, webSocket } from '../kit/site.js';
import { until } from '../kit/until.js';

const within = (after: string): Filter => ({ use: 'timeout', after });
const never = (): void => {};

test('an upstream that does not answer is 504, and is let go; filters before see the refusal', async (t) => {
  const marks: Filter = { use: 'headers', response: { set: { 'x-mark': 'seen' } } };
  const edge = await filtered(t, [marks, within('100ms')], { handler: never });
  const answer = await edge.get('/');
  assert.equal(answer.headers.get('x-mark'), 'seen');
  assert.deepEqual([answer.status, await code(answer)], [504, 'timeout']);
  await until(() => edge.up.connections === 0, 'the end of the exchange at the origin');
  // The soonest counts, in whatever order.
  for (const filters of [
    [within('1h'), within('100ms')],
    [within('100ms'), within('1h')],
  ]) {
    await edge.gateway.reload(edge.config(filters));
    assert.equal((await edge.get('/')).status, 504);
  }
});

test('a response that has begun is cut, so that no part of it looks whole', async (t) => {
  const edge = await filtered(t, [within('300ms')], {
    handler: (_, response) => {
      response.writeHead(200);
      const drip = setInterval(() => response.write('.'), 20);
      response.on('close', () => clearInterval(drip));
    },
  });
  const answer = await edge.get('/');
  assert.equal(answer.status, 200);
  await assert.rejects(answer.text());
  await until(() => edge.up.connections === 0, 'the end of the exchange at the origin');
});

test('a body that does not come, and a turn that does not come', async (t) => {
  const queue: Filter = { use: 'concurrency', limit: 1, queue: 10, queue_timeout: '30s' };
  const edge = await filtered(t, [within('200ms'), queue], { handler: never });
  const client = await raw(t, edge.port);
  await client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345');
  await client.waitFor(/^HTTP\/1\.1 504 .*"code":"timeout"/s);

  const both = await Promise.all([edge.get('/'), edge.get('/')]);
  assert.deepEqual(
    both.map(({ status }) => status),
    [504, 504],
  );
});

test('each request of a connection has a time of its own', async (t) => {
  const edge = await filtered(t, [within('400ms')], {
    handler: (_, response) => {
      setTimeout(() => response.end('ok'), 150);
    },
  });
  const client = await raw(t, edge.port);
  for (let asked = 1; asked <= 5; asked += 1) {
    await client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await client.waitFor(new RegExp(`(HTTP/1\\.1 200 [^]*){${asked}}ok$`));
  }
  assert.equal(client.closed, false);
  assert.equal((await curl(`${edge.url}/`)).status, 200);
});

test('an app that does not answer, by both doors', async (t) => {
  const app = await site(t, 'export default () => new Promise(() => {});', {
    more: {
      listeners: [
        { name: 'web', bind: '127.0.0.1:0' },
        { name: 'app', bind: '127.0.0.1:0', door: 'app', app: 'site' },
      ],
      routes: [{ name: 'all', filters: [within('100ms')], to: { app: 'site' } }],
    },
  });
  for (const name of ['web', 'app']) {
    const answer = await curl(`http://127.0.0.1:${portOf(app.gateway, name)}/`);
    assert.deepEqual([answer.status, JSON.parse(answer.body).code], [504, 'timeout'], name);
  }
});

test('a WebSocket is bounded until it is open', async (t) => {
  const server = createServer(never).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const sockets = new WebSocketServer({ server });
  sockets.on('connection', (socket) => socket.on('message', (text) => socket.send(String(text))));
  t.after(() => {
    sockets.close();
    server.close();
    server.closeAllConnections();
  });
  const edge = await gateway(t, {
    upstreams: [{ name: 'up', endpoints: [`127.0.0.1:${(server.address() as AddressInfo).port}`] }],
    routes: [{ name: 'all', filters: [within('100ms')], to: 'up' }],
  });
  const { ws } = await webSocket(t, edge.port);
  // A request that began later has met its end.
  assert.equal((await edge.get('/')).status, 504);
  ws.send('still');
  const [text] = await once(ws, 'message');
  assert.equal(String(text), 'still');
});
