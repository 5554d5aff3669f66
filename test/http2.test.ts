/**
 * HTTP/2 as others speak it: h2spec's whole suite, curl, nghttp, h2load, and Node's own client and server.
 *
 * The attacks, the ends of connections and the bounds of memory are tested in `crates/net/tests/http2_*.rs`.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import * as http2 from 'node:http2';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import * as tls from 'node:tls';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { parse } from 'yaml';
import type { Config } from '../ts/index.js';
import { folder } from './kit/binary.js';
import { gateway, type TestGateway } from './kit/gateway.js';
import { origin } from './kit/origin.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const H2SPEC = `${ROOT}.tools/h2spec`;
const run = promisify(execFile);

test('h2spec, strict: all of its 146 cases', async (t) => {
  if (await isMissing(t, H2SPEC, '--version')) return;
  const { port } = await proxy(t);
  assert.deepEqual(await conformance(port), { passed: 146, failed: 0, text: '' });
});

test('h2spec through a relay that passes one byte at a time', async (t) => {
  if (await isMissing(t, H2SPEC, '--version')) return;
  const { port } = await proxy(t);
  assert.deepEqual(await conformance(await relay(t, port)), { passed: 146, failed: 0, text: '' });
});

test('curl, by prior knowledge, and HTTP/1.1 on the same port', async (t) => {
  if (await isMissing(t, 'curl', '--version')) return;
  const { url } = await proxy(t);
  const prior = '--http2-prior-knowledge';
  for (const [flags, version] of [
    [[prior], '2'],
    [['--http1.1'], '1.1'],
    // Offers h2c by Upgrade, which is not followed.
    [['--http2'], '1.1'],
  ] as const) {
    const { stdout } = await run('curl', ['-sS', '-w', '\n%{http_version}', ...flags, `${url}/a?b`]);
    assert.equal(stdout, `GET /a?b\n${version}`);
  }
  const { stdout } = await run('curl', ['-sS', prior, '--data', 'x'.repeat(100_000), `${url}/p`]);
  assert.equal(stdout, 'POST /p 100000');
});

test('curl, by ALPN inside of TLS', async (t) => {
  if (await isMissing(t, 'curl', '--version')) return;
  const listeners: Config['listeners'] = [{ name: 'web', bind: '127.0.0.1:0', tls: 'dev' }];
  const { port } = await proxy(t, { listeners, state_dir: await folder(t) });
  for (const [flag, version] of [
    ['--http2', '2'],
    ['--http1.1', '1.1'],
  ] as const) {
    const url = `https://localhost:${port}/a`;
    const args = ['-sS', '--insecure', '--ipv4', '-w', '\n%{http_version}', flag, url];
    const { stdout } = await run('curl', args);
    assert.equal(stdout, `GET /a\n${version}`);
  }
});

test('a listener without HTTP/2 offers HTTP/1.1 only, and a reload turns it on', async (t) => {
  const listener = { name: 'web', bind: '127.0.0.1:0', tls: 'dev' } as const;
  const more = { state_dir: await folder(t) };
  const off = { ...more, listeners: [{ ...listener, http2: { enabled: false } }] };
  const { gateway: running, port, config } = await proxy(t, off);
  const agreed = async (ALPNProtocols: string[]): Promise<string | false | null> => {
    const socket = tls.connect({ port, host: '127.0.0.1', ALPNProtocols, rejectUnauthorized: false });
    const ended = Promise.race([once(socket, 'secureConnect'), once(socket, 'close')]);
    await ended.catch((error: NodeJS.ErrnoException) => {
      throw new Error(error.code);
    });
    socket.destroy();
    return socket.alpnProtocol;
  };
  assert.equal(await agreed(['h2', 'http/1.1']), 'http/1.1');
  await assert.rejects(agreed(['h2']), /ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL/);
  await running.reload({ ...config, listeners: [listener] });
  assert.equal(await agreed(['h2', 'http/1.1']), 'h2');
});

test('nghttp and h2load: many requests on one connection', async (t) => {
  if (await isMissing(t, 'h2load', '--version')) return;
  const { url } = await proxy(t);
  const got = await run('nghttp', [`${url}/one`]);
  assert.equal(got.stdout, 'GET /one');
  const { stdout } = await run('h2load', ['-n', '2000', '-c', '2', '-m', '100', `${url}/`]);
  assert.match(stdout, /requests: 2000 total, 2000 started, 2000 done, 2000 succeeded, 0 failed/, stdout);
});

test("Node's client and Node's server, HTTP/2 from end to end", async (t) => {
  const server = http2.createServer().on('stream', (stream, headers) => {
    stream.respond({ ':status': 200, 'x-path': headers[':path'] }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'x-end': 'yes' }));
    stream.pipe(stream);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const at = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const { url } = await proxy(t, { upstreams: [{ name: 'up', endpoints: [at], protocol: 'http2' }] });
  const client = http2.connect(url);
  t.after(() => client.destroy());
  const body = Buffer.alloc(300_000, 'abc');
  const all = Array.from({ length: 20 }, async (_, n) => {
    const stream = client.request({ ':method': 'POST', ':path': `/${n}`, te: 'trailers' });
    const trailers = once(stream, 'trailers');
    const head = once(stream, 'response');
    stream.end(body);
    const pieces: Buffer[] = [];
    for await (const piece of stream) pieces.push(piece as Buffer);
    assert.equal((await head)[0]['x-path'], `/${n}`);
    assert.equal((await trailers)[0]['x-end'], 'yes');
    assert.ok(Buffer.concat(pieces).equals(body));
  });
  await Promise.all(all);
});

test('the config of the guide is served as the guide says', async (t) => {
  const page = readFileSync(`${ROOT}docs/guide/http2.md`, 'utf8');
  const yaml = /^```yaml\n(.*?)^```$/ms.exec(page)?.[1] ?? '';
  const up = await origin(t, (_, response) => void response.end('from the api'));
  const config = parse(yaml) as Config;
  const listeners = config.listeners.map((listener) => ({ ...listener, bind: '127.0.0.1:0' }));
  const upstreams = config.upstreams?.map((upstream) => {
    const { protocol, http2: bounds, ...rest } = upstream;
    assert.ok(protocol === 'http2' && bounds !== undefined, 'the page shows both');
    return { ...rest, endpoints: [up.address] };
  });
  const { url } = await gateway(t, { ...config, listeners, ...(upstreams && { upstreams }) });
  const client = http2.connect(url);
  t.after(() => client.destroy());
  const stream = client.request({ ':path': '/' });
  assert.equal((await once(stream, 'response'))[0][':status'], 200);
});

/** A gateway that takes HTTP/2 in clear text, in front of an origin that tells what it saw. */
async function proxy(t: TestContext, more: Partial<Config> = {}): Promise<TestGateway & { config: Config }> {
  const up = await origin(t, (request, response) => {
    const body = request.body === '' ? '' : ` ${request.body.length}`;
    response.end(`${request.method} ${request.url}${body}`);
  });
  const config: Config = {
    workers: 1,
    admin: 'off',
    listeners: [{ name: 'web', bind: '127.0.0.1:0', http2: { cleartext: true } }],
    upstreams: [{ name: 'up', endpoints: [up.address] }],
    routes: [{ name: 'all', match: { path: '/*' }, to: 'up' }],
    ...more,
  };
  return { ...(await gateway(t, config)), config };
}

