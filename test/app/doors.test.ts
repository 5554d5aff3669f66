/**
 * One table of cases through three doors: the edge, the app's own door, and `inject`. Answers are the same.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import * as http2 from 'node:http2';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import { createGateway, type Gateway, type InjectRequest } from '../../ts/index.js';
import { folder } from '../kit/binary.js';
import { certificate } from '../kit/certificate.js';
import { portOf } from '../kit/gateway.js';
import { origin } from '../kit/origin.js';
import { type Answer, type Case, wire } from '../kit/wire.js';

const MODULE = `
export default async (request, ctx) => {
  switch (request.path) {
    case '/told': return { client: ctx.client, consumer: ctx.consumer ?? null, route: ctx.route, path: request.path, query: request.query,
      method: request.method, seen: request.header('x-seen') ?? null, host: request.headers.get('x-forwarded-host') };
    case '/echo': return { status: 201, body: await request.bytes() };
    case '/length': { let n = 0; for await (const c of request.body) n += c.length; return String(n); }
    case '/stream': return { body: (async function* () { yield 'a'; await 0; yield 'b'; })() };
    case '/nothing': return undefined;
    case '/throws': throw new Error('the secret inside');
    case '/big': return 'x'.repeat(300_000);
    case '/cookies': return { headers: { 'set-cookie': ['a=1', 'b=2'] }, body: 'c' };
    case '/forward': return ctx.forward('multiplexed');
    case '/latin': return { headers: { 'x-l': 'c\\u00e9d' }, body: request.header('x-l') ?? '' };
    default: return \`app \${request.path}\`;
  }
};`;

const CASES: readonly Case[] = [
  { name: 'text', path: '/a', status: 200, answer: 'app /a', fields: { 'content-length': '6' } },
  { name: 'HEAD', method: 'HEAD', path: '/a', status: 200, answer: '', fields: { 'content-length': '6' } },
  { name: 'no body', path: '/nothing', status: 204, answer: '', fields: { 'content-length': null } },
  { name: 'a stream', path: '/stream', status: 200, answer: 'ab' },
  { name: 'a large answer', path: '/big', status: 200, answer: /^x{300000}$/ },
  { name: 'a handler that throws', path: '/throws', status: 500, answer: /"code":"internal"/ },
  {
    name: 'what the core knows',
    path: '/told?q=%20',
    headers: {
      'ironsluice-client': '6.6.6.6',
      'ironsluice-consumer': 'admin',
      'x-forwarded-for': '6.6.6.6',
      'x-seen': 'y',
    },
    status: 200,
    answer:
      '{"client":"127.0.0.1","consumer":null,"route":"app","path":"/told","query":"q=%20","method":"GET","seen":"y","host":"h.example"}',
  },
  { name: 'a body', method: 'POST', path: '/echo', body: 'hällo', status: 201, answer: 'hällo' },
  {
    name: 'a chunked body',
    method: 'PUT',
    path: '/length',
    headers: { 'transfer-encoding': 'chunked' },
    body: 'x'.repeat(100_000),
    status: 200,
    answer: '100000',
  },
  {
    name: 'a body nobody reads',
    method: 'POST',
    path: '/a',
    body: 'x'.repeat(30_000),
    status: 200,
    answer: 'app /a',
  },
  {
    name: 'a file',
    path: '/file/digits.txt',
    status: 200,
    answer: '0123456789',
    fields: { 'content-length': '10', 'x-set': '1' },
  },
  {
    name: 'a file, HEAD',
    method: 'HEAD',
    path: '/file/digits.txt',
    status: 200,
    answer: '',
    fields: { 'content-length': '10' },
  },
  {
    name: 'a part of a file',
    path: '/file/digits.txt',
    headers: { range: 'bytes=2-4' },
    status: 206,
    answer: '234',
    fields: { 'content-range': 'bytes 2-4/10' },
  },
  { name: 'a large file', path: '/file/large.txt', status: 200, answer: /^w{500000}$/ },
  { name: 'no file', path: '/file/none', status: 404, answer: /"static_not_found"/ },
  { name: 'a reply filter', path: '/filter/respond', status: 418, answer: 'tea' },
  {
    name: 'response headers, an app',
    path: '/filter/headers',
    status: 200,
    answer: 'app /filter/headers',
    fields: { 'x-set': '1' },
  },
  {
    name: 'response headers, a stream',
    path: '/filter/rewrite/stream',
    status: 200,
    answer: 'ab',
    fields: { 'x-set': '1' },
  },
  {
    name: 'a rewritten path',
    path: '/filter/rewrite/b',
    status: 200,
    answer: 'app /b',
    fields: { 'x-set': '1' },
  },
  {
    name: 'HEAD through filters',
    method: 'HEAD',
    path: '/filter/headers',
    status: 200,
    answer: '',
    fields: { 'content-length': '19', 'x-set': '1' },
  },
  {
    name: 'a body limit',
    method: 'POST',
    path: '/filter/limit',
    body: '12345678901',
    status: 413,
    answer: /body_too_large/,
  },
  {
    name: 'a body limit, chunked',
    method: 'POST',
    path: '/filter/limit/length',
    headers: { 'transfer-encoding': 'chunked' },
    body: '12345678901',
    status: 413,
    answer: /body_too_large/,
  },
  {
    name: 'no body to read',
    path: '/filter/rewrite/length',
    status: 200,
    answer: '0',
    fields: { 'x-set': '1' },
  },
  {
    name: 'an empty chunked body',
    method: 'POST',
    path: '/filter/rewrite/length',
    headers: { 'transfer-encoding': 'chunked' },
    body: '',
    status: 200,
    answer: '0',
  },
  {
    name: 'a body that passes filters',
    method: 'POST',
    path: '/filter/rewrite/echo',
    body: 'abc',
    status: 201,
    answer: 'abc',
  },
  {
    name: 'a body within its limit, chunked',
    method: 'POST',
    path: '/filter/limit/length',
    headers: { 'transfer-encoding': 'chunked' },
    body: '1234567890',
    status: 200,
    answer: '10',
  },
  {
    name: 'a body within its limit',
    method: 'POST',
    path: '/filter/limit',
    body: '1234567890',
    status: 200,
    answer: 'app /filter/limit',
  },
  { name: 'a rate limit', path: '/filter/rate', status: 429, answer: /rate_limited/ },
  { name: 'an upstream', path: '/up/x?y', status: 200, answer: 'up GET /up/x?y ', fields: { 'x-up': '1' } },
  {
    name: 'an upstream, HEAD',
    method: 'HEAD',
    path: '/up/x',
    status: 200,
    answer: '',
    fields: { 'x-up': '1' },
  },
  {
    name: 'an upstream, a body',
    method: 'POST',
    path: '/up/x',
    body: 'abc',
    status: 200,
    answer: 'up POST /up/x abc',
  },
  {
    name: 'an upstream, a large chunked body',
    method: 'POST',
    path: '/up/x',
    headers: { 'transfer-encoding': 'chunked' },
    body: 'z'.repeat(200_000),
    status: 200,
    answer: /^up POST \/up\/x z{200000}$/,
  },
  { name: 'an upstream, no body in the answer', path: '/up/204', status: 204, answer: '' },
  { name: 'an upstream, in parts', path: '/up/parts', status: 200, answer: 'onetwo' },
  { name: 'an upstream, large', path: '/up/large', status: 200, answer: /^y{400000}$/ },
  {
    name: 'an upstream that speaks HTTP/2',
    path: '/multiplexed/x?y',
    status: 201,
    answer: 'h2 GET /multiplexed/x?y ',
    fields: { 'x-up': '2' },
  },
  {
    name: 'an upstream that speaks HTTP/2, HEAD',
    method: 'HEAD',
    path: '/multiplexed/x',
    status: 201,
    answer: '',
    fields: { 'x-up': '2' },
  },
  {
    name: 'an upstream that speaks HTTP/2, a large chunked body',
    method: 'POST',
    path: '/multiplexed/x',
    headers: { 'transfer-encoding': 'chunked' },
    body: 'z'.repeat(200_000),
    status: 201,
    answer: /^h2 POST \/multiplexed\/x z{200000}$/,
  },
  { name: 'an upstream that is not there', path: '/gone/x', status: 503, answer: /"upstream_refused"/ },
  { name: 'an upstream that breaks off at once', path: '/up/reset', status: 502, answer: /"upstream_reset"/ },
  {
    name: 'a repeated field',
    path: '/cookies',
    status: 200,
    answer: 'c',
    fields: { 'set-cookie': 'a=1|b=2' },
  },
  {
    name: 'bytes above 127',
    path: '/latin',
    headers: { 'x-l': 'a\u00e9b' },
    status: 200,
    answer: 'aéb',
    fields: { 'x-l': 'c\u00e9d' },
  },
  {
    name: 'two lengths',
    path: '/a',
    headers: { 'content-length': '1', 'Content-Length': '2' },
    status: 400,
    answer: /./,
  },
  {
    name: 'an underscore twin',
    path: '/a',
    headers: { x_forwarded_for: '6.6.6.6' },
    status: 400,
    answer: /./,
  },
  { name: 'a path above the root', path: '/%2e%2e/a', status: 400, answer: /./ },
  { name: 'an escaped slash', path: '/a%2fb', status: 400, answer: /escaped_slash/ },
  { name: 'a long target', path: `/${'a'.repeat(9000)}`, status: 414, answer: /./ },
  { name: 'TRACE', method: 'TRACE', path: '/a', status: 405, answer: /method_refused/ },
  { name: 'an unknown method', method: 'BREW', path: '/a', status: 501, answer: /method_unknown/ },
  {
    name: 'a coding that is none',
    path: '/a',
    method: 'POST',
    headers: { 'transfer-encoding': 'xchunked' },
    status: 400,
    answer: /./,
  },
];

type Door = (one: Case) => Promise<Answer>;

async function stand(
  t: TestContext,
): Promise<{ gateway: Gateway; doors: Record<'edge' | 'app' | 'inject', Door> }> {
  const path = await folder(t, {
    'app.ts': MODULE,
    'digits.txt': '0123456789',
    'large.txt': 'w'.repeat(500_000),
  });
  const up = await origin(t, (seen, response) => {
    const { url: at = '', method, body } = seen;
    if (at === '/up/reset') response.destroy();
    else if (at === '/up/204') response.writeHead(204).end();
    else if (at === '/up/large') response.end('y'.repeat(400_000));
    else if (at === '/up/parts') {
      response.write('one');
      setImmediate(() => response.end('two'));
    } else response.writeHead(200, { 'x-up': '1' }).end(`up ${method} ${at} ${body}`);
  });
  const multiplexed = http2.createServer().on('stream', (stream, headers) => {
    stream.respond({ ':status': 201, 'x-up': '2' });
    if (headers[':method'] === 'HEAD') return;
    stream.write(`h2 ${headers[':method']} ${headers[':path']} `);
    stream.pipe(stream);
  });
  const sessions: http2.ServerHttp2Session[] = [];
  multiplexed.on('session', (session) => sessions.push(session));
  multiplexed.listen(0, '127.0.0.1');
  await once(multiplexed, 'listening');
  t.after(() => {
    for (const session of sessions) session.destroy();
    multiplexed.close();
  });
  const set = { use: 'headers', response: { set: { 'x-set': '1' } } };
  const to = { app: 'site' };
  const running = await createGateway(
    {
      workers: 1,
      apps: [{ name: 'site', module: join(path, 'app.ts') }],
      listeners: [
        { name: 'web', bind: '127.0.0.1:0' },
        { name: 'int', bind: '127.0.0.1:0', door: 'app', app: 'site' },
      ],
      upstreams: [
        { name: 'up', endpoints: [up.address] },
        { name: 'gone', endpoints: ['127.0.0.1:1'] },
        {
          name: 'multiplexed',
          endpoints: [`127.0.0.1:${(multiplexed.address() as AddressInfo).port}`],
          protocol: 'http2',
        },
      ],
      routes: [
        {
          name: 'respond',
          match: { path: '/filter/respond' },
          filters: [{ use: 'respond', status: 418, body: 'tea' }],
        },
        {
          name: 'files',
          match: { path: '/file/*' },
          filters: [set, { use: 'rewrite', strip_prefix: '/file' }, { use: 'static', root: path }],
        },
        { name: 'headers', match: { path: '/filter/headers' }, filters: [set], to },
        {
          name: 'rewrite',
          match: { path: '/filter/rewrite/{rest}' },
          filters: [set, { use: 'rewrite', path: '/{rest}' }],
          to,
        },
        {
          name: 'length',
          match: { path: '/filter/limit/length' },
          filters: [
            { use: 'body_limit', max: '10B' },
            { use: 'rewrite', path: '/length' },
          ],
          to,
        },
        { name: 'limit', match: { path: '/filter/limit' }, filters: [{ use: 'body_limit', max: '10B' }], to },
        {
          name: 'rate',
          match: { path: '/filter/rate' },
          filters: [{ use: 'rate_limit', rate: '1/h', burst: 1 }],
          to,
        },
        { name: 'up', match: { path: '/up/*' }, to: 'up' },
        { name: 'gone', match: { path: '/gone/*' }, to: 'gone' },
        { name: 'multiplexed', match: { path: '/multiplexed/*' }, to: 'multiplexed' },
        { name: 'app', to },
      ],
    } as never,
    { log: false },
  );
  t.after(() => running.close(0));
  // The rate limit's one request.
  await running.inject({ url: '/filter/rate', client: '127.0.0.1' });
  return {
    gateway: running,
    doors: {
      edge: (one) => wire(t, portOf(running, 'web'), one),
      app: (one) => wire(t, portOf(running, 'int'), one),
      inject: (one) => inject(running, one),
    },
  };
}

async function inject(gateway: Gateway, one: Case): Promise<Answer> {
  const { method, path, headers, body } = one;
  const request: InjectRequest = { url: `http://h.example${path}`, ...(headers && { headers }) };
  if (method !== undefined) request.method = method;
  if (body !== undefined) request.body = body;
  const answer = await gateway.inject(request);
  const field = (name: string): string | undefined =>
    name === 'set-cookie' ? answer.headers.getSetCookie().join('|') : (answer.headers.get(name) ?? undefined);
  return { status: answer.status, body: answer.text(), field };
}

test('one table through the edge, the door of the app, and inject', async (t) => {
  const { doors } = await stand(t);
  for (const [door, through] of Object.entries(doors)) {
    for (const one of CASES) {
      await t.test(`${door}: ${one.name}`, async () => {
        const answer = await through(one);
        assert.equal(answer.status, one.status, answer.body.slice(0, 300));
        if (one.status === 0) return;
        if (typeof one.answer === 'string') assert.equal(answer.body, one.answer);
        else if (one.answer !== undefined && one.method !== 'HEAD') assert.match(answer.body, one.answer);
        for (const [name, value] of Object.entries(one.fields ?? {})) {
          assert.equal(answer.field(name) ?? null, value, name);
        }
      });
    }
  }
});

test('the door of an app speaks TLS and HTTP/2', async (t) => {
  const { ca, state } = await certificate(t);
  const path = await folder(t, { 'app.ts': MODULE });
  const pems = join(state, 'ironsluice/dev');
  const running = await createGateway(
    {
      workers: 1,
      apps: [{ name: 'site', module: join(path, 'app.ts') }],
      listeners: [
        {
          name: 'int',
          bind: '127.0.0.1:0',
          door: 'app',
          app: 'site',
          tls: { certificates: [{ cert: join(pems, 'localhost.pem'), key: join(pems, 'localhost.key') }] },
        },
      ],
    } as never,
    { log: false },
  );
  t.after(() => running.close(0));
  const session = http2.connect(`https://localhost:${portOf(running, 'int')}`, { ca: await readFile(ca) });
  t.after(() => session.destroy());
  const ask = async (headers: http2.OutgoingHttpHeaders, body?: string): Promise<[number, string]> => {
    const stream = session.request(headers);
    stream.end(body);
    const [head] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders];
    return [Number(head[':status']), await text(stream)];
  };
  const answers = await Promise.all([
    ask({ ':path': '/a' }),
    ask({ ':path': '/echo', ':method': 'POST' }, 'a body'),
    ask({ ':path': '/big' }),
  ]);
  assert.deepEqual(answers, [
    [200, 'app /a'],
    [201, 'a body'],
    [200, 'x'.repeat(300_000)],
  ]);
  assert.equal(session.alpnProtocol, 'h2');
});

test('a handler sends a request on to an upstream that speaks HTTP/2', async (t) => {
  const { doors } = await stand(t);
  for (const body of ['', 'abc', 'z'.repeat(200_000)]) {
    const answer = await doors.app({ name: 'forward', method: 'POST', path: '/forward', body, status: 201 });
    assert.deepEqual(
      [answer.status, answer.field('x-up'), answer.body],
      [201, '2', `h2 POST /forward ${body}`],
    );
  }
});
