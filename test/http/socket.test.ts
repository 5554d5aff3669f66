/**
 * WebSockets of the app server: the same cases for both engines.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { HABITS } from '../../ts/http/differences.js';
import type { Engine } from '../../ts/http/load.js';
import type { Sent, Socket, SocketOptions } from '../../ts/http/server-types.js';
import { app, ask, ENGINES, type TestApp } from '../kit/app.js';
import { raw } from '../kit/raw.js';
import { type Client, webSocket as connect } from '../kit/site.js';
import { until } from '../kit/until.js';

type Echo = Socket<{ user: string }>;

async function serve(
  t: TestContext,
  engine: Engine,
  more: Partial<SocketOptions<{ user: string }>>,
): Promise<TestApp> {
  return app(t, engine, (x) => x.respond(200, [], 'plain'), {
    websocket: {
      upgrade: (x) => ({
        accept: { user: x.query ?? '' },
        ...(x.header('sec-websocket-protocol') === undefined ? {} : { protocol: 'b' }),
      }),
      ...more,
    },
  });
}

const CASES: Record<string, (t: TestContext, engine: Engine) => Promise<void>> = {
  async 'text and bytes come back, with what the upgrade decided'(t, engine) {
    const ends: string[] = [];
    const { port, server } = await serve(t, engine, {
      open: (socket) => socket.send(`${socket.context.user} ${socket.remoteAddress}`),
      message: (socket, data, binary) => {
        const copy = Buffer.from(data);
        socket.send(binary ? copy : copy.toString('utf8'));
      },
      close: (socket, code, reason) => {
        assert.equal(socket.send('late'), 'dropped');
        socket.subscribe('late');
        ends.push(`${code} ${reason}`);
      },
    });
    const { ws, got } = await connect(t, port, '/?me', ['a', 'b']);
    assert.equal(ws.protocol, 'b');
    ws.send('h\u00e9');
    ws.send(Buffer.from('abc'));
    ws.send('');
    await until(() => got.length === 4, 'four messages');
    assert.deepEqual(got, ['t:me 127.0.0.1', 't:h\u00e9', 'b:abc', 't:']);
    assert.equal(server.connections, 1);
    ws.close(4001, 'bye');
    await until(() => ends.length === 1 && server.connections === 0, 'the close');
    assert.deepEqual(ends, ['4001 bye']);
    assert.equal((await ask({ port })).body.toString(), 'plain');
  },

  async 'topics reach their subscribers and no one else'(t, engine) {
    const { port, server } = await serve(t, engine, {
      message: (socket: Echo, data) => {
        const [verb = '', topic = '', text = ''] = Buffer.from(data).toString().split(' ');
        if (verb === 'sub') socket.subscribe(topic);
        if (verb === 'unsub') socket.unsubscribe(topic);
        if (verb === 'pub') socket.publish(topic, text);
        socket.send('done');
      },
    });
    const [a, b, c] = [await connect(t, port), await connect(t, port), await connect(t, port)];
    const say = async (client: Client, text: string): Promise<void> => {
      const before = client.got.length;
      client.ws.send(text);
      await until(() => client.got.slice(before).includes('t:done'), text);
      client.got.splice(client.got.indexOf('t:done'), 1);
    };
    await say(a, 'sub x');
    await say(b, 'sub x');
    await say(c, 'sub y');
    await say(a, 'pub x one');
    server.publish('x', Buffer.from('two'));
    await until(() => b.got.length === 2 && a.got.length === 1, 'what was published');
    assert.deepEqual([a.got, b.got, c.got], [['b:two'], ['t:one', 'b:two'], []]);
    await say(b, 'unsub x');
    b.got.length = 0;
    server.publish('x', 'three');
    await until(() => a.got.length === 2, 'the third');
    assert.deepEqual(b.got, []);
  },

  async 'a message over the bound closes; one at the bound does not'(t, engine) {
    const codes: number[] = [];
    const { port } = await serve(t, engine, {
      maxPayload: 1000,
      message: (socket, data) => socket.send(String(data.length)),
      close: (_, code) => codes.push(code),
    });
    const { ws, got, closed } = await connect(t, port);
    ws.send(Buffer.alloc(1000));
    await until(() => got.length === 1, 'the answer');
    ws.send(Buffer.alloc(1001));
    assert.equal(await closed, Number(HABITS.largeMessage[engine].replace('close ', '')));
  },

  async 'a large message may come in many small fragments'(t, engine) {
    const lengths: number[] = [];
    const { port } = await serve(t, engine, {
      maxPayload: 4 << 20,
      message: (_, data) => lengths.push(data.length),
    });
    const { ws } = await connect(t, port);
    for (let n = 1; n <= 20_000; n += 1) ws.send(Buffer.alloc(64), { fin: n === 20_000 });
    await until(() => lengths.length > 0 || ws.readyState !== ws.OPEN, 'the message');
    assert.deepEqual(lengths, [20_000 * 64]);
  },

  async 'a client that asks for a small compression window gets no larger one'(t, engine) {
    const { port } = await serve(t, engine, { compression: 'shared' });
    const { ws } = await connect(t, port, '/', [], { perMessageDeflate: { serverMaxWindowBits: 9 } });
    assert.equal(ws.extensions, engine === 'uws' ? '' : 'permessage-deflate');
  },

  async 'a code that a client closes with is heard'(t, engine) {
    const codes: number[] = [];
    const { port } = await serve(t, engine, { close: (_, code) => codes.push(code) });
    for (const code of [1000, 3000, 3999, 4000, 4999]) {
      const { ws, closed } = await connect(t, port);
      ws.close(code);
      await closed;
      await until(() => codes.length > 0, `the close with ${code}`);
      const habit = code >= 3000 && code < 4000 ? HABITS.registeredClose[engine] : 'the same';
      assert.deepEqual(codes.splice(0), [habit === 'the same' ? code : Number(habit)], `${code}`);
    }
  },

  async 'what waits for a slow reader is bounded, and it is told when nothing waits'(t, engine) {
    const sent: Record<Sent, number> = { sent: 0, queued: 0, dropped: 0 };
    let drained = 0;
    let highest = 0;
    const { port } = await serve(t, engine, {
      maxBackpressure: 256 << 10,
      message: (socket) => {
        for (let i = 0; i < 400; i += 1) sent[socket.send(Buffer.alloc(64 << 10))] += 1;
        highest = socket.buffered;
      },
      drain: (socket) => {
        assert.equal(socket.buffered, 0);
        drained += 1;
      },
    });
    const { ws, got } = await connect(t, port);
    ws.pause();
    ws.send('go');
    await until(() => sent.dropped > 0, 'messages that are dropped');
    assert.ok(sent.queued > 0 && highest <= (256 + 2 * 65) << 10, `${JSON.stringify(sent)} ${highest}`);
    ws.resume();
    await until(() => got.length === sent.sent + sent.queued && drained > 0, 'all that was taken');
  },

  async 'compression is agreed on where both want it, and marks what is compressed'(t, engine) {
    const text = 'z'.repeat(2_000);
    const { port } = await serve(t, engine, {
      compression: 'shared',
      open: (socket) => {
        socket.send('short');
        socket.send(text);
      },
    });
    const { ws, got } = await connect(t, port, '/', [], { perMessageDeflate: true });
    await until(() => got.length === 2, 'both messages');
    assert.deepEqual([ws.extensions, got], ['permessage-deflate', ['t:short', `t:${text}`]]);
    const plain = await connect(t, port, '/', [], { perMessageDeflate: false });
    await until(() => plain.got.length === 2, 'both messages, not compressed');
    assert.equal(plain.ws.extensions, '');
    const client = await raw(t, port);
    await client.send(
      'GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n' +
        'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n',
    );
    const first = (await client.waitFor(/\r\n\r\n[\s\S]/)).split('\r\n\r\n')[1]?.charCodeAt(0);
    // RFC 7692 section 6: RSV1 of the first frame.
    assert.equal(first, HABITS.smallMessage[engine] === 'is compressed' ? 0xc1 : 0x81);
  },

  async 'an upgrade is refused, late, or not one; and a handler that throws is told of'(t, engine) {
    const { port, errors } = await serve(t, engine, {
      upgrade: async (x) => {
        await new Promise((resolve) => setImmediate(resolve));
        if (x.path === '/throw') throw new Error('boo');
        return x.path === '/no'
          ? { reply: { status: 403, headers: ['x', 'y'], body: 'no' } }
          : { accept: { user: '' } };
      },
      open: () => {
        throw new Error('boo');
      },
    });
    const headers = {
      connection: 'keep-alive, Upgrade',
      upgrade: 'WebSocket',
      'sec-websocket-version': '13',
      'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
    };
    const refused = await ask({ port, path: '/no', headers });
    assert.deepEqual([refused.status, refused.headers.x, refused.body.toString()], [403, 'y', 'no']);
    assert.equal(refused.headers.connection ?? 'keep-alive', HABITS.refusedUpgrade[engine]);
    assert.equal((await ask({ port, path: '/throw', headers })).status, 500);
    const old = await ask({ port, headers: { ...headers, 'sec-websocket-version': '8' } });
    assert.deepEqual([old.status, old.headers['sec-websocket-version']], [426, '13']);
    assert.equal((await ask({ port, headers: { ...headers, upgrade: 'h2c' } })).body.toString(), 'plain');
    await connect(t, port);
    assert.equal(errors.length, 2);
  },

  async 'a close that is said here is told at once, and once'(t, engine) {
    const ends: string[] = [];
    const { port } = await serve(t, engine, {
      message: (socket) => {
        socket.close(4002, 'enough');
        ends.push('said');
        assert.equal(socket.send('late'), 'dropped');
      },
      close: (_, code, reason) => ends.push(`${code} ${reason}`),
    });
    const { ws, closed } = await connect(t, port);
    ws.send('go');
    assert.equal(await closed, 4002);
    assert.deepEqual(ends, ['4002 enough', 'said']);
  },

  async 'a close that keeps sockets waits for them, and then says goodbye'(t, engine) {
    const { port, server, errors } = await serve(t, engine, { message: (socket) => socket.send('still') });
    const [a, b] = [await connect(t, port), await connect(t, port)];
    const ended = server.close(20_000, true);
    a.ws.send('x');
    await until(() => a.got.length === 1, 'an answer after the close began');
    a.ws.close();
    server.goodbye();
    assert.equal(await b.closed, 1001);
    await ended;
    assert.deepEqual(errors, []);
  },

  async 'after a goodbye there is no upgrade, and requests go on'(t, engine) {
    const { port, server } = await serve(t, engine, {});
    const { closed } = await connect(t, port);
    server.goodbye();
    assert.equal(await closed, 1001);
    await assert.rejects(connect(t, port), /503/);
    assert.equal((await ask({ port })).body.toString(), 'plain');
  },

  async 'a close says goodbye'(t, engine) {
    const { port, server } = await serve(t, engine, {});
    const { closed } = await connect(t, port);
    await server.close(5_000);
    assert.equal(await closed, 1001);
    await assert.rejects(raw(t, port), { code: 'ECONNREFUSED' });
  },
};

for (const engine of ENGINES) {
  for (const [name, run] of Object.entries(CASES)) test(`${engine}: ${name}`, (t) => run(t, engine));
}