/** Runs h2spec, and returns what it says of its cases; `text` is what failed. */
async function conformance(port: number): Promise<{ passed: number; failed: number; text: string }> {
  const args = ['--strict', '-h', '127.0.0.1', '-p', `${port}`];
  const ended = await run(H2SPEC, args, { timeout: 120_000 }).catch((error: { stdout: string }) => error);
  const { stdout } = ended;
  const found = /(\d+) tests, (\d+) passed, \d+ skipped, (\d+) failed/.exec(stdout);
  const at = stdout.indexOf('Failures:');
  return { passed: Number(found?.[2]), failed: Number(found?.[3]), text: at < 0 ? '' : stdout.slice(at) };
}

/** Passes what a client sends one byte at a time, and what comes back as it comes. */
async function relay(t: TestContext, to: number): Promise<number> {
  const open = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (client) => {
    const up = connect({ port: to, host: '127.0.0.1', allowHalfOpen: true }).setNoDelay(true);
    for (const socket of [client, up]) {
      open.add(socket);
      socket.on('error', () => {
        client.destroy();
        up.destroy();
      });
    }
    drip(client, up);
    up.on('data', (bytes) => client.write(bytes));
    up.on('end', () => client.end());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    for (const socket of open) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

/** Each byte is a write of its own, once the one before is out. */
function drip(from: Socket, to: Socket): void {
  let bytes = Buffer.alloc(0);
  let isBusy = false;
  let isOver = false;
  const step = (): void => {
    if (isBusy || to.destroyed) return;
    if (bytes.length === 0) {
      if (isOver) to.end();
      return;
    }
    isBusy = true;
    const one = bytes.subarray(0, 1);
    bytes = bytes.subarray(1);
    to.write(one, () => {
      isBusy = false;
      step();
    });
  };
  from.on('data', (more: Buffer) => {
    bytes = Buffer.concat([bytes, more]);
    step();
  });
  from.on('end', () => {
    isOver = true;
    step();
  });
}

/** Skips the test if a program is missing. In CI the runner takes a skipped test for a failure. */
async function isMissing(t: TestContext, program: string, flag: string): Promise<boolean> {
  const found = await run(program, [flag]).then(
    () => true,
    () => false,
  );
  if (!found) t.skip(`${program} is missing: sh test/kit/parts.sh installs it`);
  return !found;
}
