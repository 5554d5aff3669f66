/**
 * `ironsluice import nginx`: configs as users write them, in a real nginx and in the gateway side by side, in front of the same
 * origins. Each request has to get the same status, body and fields from both, and what the table says.
 *
 * The origins answer with what they were sent, so that equal bodies mean equal requests.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { dirname, join } from 'node:path';
import type { Duplex } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Config } from '../ts/index.js';
import { importNginx } from '../ts/nginx/import.js';
import { type Directive, parse } from '../ts/nginx/syntax.js';
import { CASES, type Case, type Wanted } from './import/cases.js';
import { type Asked, ask } from './import/client.js';
import { folder, ironsluice } from './kit/binary.js';
import { certificate } from './kit/certificate.js';
import { gateway, portOf } from './kit/gateway.js';
import { nginxWith } from './kit/nginx-config.js';
import { type OriginHandler, origin } from './kit/origin.js';

const CONFIGS = fileURLToPath(new URL('../../test/import/', import.meta.url));

test('each config of the folder is in the table', () => {
  const files = readdirSync(CONFIGS).filter((name) => name.endsWith('.conf'));
  assert.ok(files.length >= 10);
  assert.deepEqual(CASES.map(({ name }) => `${name}.conf`).sort(), files.sort());
});

for (const each of CASES) {
  test(`${each.name}: nginx and the gateway give the same answers`, async (t) => {
    if (!(await there())) return t.skip('nginx is missing: sh test/kit/parts.sh installs it');
    const { ca, left, peers } = await sides(t, each);
    assert.deepEqual(left, each.left ?? [], 'what was left out');
    for (const wanted of each.requests) {
      const answers = await Promise.all(
        peers.map((port) => ask(asked(wanted, port(wanted.port ?? each.port), ca))),
      );
      const [theirs, ours] = answers.map((answer) => told(answer, each, wanted));
      const what = `${wanted.method ?? 'GET'} ${wanted.host ?? ''}${wanted.path}`;
      assert.deepEqual(ours, theirs, what);
      assert.equal(theirs?.status, wanted.status, `${what} at nginx`);
      if (wanted.body !== undefined) assert.match(theirs?.body ?? '', wanted.body, what);
      if (wanted.location !== undefined) assert.equal(theirs?.fields.location, wanted.location, what);
    }
    for (const { port, requests } of each.shares ?? []) {
      const counts = [];
      for (const peer of peers) {
        const by: Record<string, number> = {};
        for (let i = 0; i < requests; i += 1) {
          const { body } = await ask({ port: peer(port), path: '/' });
          const name = JSON.parse(body).by as string;
          by[name] = (by[name] ?? 0) + 1;
        }
        counts.push(by);
      }
      assert.deepEqual(counts[1], counts[0], 'shares of the servers');
      assert.ok(Object.keys(counts[0] ?? {}).length > 1, 'more than one server was asked');
    }
  });
}

/** Both sides: for each a function from a port of the config to the real one. */
async function sides(t: TestContext, each: Case) {
  const { ca, cert, key } = await certificate(t);
  const dir = await folder(t, { 'site.pem': cert, 'site.key': key });
  for (const [name, inside] of Object.entries(SITE)) {
    await mkdir(join(dir, 'www', dirname(name)), { recursive: true });
    await writeFile(join(dir, 'www', name), inside);
  }
  const written = readFileSync(join(CONFIGS, `${each.name}.conf`), 'utf8');
  let text = written.replaceAll('/etc/ssl', dir).replaceAll('/srv/www', join(dir, 'www'));
  for (const address of new Set(text.match(/127\.0\.0\.1:3\d{3}/g))) {
    const up = await origin(t, echo(`origin ${address.slice(-4)}`), 0, mirror);
    text = text.replaceAll(address, up.address);
  }
  const file = join(dir, `${each.name}.conf`);
  await writeFile(file, text);
  const real = await nginxWith(t, text);
  const { config, faults, notes } = importNginx(file, 'schema.json');
  assert.deepEqual(faults, [], 'the config passes the check');
  const left = notes.filter(({ kind }) => kind === 'left_out').map(({ directive }) => directive);
  const bound = config.listeners.map((listener) => ({ ...listener, bind: '127.0.0.1:0' }));
  const whole: Config = { ...config, workers: 1, listeners: bound };
  delete whole.access_log; // its file is not of this machine
  const { gateway: running } = await gateway(t, whole);
  const peers = [
    (port: number) => real.ports.get(port) ?? 0,
    (port: number) => portOf(running, `web-${port}`),
  ];
  return { ca: readFileSync(ca), left, peers };
}

