/**
 * Clients that others wrote, against the edge: curl, nghttp, h2load, and the chat in Chromium.
 *
 * curl and Chromium verify the development certificate; nghttp and h2load take any. Which protocol was spoken is what
 * the gateway's own access log says.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import * as http2 from 'node:http2';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import type { Config } from '../ts/index.js';
import { folder } from './kit/binary.js';
import { browser } from './kit/browser.js';
import { certificate } from './kit/certificate.js';
import { EXAMPLES } from './kit/example.js';
import { gateway, portOf } from './kit/gateway.js';
import { until } from './kit/until.js';

const run = promisify(execFile);
const BODY = 'x'.repeat(300_000);

/** A gateway with a secure and a plain listener, and one behind a PROXY header. */
interface Edge {
  readonly ca: string;
  readonly secure: number;
  readonly plain: number;
  readonly behind: number;
  readonly dir: string;
  /** Lines of the access log, once there are `n` of them. */
  lines(n: number): Promise<string[]>;
}

async function edge(t: TestContext, more: Partial<Config>): Promise<Edge> {
  const { ca, state } = await certificate(t);
  const dir = await folder(t, { body: BODY });
  const at = join(state, 'ironsluice/dev/localhost');
  const tls = { certificates: [{ cert: `${at}.pem`, key: `${at}.key` }] };
  const log = join(dir, 'access.log');
  const { gateway: running } = await gateway(t, {
    workers: 1,
    listeners: [
      { name: 'secure', bind: '127.0.0.1:0', tls },
      { name: 'plain', bind: '127.0.0.1:0', http2: { cleartext: true } },
      { name: 'behind', bind: '127.0.0.1:0', tls, proxy_protocol: { trust: ['127.0.0.1'] } },
    ],
    access_log: { to: log, format: '$listener $protocol $method $path $status $request_bytes' },
    ...more,
  });
  return {
    ca,
    dir,
    secure: portOf(running, 'secure'),
    plain: portOf(running, 'plain'),
    behind: portOf(running, 'behind'),
    async lines(n) {
      let lines: string[] = [];
      await until(async () => {
        lines = (await readFile(log, 'utf8').catch(() => '')).split('\n').slice(0, -1);
        return lines.length >= n;
      }, `${n} lines of the access log`);
      return lines;
    },
  };
}

