/**
 * grpc_web: clients of gRPC-Web, over HTTP/1.1 and HTTP/2, in clear text and inside of TLS, call a server that speaks gRPC only.
 *
 * What a client of the protocol makes of it is tested by the Connect conformance suite (`test/conformance.test.ts`).
 */
import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import * as http2 from 'node:http2';
import * as https from 'node:https';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import type { Filter } from '../../ts/generated/config.js';
import type { Config } from '../../ts/index.js';
import { folder } from '../kit/binary.js';
import { gateway, portOf } from '../kit/gateway.js';
import { raw } from '../kit/raw.js';

const BRIDGE: Filter = { use: 'grpc_web' };
const frame = (message: string): Buffer => {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, Buffer.from(message)]);
};
const trailers = (lines: string): Buffer => {
  const bytes = frame(lines);
  bytes[0] = 0x80;
  return bytes;
};
const DONE = trailers('grpc-status: 0\r\ngrpc-message: fine%21\r\nx-more: a\r\nx-more: b\r\n');
const ECHOED = Buffer.concat([frame('hello'), frame(''), DONE]);

test('a call there and back, by both versions and in the clear or not, binary and as text', async (t) => {
  const { ports, up } = await stand(t, [BRIDGE]);
  const body = Buffer.concat([frame('hello'), frame('')]);
  const ways = [
    ['HTTP/1.1', (fields: Fields, sent: Buffer) => fetched(`http://127.0.0.1:${ports.clear}`, fields, sent)],
    ['HTTP/1.1 and TLS', (fields: Fields, sent: Buffer) => secured(ports.tls, fields, sent)],
    [
      'HTTP/2',
      (fields: Fields, sent: Buffer) => multiplexed(`http://127.0.0.1:${ports.clear}`, fields, sent),
    ],
    [
      'HTTP/2 and TLS',
      (fields: Fields, sent: Buffer) => multiplexed(`https://localhost:${ports.tls}`, fields, sent),
    ],
  ] as const;
  for (const [way, ask] of ways) {
    for (const [sent, accept, type, answer] of [
      ['application/grpc-web+proto', undefined, 'application/grpc+proto', 'application/grpc-web+proto'],
      ['application/grpc-web', '*/*', 'application/grpc', 'application/grpc-web'],
      ['application/grpc-web-text', undefined, 'application/grpc', 'application/grpc-web-text'],
      [
        'application/grpc-web+proto',
        'application/grpc-web-text',
        'application/grpc+proto',
        'application/grpc-web-text+proto',
      ],
    ] as const) {
      const isText = sent.includes('-text');
      const fields = { 'content-type': sent, 'x-grpc-web': '1', ...(accept && { accept }) };
      const got = await ask(fields, isText ? Buffer.from(body.toString('base64')) : body);
      const what = `${way}, ${sent}`;
      assert.deepEqual([got.status, got.fields.get('content-type')], [200, answer], what);
      assert.equal(got.fields.get('content-length'), undefined, what);
      assert.equal(got.fields.get('x-head'), 'here', what);
      const bytes = answer.includes('-text') ? decoded(got.body) : got.body;
      assert.equal(bytes.toString('latin1'), ECHOED.toString('latin1'), what);
      assert.deepEqual(
        [up.seen.at(-1)?.['content-type'], up.seen.at(-1)?.te, up.seen.at(-1)?.['grpc-accept-encoding']],
        [type, 'trailers', undefined],
        what,
      );
    }
  }
});

test('a stream comes message by message, each text whole, and its trailers behind', async (t) => {
  const { ports, up } = await stand(t, [BRIDGE]);
  for (const isText of [false, true]) {
    const client = await raw(t, ports.clear);
    const type = `application/grpc-web${isText ? '-text' : ''}`;
    await client.send(
      `POST /stream HTTP/1.1\r\nHost: a\r\nContent-Type: ${type}\r\nContent-Length: 0\r\n\r\n`,
    );
    for (const message of ['one', 'four', 'fifth']) {
      await up.streaming();
      up.next.emit('message', message);
      const text = isText ? frame(message).toString('base64') : message;
      await client.waitFor(new RegExp(`${text.replace(/[+]/g, '\\$&')}\r\n$`));
    }
    up.next.emit('end');
    const end = isText ? trailers('grpc-status: 0\r\n').toString('base64') : 'grpc-status: 0\r\n';
    await client.waitFor(new RegExp(`${end.replace(/[+]/g, '\\$&')}\r\n0\r\n\r\n$`));
  }
});