/** Answers with what came, in a form that both sides must give alike. */
function echo(by: string): OriginHandler {
  return ({ body, headers, method, url }, response) => {
    const fields = Object.fromEntries(SEEN.map((name) => [name, headers[name]]));
    response.setHeader('content-type', 'application/json');
    response.setHeader('x-powered-by', 'origin');
    response.statusCode = Number(headers['x-status'] ?? 200);
    response.end(`${JSON.stringify({ by, method, url, fields, length: body.length })}\n`);
  };
}

/** A WebSocket as far as a gateway is concerned: an answer, and then all that comes is sent back. */
function mirror(request: IncomingMessage, socket: Duplex): void {
  socket.on('error', () => {}); // a client that goes away
  const key = `${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`; // RFC 6455 section 4.2.2
  const accept = createHash('sha1').update(key).digest('base64');
  const fields = `Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept}`;
  socket.write(`HTTP/1.1 101 Switching Protocols\r\n${fields}\r\n\r\n`);
  socket.pipe(socket);
}

/** The files of a site, where a config serves some. */
const SITE = {
  'index.html': '<!doctype html><title>app</title>\n',
  'docs/index.html': '<!doctype html><title>docs</title>\n',
  'assets/app.js': 'console.log(1);\n',
  'assets/style.css': 'body { color: black }\n',
};

/** Fields of which the origin tells. */
const SEEN = ['host', 'x-env', 'x-team', 'x-secret', 'x-client', 'x-forwarded-proto'];

function asked(wanted: Wanted, port: number, ca: Buffer): Asked {
  const { headers, host, method, path, sends } = wanted;
  const found: Asked = { port, path, host: host ?? 'localhost' };
  if (method !== undefined) found.method = method;
  if (headers !== undefined) found.headers = headers;
  if (sends !== undefined) found.body = Buffer.alloc(sends, 'x');
  if (wanted.tls === true) found.ca = ca;
  return found;
}

/** What has to be equal. nginx says whole addresses, with its port, where the gateway says a path. */
function told(answer: Awaited<ReturnType<typeof ask>>, each: Case, wanted: Wanted) {
  const names = ['location', ...(each.fields ?? [])];
  const fields = Object.fromEntries(names.map((name) => [name, answer.headers[name]?.toString()]));
  if (fields.location !== undefined) {
    const base = `${wanted.tls === true ? 'https' : 'http'}://${wanted.host ?? 'localhost'}`;
    fields.location = new URL(fields.location, base).href.replace(`:${answer.port}/`, '/');
  }
  // Pages of errors and of redirects are each server's own.
  const isPage = answer.status >= 300 && !answer.body.startsWith('{"by"') && wanted.body === undefined;
  if (isPage) for (const name of ['content-type', 'content-length']) delete fields[name];
  let body = isPage ? '(page)' : answer.body;
  // A field that nobody but the gateway writes where nginx is not told to.
  if (each.plain === true) body = body.replace(/,?"x-forwarded-proto":"https?"/, '');
  // Whose turn it is, only the shares say.
  if (each.shares !== undefined) body = body.replace(/"by":"[^"]*"/, '');
  return { status: answer.status, fields, body };
}

async function there(): Promise<boolean> {
  return promisify(execFile)('sh', ['-c', 'PATH=$PATH:/usr/sbin command -v nginx']).then(
    () => true,
    () => false,
  );
}

