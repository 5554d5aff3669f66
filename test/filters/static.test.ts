/**
 * static: files of a folder, beside nginx for the same files, and as curl and a browser ask for them; and that nothing else is read.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, readFile, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { isDeepStrictEqual, promisify } from 'node:util';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import type { StaticFilter } from '../../ts/generated/config.js';
import { folder } from '../kit/binary.js';
import { browser } from '../kit/browser.js';
import { code } from '../kit/filtered.js';
import { gateway, type TestGateway } from '../kit/gateway.js';
import { nginx } from '../kit/nginx.js';
import { raw } from '../kit/raw.js';

const run = promisify(execFile);
/** When the files were last changed. */
const THEN = new Date('2024-05-06T07:08:09Z');
const STAMP = THEN.toUTCString();
const LATER = 'Tue, 07 May 2024 00:00:00 GMT';
const EARLIER = 'Mon, 06 May 2024 07:08:08 GMT';
const DIGITS = '0123456789';
const TAG = tag(DIGITS.length);
const PAGE = '<!doctype html><title>page</title>';
const SCRIPT = 'document.title = "told by a script";\n'.repeat(50);
/** More than one piece of a read. */
const LARGE = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * 7919) >> 3));

/** The tag of a file of so many bytes, as nginx makes it. */
function tag(size: number): string {
  return `"${(THEN.getTime() / 1000).toString(16)}-${size.toString(16)}"`;
}

/** A folder with a site in it, `site`, and a secret beside it. */
async function site(t: TestContext): Promise<string> {
  const dir = await folder(t, { 'secret.txt': 'the secret' });
  const files: Record<string, string | Buffer> = {
    'index.html': PAGE,
    'digits.txt': DIGITS,
    'empty.css': '',
    'large.png': LARGE,
    'script.js': SCRIPT,
    'script.js.gz': gzipSync(SCRIPT),
    'script.js.br': brotliCompressSync(SCRIPT),
    'no-kind.unheard': 'x',
    'a b/ü.txt': 'umlaut',
    'docs/index.html': 'docs',
    'empty/keep.txt': '',
    '.env': 'the secret',
    '.git/config': 'the secret',
    '.well-known/security.txt': 'Contact: mailto:a@example.com',
  };
  for (const [name, text] of Object.entries(files)) {
    const path = join(dir, 'site', name);
    await mkdir(join(path, '..'), { recursive: true });
    await writeFile(path, text);
    await utimes(path, THEN, THEN);
  }
  return dir;
}

function serve(t: TestContext, dir: string, more: Partial<StaticFilter> = {}): Promise<TestGateway> {
  const filters = [{ use: 'static' as const, root: join(dir, 'site'), ...more }];
  return gateway(t, { workers: 1, routes: [{ name: 'all', filters }] });
}

interface Got {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: Buffer;
}

/** Asks a port of loopback, or a Unix socket. */
function ask(
  where: number | string,
  path: string,
  headers: Record<string, string> = {},
  method = 'GET',
): Promise<Got> {
  const to = typeof where === 'string' ? { socketPath: where } : { host: '127.0.0.1', port: where };
  return new Promise((resolve, reject) => {
    const asked = request({ ...to, path, method, headers: { host: 'a', ...headers }, agent: false });
    asked.once('error', reject).once('response', (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part)).once('error', reject);
      response.once('end', () => {
        const { statusCode: status = 0, headers: fields } = response;
        resolve({ status, headers: fields, body: Buffer.concat(parts) });
      });
    });
    asked.end();
  });
}

/** What must be the same of two answers. Errors have bodies of their own, and a boundary is made up. */
function look({ status, headers, body }: Got, path: string): Record<string, unknown> {
  const text = (name: string) => String(headers[name] ?? '');
  const kind = text('content-type');
  const boundary = /boundary=(.*)$/.exec(kind)?.[1] ?? 'no boundary';
  const isWhole = status < 300;
  const told = isWhole || status === 304 ? ['etag', 'last-modified'] : ['location'];
  if (isWhole) told.push('content-length', 'content-encoding', 'content-range', 'accept-ranges');
  // Ours is relative, because a path may have been rewritten on the way.
  const value = (name: string) =>
    name === 'location' && text(name) !== '' ? new URL(text(name), `http://a${path}`).href : text(name);
  const typed = (all: string) => all.replaceAll(boundary, 'BOUNDARY');
  return {
    status,
    ...Object.fromEntries(told.map((name) => [name, value(name)])),
    ...(isWhole && { kind: typed(kind), body: typed(body.toString('latin1')) }),
  };
}