test('an answer that is its own trailers stays one, and what is no gRPC passes', async (t) => {
  const { ports } = await stand(t, [BRIDGE]);
  const url = `http://127.0.0.1:${ports.clear}`;
  for (const type of ['application/grpc-web+proto', 'application/grpc-web-text']) {
    const alone = await fetched(`${url}/alone`, { 'content-type': type }, Buffer.alloc(0));
    assert.deepEqual(
      [alone.status, alone.fields.get('grpc-status'), alone.fields.get('grpc-message'), alone.body.length],
      [200, '5', 'not here', 0],
    );
    assert.match(alone.fields.get('content-type') ?? '', /^application\/grpc-web/);
    const page = await fetched(`${url}/page`, { 'content-type': type }, Buffer.alloc(0));
    assert.deepEqual([page.status, page.body.toString()], [418, '<p>']);
  }
  const plain = await fetched(`${url}/`, { 'content-type': 'text/plain' }, Buffer.from('as it is'));
  assert.equal(plain.body.toString(), 'as it is');
});

// The last two are 400 `bad_body` to metrics, and so to a client that speaks no gRPC.
test('refusals are a status in the head, wherever they are made', async (t) => {
  const filters: Filter[] = [BRIDGE, { use: 'respond', status: 403, body: 'no' }];
  const text = 'application/grpc-web-text';
  for (const [name, more, path, type, body, want] of [
    ['no route', [BRIDGE], '/../none', 'application/grpc-web+proto', '', '12'],
    ['a filter behind it', filters, '/', 'application/grpc-web+proto', '', '7'],
    ['a filter before it', [...filters].reverse(), '/', text, '', '7'],
    ['without it', filters.slice(1), '/', text, '', '7'],
    ['text that is none', [BRIDGE], '/', text, 'AAA?', '13'],
    ['text that breaks off', [BRIDGE], '/', text, 'AAAAA', '13'],
  ] as const) {
    const { ports } = await stand(t, [...more], name === 'no route' ? '/here' : '/*');
    const at = `http://127.0.0.1:${ports.clear}${path}`;
    const got = await fetched(at, { 'content-type': type }, Buffer.from(body));
    assert.deepEqual([got.status, got.fields.get('grpc-status'), got.body.length], [200, want, 0], name);
    assert.equal(got.fields.get('content-type'), type.replace('+proto', ''), name);
  }
});

test('a deadline of the call bounds the wait', async (t) => {
  const { ports } = await stand(t, [BRIDGE]);
  const fields = { 'content-type': 'application/grpc-web', 'grpc-timeout': '100m' };
  const got = await fetched(`http://127.0.0.1:${ports.clear}/silent`, fields, frame(''));
  assert.deepEqual([got.status, got.fields.get('grpc-status')], [200, '4']);
});

type Fields = Record<string, string>;

interface Got {
  status: number;
  fields: Map<string, string>;
  body: Buffer;
}

/** The bytes of texts one behind the other, each with its own padding. */
function decoded(text: Buffer): Buffer {
  const parts = text.toString('latin1').match(/[^=]+=*/g) ?? [];
  return Buffer.concat(parts.map((part) => Buffer.from(part, 'base64')));
}

async function fetched(url: string, headers: Fields, body: Buffer): Promise<Got> {
  const answer = await fetch(url, { method: 'POST', headers, body: new Uint8Array(body) });
  const bytes = Buffer.from(await answer.arrayBuffer());
  return { status: answer.status, fields: new Map(answer.headers), body: bytes };
}

async function secured(port: number, headers: Fields, sent: Buffer): Promise<Got> {
  const options = { method: 'POST', headers, rejectUnauthorized: false, agent: false } as const;
  const request = https.request(`https://localhost:${port}/`, { ...options, family: 4 });
  request.end(sent);
  const [answer] = (await once(request, 'response')) as [import('node:http').IncomingMessage];
  const fields = new Map(Object.entries(answer.headers).map(([name, value]) => [name, `${value}`]));
  return { status: answer.statusCode ?? 0, fields, body: await read(answer) };
}