test('the example of the guide is what is printed, and nothing of it is left out', async (t) => {
  const page = readFileSync(
    fileURLToPath(new URL('../../docs/guide/migrate-from-nginx.md', import.meta.url)),
    'utf8',
  );
  const block = (kind: string): string =>
    new RegExp(`^\`\`\`${kind}\n(.*?)^\`\`\`$`, 'ms').exec(page)?.[1] ?? '';
  const cwd = await folder(t, { 'site.conf': block('nginx') });
  const done = await ironsluice(t, ['import', 'nginx', 'site.conf'], { cwd });
  assert.equal(done.code, 0, done.stderr);
  assert.equal(done.stdout.replace(/^.*?\n#\n/s, ''), block('yaml'));
  assert.match(done.stderr, /with a difference .*429 in place of 503.*All of it was carried over\.\n$/s);
});

test('what is not carried over is named with its place, and access stays closed', async (t) => {
  const cwd = await folder(t, {
    'nginx.conf': `events {}
http {
  include conf.d/*.conf;
  include gone.conf;
  stream_thing on;
}
`,
  });
  await mkdir(join(cwd, 'conf.d'));
  await writeFile(
    join(cwd, 'conf.d/b.conf'),
    `server {
  listen 80;
  location ~ ^/a(?=b) { return 200 "a"; }
  location /secret/ { auth_basic "who?"; auth_basic_user_file users; proxy_pass http://127.0.0.1:1; }
  location /php/ { fastcgi_pass unix:/run/php.sock; }
  location /real/ { proxy_set_header X-Real-IP $remote_addr; proxy_pass http://127.0.0.1:1; }
  location /var/ { proxy_pass http://$backend; }
  location /if/ { if ($http_x_key != key) { return 403; } proxy_pass http://127.0.0.1:1; }
}
`,
  );
  const words = ['import', 'nginx', 'nginx.conf', '-o', 'out.yaml'];
  const done = await ironsluice(t, [...words, '--json'], { cwd });
  assert.equal(done.code, 1);
  const { notes } = JSON.parse(done.stdout) as { notes: { kind: string; at: string; directive: string }[] };
  const left = notes
    .filter(({ kind }) => kind === 'left_out')
    .map(({ at, directive }) => `${at} ${directive}`);
  assert.deepEqual(left.sort(), [
    'conf.d/b.conf:3 location ~ ^/a(?=b) {…}',
    'conf.d/b.conf:4 auth_basic who?',
    'conf.d/b.conf:4 auth_basic_user_file users',
    'conf.d/b.conf:5 fastcgi_pass unix:/run/php.sock',
    'conf.d/b.conf:6 proxy_set_header X-Real-IP $remote_addr',
    'conf.d/b.conf:7 proxy_pass http://$backend',
    'conf.d/b.conf:8 if ($http_x_key != key) {…}',
    'conf.d/b.conf:8 proxy_pass http://127.0.0.1:1',
    'nginx.conf:4 include gone.conf',
    'nginx.conf:5 stream_thing on',
  ]);
  const text = readFileSync(join(cwd, 'out.yaml'), 'utf8');
  assert.equal(text.match(/status: 501/g)?.length, 4, text);
  assert.equal((await ironsluice(t, words, { cwd })).code, 1);
  assert.match((await ironsluice(t, words, { cwd })).stderr, /is there already and was not touched/);
});

test('the syntax is read as nginx reads it, and faults are named by file and line', () => {
  const cases: [string, unknown][] = [
    ['a b c;', [['a', 'b', 'c']]],
    ['a "b c" \'d "e"\';', [['a', 'b c', 'd "e"']]],
    ['a b\\;c "\\"q\\"" \\d;', [['a', 'b\\;c', '"q"', '\\d']]],
    ['a x#y; # z {\nb;', [['a', 'x#y'], ['b']]],
    ['a ${b}c;', [['a', '${b}c']]],
    ['a { b; c { d e; } }', [['a', [['b'], ['c', [['d', 'e']]]]]]],
    ['x_by_lua_block { if a then b = {} end } c;', [['x_by_lua_block', ' if a then b = {} end '], ['c']]],
    ['a\n  b', 'f:2: a has no ; at its end (it begins in line 1)'],
    ['a {\nb;\n', 'f:3: the file ends inside of a block (write the missing })'],
    ['a;\n}', 'f:2: there is a } where a directive begins (remove it)'],
    ['a\n"b;\n\n', 'f:2: a " is not closed (it is opened in line 2)'],
    ['a "b"c;', 'f:1: there is "c" right behind a closing " (write a space)'],
    ['a {'.repeat(70), 'f:1: there are more than 64 blocks in each other'],
  ];
  const shape = (all: Directive[]): unknown[] =>
    all.map(({ args, block, name }) => [name, ...args, ...(block === undefined ? [] : [shape(block)])]);
  for (const [text, wanted] of cases) {
    if (typeof wanted === 'string') assert.throws(() => parse(text, 'f'), { message: wanted }, text);
    else assert.deepEqual(shape(parse(text, 'f')), wanted, text);
  }
});