test('answers are those of nginx for the same files', async (t) => {
  const dir = await site(t);
  const kinds = 'text/html html; text/plain txt; text/css css; text/javascript js; image/png png;';
  await nginx(
    t,
    dir,
    `listen unix:${dir}/s; root ${dir}/site; index index.html; absolute_redirect off; if_modified_since before;
     location /script.js { gzip_static on; }`,
    `types { ${kinds} } default_type application/octet-stream;`,
  );
  // The length of parts depends on what they are said to be.
  const types = { html: 'text/html', txt: 'text/plain', css: 'text/css', js: 'text/javascript' };
  const { port } = await serve(t, dir, { types });
  const range = (value: string, more = {}) => ({ range: `bytes=${value}`, ...more });
  const file = '/digits.txt';
  const cases: [path: string, headers?: Record<string, string>, method?: string][] = [
    ['/'],
    [file],
    [file, {}, 'HEAD'],
    [`${file}?q=1`],
    ['/large.png'],
    ['/large.png', {}, 'HEAD'],
    ['/empty.css'],
    ['/empty.css', {}, 'HEAD'],
    ['/no-kind.unheard'],
    ['/script.js'],
    ['/a%20b/%C3%BC.txt'],
    ['/docs/'],
    ['//docs///index.html'],
    ['/docs/../digits.txt'],
    ['/docs'],
    ['/docs?a=b'],
    ['/docs', {}, 'HEAD'],
    ['/none'],
    ['/none/'],
    ['/digits.txt/'],
    ['/digits.txt/x'],
    [`/${'n'.repeat(300)}`],
    [file, {}, 'POST'],
    [file, {}, 'DELETE'],
    [file, { 'if-none-match': TAG }],
    [file, { 'if-none-match': TAG }, 'HEAD'],
    [file, { 'if-none-match': `W/${TAG}` }],
    [file, { 'if-none-match': `"x", ${TAG}` }],
    [file, { 'if-none-match': '*' }],
    [file, { 'if-none-match': '"x"' }],
    [file, { 'if-modified-since': STAMP }],
    [file, { 'if-modified-since': LATER }],
    [file, { 'if-modified-since': EARLIER }],
    [file, { 'if-modified-since': 'Monday, 06-May-24 07:08:09 GMT' }],
    [file, { 'if-modified-since': 'Mon May  6 07:08:09 2024' }],
    [file, { 'if-modified-since': 'never' }],
    [file, { 'if-none-match': '"x"', 'if-modified-since': STAMP }],
    [file, { 'if-match': TAG }],
    [file, { 'if-match': '*' }],
    [file, { 'if-match': '"x"' }],
    [file, { 'if-match': `W/${TAG}` }],
    [file, { 'if-unmodified-since': STAMP }],
    [file, { 'if-unmodified-since': EARLIER }],
    [file, range('0-0')],
    [file, range('2-4')],
    [file, range('2-')],
    [file, range('-3')],
    [file, range('-30')],
    [file, range('0-')],
    [file, range('5-99')],
    [file, range('10-')],
    [file, range('10-20')],
    [file, range('-0')],
    [file, range('a-b')],
    [file, range('5-2')],
    [file, range('')],
    [file, { range: 'items=0-1' }],
    [file, range('0-1,4-5')],
    [file, range('0-1, -2')],
    [file, range('7-,0-1')],
    [file, range('0-1,20-30')],
    [file, range('0-,0-')],
    [file, range('2-4', { 'if-range': TAG })],
    [file, range('2-4', { 'if-range': '"x"' })],
    [file, range('2-4', { 'if-range': STAMP })],
    [file, range('2-4', { 'if-range': LATER })],
    [file, range('2-4', { 'if-range': EARLIER })],
    [file, range('10-', { 'if-none-match': TAG })],
    ['/large.png', range('100000-250000')],
    ['/large.png', range('0-0,100000-250000,-1')],
    ['/empty.css', range('0-')],
    ['/empty.css', range('-1')],
  ];
  const differences: object[] = [];
  for (const one of cases) {
    const [theirs, ours] = [await ask(join(dir, 's'), ...one), await ask(port, ...one)];
    const [want, got] = [look(theirs, one[0]), look(ours, one[0])];
    if (!isDeepStrictEqual(got, want)) differences.push({ one, got, want });
  }
  assert.deepEqual(differences, []);

  // Compressed: all but the tag, which is the coding's own.
  const pre = await serve(t, dir, { precompressed: ['gzip'], types });
  for (const [accept, more] of [
    ['gzip', {}],
    ['gzip;q=0', {}],
    ['br', {}],
    ['gzip', range('10-20')],
  ] as const) {
    const headers = { 'accept-encoding': accept, ...more };
    const theirs = look(await ask(join(dir, 's'), '/script.js', headers), '');
    const ours = look(await ask(pre.port, '/script.js', headers), '');
    if (ours['content-encoding'] !== '') ours.etag = String(ours.etag).replace(/-gzip"$/, '"');
    assert.deepEqual(ours, theirs, JSON.stringify(headers));
  }
});

test('what is not said as nginx says it, because the standard says otherwise or to be safe', async (t) => {
  const { port } = await serve(t, await site(t));
  const got = await ask(port, '/digits.txt', { range: 'bytes=2-4' }, 'HEAD');
  assert.deepEqual([got.status, got.headers['content-length']], [200, '10'], 'ranges are for GET');
  assert.equal((await ask(port, '/empty/')).status, 404, 'whether there is a folder is not told');
  assert.equal((await ask(port, '/.env')).status, 404);
  const well = await ask(port, '/.well-known/security.txt');
  assert.deepEqual([well.status, well.headers['content-type']], [200, 'text/plain; charset=utf-8']);
});

test('each refusal has its status and its code', async (t) => {
  const dir = await site(t);
  await symlink('../secret.txt', join(dir, 'site/out'));
  const edge = await serve(t, dir);
  const cases: [path: string, init: RequestInit, status: number, code: string][] = [
    ['/none', {}, 404, 'static_not_found'],
    ['/.git/config', {}, 404, 'static_not_found'],
    ['/out', {}, 403, 'static_denied'],
    ['/digits.txt', { method: 'PUT', body: 'x' }, 405, 'static_method'],
    ['/digits.txt', { headers: { 'if-match': '"x"' } }, 412, 'static_precondition'],
    ['/digits.txt', { headers: { range: 'bytes=10-' } }, 416, 'static_range'],
  ];
  for (const [path, init, status, word] of cases) {
    const answer = await edge.get(path, init);
    assert.equal(answer.status, status, path);
    if (status === 405) assert.equal(answer.headers.get('allow'), 'GET, HEAD');
    if (status === 416) assert.equal(answer.headers.get('content-range'), 'bytes */10');
    assert.equal(await code(answer), word);
  }
  await rename(join(dir, 'site'), join(dir, 'away'));
  const away = await edge.get('/digits.txt');
  assert.deepEqual([away.status, await code(away)], [503, 'static_unavailable']);
  await rename(join(dir, 'away'), join(dir, 'site'));
  assert.equal((await edge.get('/digits.txt')).status, 200, 'the folder is looked for each time');
});

test('no path leads out of the root, and no name that begins with a dot is there', async (t) => {
  const dir = await site(t);
  const { port } = await serve(t, dir, { fallback: 'index.html' });
  const secret = join(dir, 'secret.txt');
  const paths = [
    '/../secret.txt',
    '/docs/../../secret.txt',
    '/%2e%2e/secret.txt',
    '/.%2e/secret.txt',
    '/..%2fsecret.txt',
    '/docs/..%2f..%2fsecret.txt',
    '/%2e%2e%2fsecret.txt',
    '/..%5csecret.txt',
    '/..\\secret.txt',
    '/%252e%252e/secret.txt',
    '/%252e%252e%252fsecret.txt',
    '/..;/secret.txt',
    '/%c0%ae%c0%ae/secret.txt',
    '/..%c0%afsecret.txt',
    '/..%00/secret.txt',
    '/digits.txt%00.html',
    `/${secret}`,
    `/%2f${secret.slice(1)}`,
    `//${secret}`,
    'file:///etc/passwd',
    '/.env',
    '/%2eenv',
    '/.git/config',
    '/docs/../.git/config',
    '/.well-known/../.env',
    '/.well-known/.env',
    '/./.env',
    '//.env',
  ];
  for (const path of paths) {
    const client = await raw(t, port);
    await client.send(`GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
    const all = await client.waitForClose();
    assert.match(all, /^HTTP\/1\.1 (400|404|200) /, path);
    assert.ok(!all.includes('the secret') && !all.includes('root:'), path);
    // 200 is the fallback, for what is a name below the root after all.
    if (all.startsWith('HTTP/1.1 200')) assert.ok(all.endsWith(PAGE), path);
  }
});

test('links are followed as the config says, and what is no file is not opened', async (t) => {
  const dir = await site(t);
  const at = (name: string) => join(dir, 'site', name);
  await symlink('digits.txt', at('inside'));
  await symlink('../../site/digits.txt', at('docs/back'));
  await symlink('../secret.txt', at('outside'));
  await symlink(at('digits.txt'), at('absolute'));
  await symlink('..', at('up'));
  await symlink('loop', at('loop'));
  await symlink('gone', at('dangling'));
  await symlink('/dev/zero', at('zero'));
  await symlink('/proc/self/environ', at('environ'));
  await run('mkfifo', [at('fifo')]);
  const socket = createServer().listen(at('socket'));
  t.after(() => socket.close());
  const table: [path: string, refuse: number, inside: number, follow: number][] = [
    ['/digits.txt', 200, 200, 200],
    ['/inside', 403, 200, 200],
    ['/docs/back', 403, 403, 200],
    ['/outside', 403, 403, 200],
    ['/up/secret.txt', 403, 403, 200],
    ['/absolute', 403, 403, 200],
    ['/loop', 403, 403, 403],
    ['/dangling', 403, 404, 404],
    ['/zero', 403, 403, 404],
    ['/fifo', 404, 404, 404],
    ['/socket', 404, 404, 404],
  ];
  for (const [k, symlinks] of (['refuse', 'inside', 'follow'] as const).entries()) {
    const { get } = await serve(t, dir, { symlinks });
    for (const [path, ...want] of table)
      assert.equal((await get(path)).status, want[k], `${symlinks} ${path}`);
  }
  // The root itself may be a link, and is looked for each time: so a new version takes the place of the old.
  await mkdir(join(dir, 'v2'));
  await writeFile(join(dir, 'v2/digits.txt'), 'two');
  await rename(join(dir, 'site'), join(dir, 'v1'));
  await symlink('v1', join(dir, 'site'));
  const { get } = await serve(t, dir, { symlinks: 'refuse' });
  assert.equal(await (await get('/digits.txt')).text(), DIGITS);
  await symlink('v2', join(dir, 'next'));
  await rename(join(dir, 'next'), join(dir, 'site'));
  assert.equal(await (await get('/digits.txt')).text(), 'two');
});

test('a range bomb gets the file, once', async (t) => {
  const { port } = await serve(t, await site(t));
  for (const bomb of [
    `bytes=${'0-,'.repeat(1300)}0-`,
    `bytes=${Array.from({ length: 1000 }, (_, i) => `${i}-${i}`).join(',')}`,
    `bytes=0-${',5-299999'.repeat(400)}`,
    `bytes=${'-1,'.repeat(17)}-1`,
  ]) {
    const { status, headers, body } = await ask(port, '/large.png', { range: bomb });
    assert.deepEqual([status, headers['content-length']], [200, '300000']);
    assert.ok(body.equals(LARGE));
  }
  // The most that is answered in parts.
  const ranges = Array.from({ length: 16 }, (_, i) => `${i * 10}-${i * 10}`).join(',');
  const { status, body } = await ask(port, '/large.png', { range: `bytes=${ranges}` });
  assert.equal(status, 206);
  assert.ok(body.length < 16 * 200);
});

test('neighbours are sent to who accepts them, and caches are told', async (t) => {
  const { port } = await serve(t, await site(t), {
    precompressed: ['br', 'zstd', 'gzip'],
    cache_control: 'public, max-age=60',
  });
  for (const [accept, coding] of [
    ['gzip, deflate, br, zstd', 'br'],
    ['gzip, br;q=0.5', 'gzip'],
    ['zstd', undefined],
    ['', undefined],
  ] as const) {
    const got = await ask(port, '/script.js', { 'accept-encoding': accept });
    const { vary, 'content-encoding': encoding, 'cache-control': cache, etag } = got.headers;
    assert.deepEqual([vary, encoding, cache], ['Accept-Encoding', coding, 'public, max-age=60'], accept);
    const again = await ask(port, '/script.js', { 'accept-encoding': accept, 'if-none-match': String(etag) });
    assert.deepEqual([again.status, again.headers.vary], [304, 'Accept-Encoding']);
    assert.equal(again.headers['cache-control'], 'public, max-age=60');
  }
});

test('requests behind each other are answered in order, with bodies or without', async (t) => {
  const { port } = await serve(t, await site(t));
  const ask = (line: string, more = '', body = '') => `${line} HTTP/1.1\r\nHost: a\r\n${more}\r\n${body}`;
  const client = await raw(t, port);
  const chunked = '5\r\nhello\r\n0\r\n\r\n';
  await client.send(
    [
      ask('GET /large.png'),
      ask('HEAD /large.png'),
      ask('GET /digits.txt', 'Content-Length: 5\r\n', 'hello'),
      ask('GET /digits.txt', 'Range: bytes=2-4\r\nTransfer-Encoding: chunked\r\n', chunked),
      ask('GET /digits.txt', `If-None-Match: ${TAG}\r\n`),
      ask('GET /empty.css'),
      ask('GET /none'),
      ask('GET /large.png', 'Range: bytes=-3\r\nConnection: close\r\n'),
    ].join(''),
  );
  const all = await client.waitForClose();
  const answers = all.split(/(?=HTTP\/1\.1 \d)/);
  const told = answers.map((one) => {
    const at = one.indexOf('\r\n\r\n') + 4;
    return [one.slice(9, 12), one.length - at];
  });
  const last = told[6]?.[1];
  assert.deepEqual(told, [
    ['200', 300_000],
    ['200', 0],
    ['200', 10],
    ['206', 3],
    ['304', 0],
    ['200', 0],
    ['404', last],
    ['206', 3],
  ]);
});

test('curl resumes, compares, and asks for parts, as its users do', async (t) => {
  const dir = await site(t);
  const { url } = await serve(t, dir, { precompressed: ['gzip'] });
  const curl = async (...words: string[]) =>
    (await run('curl', ['-sS', '--max-time', '20', ...words], { encoding: 'buffer' })).stdout;
  const part = join(dir, 'part');
  await writeFile(part, LARGE.subarray(0, 123_456));
  await curl('-C', '-', '-o', part, `${url}/large.png`);
  assert.ok((await readFile(part)).equals(LARGE));
  assert.equal(String(await curl('-r', '2-4', `${url}/digits.txt`)), '234');
  assert.match(String(await curl('-I', `${url}/digits.txt`)), /^HTTP\/1\.1 200 OK\r\n/);
  assert.equal(String(await curl('--compressed', `${url}/script.js`)), SCRIPT);
  assert.equal(String(await curl('-L', `${url}/docs`)), 'docs');
  const status = ['-o', '/dev/null', '-w', '%{http_code}'];
  assert.equal(String(await curl('-z', STAMP, ...status, `${url}/digits.txt`)), '304');
  const etag = join(dir, 'etag');
  await curl('--etag-save', etag, '-o', '/dev/null', `${url}/digits.txt`);
  assert.equal(String(await curl('--etag-compare', etag, ...status, `${url}/digits.txt`)), '304');
});

test('a page that finds its way by itself is found in a browser at any path', async (t) => {
  const chromium = await browser(t);
  if (chromium === undefined) return;
  const dir = await site(t);
  const page = '<!doctype html><base href="/"><script type="module" src="script.js"></script><h1>app</h1>';
  await writeFile(join(dir, 'site/index.html'), page);
  const { url } = await serve(t, dir, { fallback: '/index.html', precompressed: ['br', 'gzip'] });
  const tab = await chromium.open(`${url}/users/7/edit?tab=1`);
  await tab.until('document.title === "told by a script"');
  const read = 'fetch("digits.txt", { headers: { range: "bytes=2-4" } }).then((r) => r.text())';
  assert.equal(await tab.evaluate(read), '234');
  const [first, again] = await tab.evaluate<[number, number]>(`(async () => {
    const ask = () => fetch('digits.txt', { cache: 'no-cache' });
    return [(await ask()).status, (await ask()).status];
  })()`);
  assert.deepEqual([first, again], [200, 200], 'a 304 is told to the page as what it stands for');
  const coding = `performance.getEntriesByName(location.origin + '/script.js')[0]`;
  const [sent, decoded] = await tab.evaluate<number[]>(
    `[${coding}.encodedBodySize, ${coding}.decodedBodySize]`,
  );
  assert.deepEqual([sent, decoded], [brotliCompressSync(SCRIPT).length, SCRIPT.length]);
});

test('under a prefix, the redirect of a folder stays there', async (t) => {
  const dir = await site(t);
  const filters = [
    { use: 'rewrite' as const, strip_prefix: '/assets' },
    { use: 'static' as const, root: join(dir, 'site') },
  ];
  const routes = [{ name: 'all', match: { path: '/assets/*' }, filters }];
  const { url } = await gateway(t, { workers: 1, routes });
  const there = await fetch(`${url}/assets/docs`);
  assert.deepEqual([there.url, await there.text()], [`${url}/assets/docs/`, 'docs']);
  await rm(join(dir, 'site/docs/index.html'));
  assert.equal((await fetch(`${url}/assets/docs/`)).status, 404);
});