/** An upstream of HTTP/2 that sends back the body, and the request's trailers as its own. */
async function echo(t: TestContext): Promise<Partial<Config>> {
  const server = http2.createServer().on('stream', (stream, headers) => {
    let trailers: http2.IncomingHttpHeaders = {};
    stream.on('trailers', (fields: http2.IncomingHttpHeaders) => {
      trailers = fields;
    });
    const head = { ':status': 200, 'x-method': headers[':method'] };
    if (headers[':method'] === 'HEAD') return stream.respond(head, { endStream: true });
    const pieces: Buffer[] = [];
    stream.on('data', (piece: Buffer) => pieces.push(piece));
    stream.on('end', () => {
      stream.respond(head, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'x-told': trailers['x-digest'] ?? 'nothing' }));
      stream.end(pieces.length === 0 ? 'nothing came' : Buffer.concat(pieces));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    upstreams: [{ name: 'up', endpoints: [address], protocol: 'http2' }],
    routes: [{ name: 'all', to: 'up' }],
  };
}

async function isMissing(t: TestContext, program: string): Promise<boolean> {
  const found = await run('sh', ['-c', `command -v ${program}`]).then(
    () => true,
    () => false,
  );
  // In CI the runner takes a skipped test for a failure.
  if (!found) t.skip(`${program} is missing: sh test/kit/parts.sh installs it`);
  return !found;
}

test('curl: each version of HTTP, bodies, and a PROXY header before TLS', async (t) => {
  if (await isMissing(t, 'curl')) return;
  const { ca, dir, secure, plain, behind, lines } = await edge(t, await echo(t));
  const body = join(dir, 'body');
  const [SECURE, PLAIN] = [`https://localhost:${secure}/c`, `http://127.0.0.1:${plain}/c`];
  const ONE = '--http1.1';
  const TWO = '--http2';
  const PRIOR = '--http2-prior-knowledge';
  const POST = ['--data-binary', `@${body}`, '-H', 'Content-Type: text/plain'];
  // Without a length: chunks in HTTP/1.1.
  const STREAM = ['-T', body, '-H', 'Transfer-Encoding: chunked'];
  const cases: [words: string[], logged: string, got?: string][] = [
    [[ONE, SECURE], 'secure HTTP/1.1 GET /c 200 0'],
    [[TWO, SECURE], 'secure HTTP/2 GET /c 200 0'],
    [[PRIOR, SECURE], 'secure HTTP/2 GET /c 200 0'],
    [[PRIOR, PLAIN], 'plain HTTP/2 GET /c 200 0'],
    [[TWO, '--tls-max', '1.2', SECURE], 'secure HTTP/2 GET /c 200 0'],
    [[ONE, ...POST, SECURE], 'secure HTTP/1.1 POST /c 200 300000', BODY],
    [[TWO, ...POST, SECURE], 'secure HTTP/2 POST /c 200 300000', BODY],
    [[PRIOR, ...POST, PLAIN], 'plain HTTP/2 POST /c 200 300000', BODY],
    [[ONE, ...STREAM, SECURE], 'secure HTTP/1.1 PUT /c 200 300000', BODY],
    [[TWO, ...STREAM.slice(0, 2), SECURE], 'secure HTTP/2 PUT /c 200 300000', BODY],
    [[ONE, '--head', SECURE], 'secure HTTP/1.1 HEAD /c 200 0', ''],
    [[TWO, '--head', SECURE], 'secure HTTP/2 HEAD /c 200 0', ''],
    [['--haproxy-protocol', TWO, `https://localhost:${behind}/c`], 'behind HTTP/2 GET /c 200 0'],
    [['--haproxy-protocol', ONE, `https://localhost:${behind}/c`], 'behind HTTP/1.1 GET /c 200 0'],
  ];
  const common = ['-sS', '--max-time', '20', '--ipv4', '--cacert', ca];
  for (const [i, [words, logged, got = 'nothing came']] of cases.entries()) {
    const { stdout } = await run('curl', [...common, ...words], { maxBuffer: 1 << 20 });
    if (!words.includes('--head')) assert.equal(stdout, got, words.join(' '));
    else assert.match(stdout, /^HTTP\/\S+ 200[\s\S]*^x-method: HEAD\r$/im, words.join(' '));
    assert.equal((await lines(i + 1))[i], logged, words.join(' '));
  }
  await assert.rejects(run('curl', [...common, `https://localhost:${behind}/`]), 'no PROXY header');
});

test('nghttp: an upload with trailers, which come back', async (t) => {
  if (await isMissing(t, 'nghttp')) return;
  const { dir, secure, plain, lines } = await edge(t, await echo(t));
  const upload = ['-v', '-d', join(dir, 'body'), '--trailer', 'x-digest: abc', '-H', 'te: trailers'];
  for (const [i, url] of [`https://localhost:${secure}/n`, `http://127.0.0.1:${plain}/n`].entries()) {
    const { stdout } = await run('nghttp', [...upload, url], { maxBuffer: 4 << 20 });
    assert.match(stdout, /x-told: abc/);
    assert.ok(stdout.replace(/[^x]/g, '').length >= BODY.length, 'the body came back');
    const listener = i === 0 ? 'secure' : 'plain';
    assert.equal((await lines(i + 1))[i], `${listener} HTTP/2 POST /n 200 300000`);
  }
});

test('h2load: 4000 requests over TLS, 20 at a time on each of 4 connections', async (t) => {
  if (await isMissing(t, 'h2load')) return;
  const { secure, lines } = await edge(t, await echo(t));
  const words = ['-n', '4000', '-c', '4', '-m', '20', `https://localhost:${secure}/h`];
  const { stdout } = await run('h2load', words);
  assert.match(stdout, /^Application protocol: h2$/m);
  assert.match(stdout, /4000 done, 4000 succeeded, 0 failed, 0 errored, 0 timeout/, stdout);
  assert.match(stdout, /^status codes: 4000 2xx, 0 3xx, 0 4xx, 0 5xx$/m, stdout);
  const logged = await lines(4000);
  assert.equal(logged.length, 4000);
  assert.deepEqual([...new Set(logged)], ['secure HTTP/2 GET /h 200 0']);
});

test('the chat in Chromium: its page and its WebSocket by HTTP/2', async (t) => {
  const module = join(EXAMPLES, 'websocket-chat/app.ts');
  const { ca, secure, lines } = await edge(t, {
    apps: [{ name: 'chat', module }],
    routes: [{ name: 'all', to: { app: 'chat' } }],
  });
  // It knows the authority as a user's browser does, and takes nothing else on trust.
  const chromium = await browser(t, ca);
  if (chromium === undefined) return;
  const open = async (name: string) => {
    const page = await chromium.open(`https://127.0.0.1:${secure}/tea?name=${name}`);
    await page.until(`document.getElementById('state').textContent === 'connected as ${name}'`);
    return page;
  };
  const ada = await open('Ada');
  const bob = await open('Bob');
  assert.equal(await ada.evaluate('location.protocol'), 'https:');
  assert.equal(await ada.evaluate(`performance.getEntriesByType('navigation')[0].nextHopProtocol`), 'h2');
  await bob.evaluate(`{
    document.getElementById('text').value = 'hello';
    document.getElementById('form').requestSubmit();
  }`);
  const said = `[...document.querySelectorAll('#log li')].some((line) => line.textContent === 'Bob: hello')`;
  await ada.until(said);
  await ada.close();
  await bob.close();
  // A tunnel is logged when it ends; by HTTP/2 it can only be an extended CONNECT (RFC 8441).
  const isSocket = (line: string): boolean => line.includes(' 101 ');
  await until(async () => (await lines(1)).filter(isSocket).length >= 2, 'two sockets in the access log');
  const [opened, ...rest] = await lines(1);
  assert.equal(opened, 'secure HTTP/2 GET /tea 200 0', 'the page');
  for (const line of rest) assert.match(line, /^secure HTTP\/2 GET \S+ \d+ \d+$/);
});