async function multiplexed(url: string, headers: Fields, sent: Buffer): Promise<Got> {
  const session = http2.connect(url, {
    rejectUnauthorized: false,
    family: 4,
  } as http2.SecureClientSessionOptions);
  try {
    const stream = session.request({ ':method': 'POST', ':path': '/', ...headers });
    stream.on('trailers', () => assert.fail('trailers beside the body'));
    stream.end(sent);
    const [head] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders];
    const fields = new Map(Object.entries(head).map(([name, value]) => [name, `${value}`]));
    return { status: Number(head[':status']), fields, body: await read(stream) };
  } finally {
    session.destroy();
  }
}

async function read(from: AsyncIterable<Buffer>): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of from) parts.push(part);
  return Buffer.concat(parts);
}

interface Upstream {
  readonly address: string;
  readonly seen: http2.IncomingHttpHeaders[];
  /** What `/stream` is to say: `message` with a text, or `end`. */
  readonly next: EventEmitter;
  /** Resolves when there is a `/stream` that waits for it. */
  streaming(): Promise<void>;
}

/** A server of gRPC: it takes no other media type, nor a call that does not take trailers. */
async function upstream(t: TestContext): Promise<Upstream> {
  const seen: http2.IncomingHttpHeaders[] = [];
  const next = new EventEmitter();
  const waiting = new EventEmitter();
  const server = http2.createServer().on('stream', async (stream, headers) => {
    seen.push(headers);
    stream.on('error', () => {});
    const type = `${headers['content-type']}`;
    const head = { ':status': 200, 'content-type': type, 'x-head': 'here' };
    const end = (fields: http2.OutgoingHttpHeaders) =>
      stream.on('wantTrailers', () => stream.sendTrailers(fields));
    if (!/^application\/grpc(\+|$)/.test(type)) {
      stream.respond(head);
      stream.pipe(stream);
    } else if (headers.te !== 'trailers') stream.close(http2.constants.NGHTTP2_PROTOCOL_ERROR);
    else if (headers[':path'] === '/alone')
      stream.respond({ ...head, 'grpc-status': '5', 'grpc-message': 'not here' }, { endStream: true });
    else if (headers[':path'] === '/page') {
      stream.respond({ ':status': 418, 'content-type': 'text/html' });
      stream.end('<p>');
    } else if (headers[':path'] === '/stream') {
      stream.respond(head, { waitForTrailers: true });
      end({ 'grpc-status': '0' });
      const say = (message: string): void => {
        stream.write(frame(message));
        waiting.emit('waits');
      };
      next.on('message', say);
      next.once('end', () => {
        next.off('message', say);
        stream.end();
      });
      waiting.emit('waits');
    } else if (headers[':path'] !== '/silent') {
      stream.respond(head, { waitForTrailers: true });
      end({ 'grpc-status': '0', 'grpc-message': 'fine%21', 'x-more': ['a', 'b'] });
      stream.pipe(stream);
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const sessions = new Set<http2.ServerHttp2Session>();
  server.on('session', (session) => sessions.add(session));
  t.after(() => {
    for (const session of sessions) session.destroy();
    server.close();
  });
  const streaming = async (): Promise<void> => {
    if (next.listenerCount('message') === 0) await once(waiting, 'waits');
  };
  return { address: `127.0.0.1:${(server.address() as AddressInfo).port}`, seen, next, streaming };
}

/** A server of gRPC behind a gateway with two listeners. */
async function stand(
  t: TestContext,
  filters: Filter[],
  path = '/*',
): Promise<{ up: Upstream; ports: { clear: number; tls: number } }> {
  const up = await upstream(t);
  const config: Partial<Config> = {
    workers: 1,
    admin: 'off',
    state_dir: await folder(t),
    listeners: [
      { name: 'clear', bind: '127.0.0.1:0', http2: { cleartext: true } },
      { name: 'tls', bind: '127.0.0.1:0', tls: 'dev' },
    ],
    upstreams: [{ name: 'up', endpoints: [up.address], protocol: 'http2' }],
    routes: [{ name: 'calls', match: { path }, filters, to: 'up' }],
  };
  const { gateway: running } = await gateway(t, config);
  return { up, ports: { clear: portOf(running, 'clear'), tls: portOf(running, 'tls') } };
}
