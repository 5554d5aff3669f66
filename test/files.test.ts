/**
 * Files on their way to clients: large ones in little memory, to slow clients, over HTTP/2 and TLS; files that change meanwhile; and
 * files that no memory holds, which threads beside the shards read.
 *
 * What is answered at all is `test/filters/static.test.ts`.
 */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { readFile, rename, truncate, writeFile } from 'node:fs/promises';
import * as http2 from 'node:http2';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { folder, launch } from './kit/binary.js';
import { certificate } from './kit/certificate.js';
import { raw } from './kit/raw.js';
import { until } from './kit/until.js';

const run = promisify(execFile);
const MIB = 1 << 20;

/** A gateway in a process of its own, with one thread, that serves `site` in its folder. */
async function stand(t: TestContext, more = CLEAR): Promise<{ dir: string; port: number; pid: number }> {
  const config = `listeners: [{ name: web, bind: 127.0.0.1:0${more}, timeouts: { stall: 20s } }]
workers: 1
admin: off
routes: [{ name: all, match: { path: /* }, filters: [{ use: static, root: . }] }]
`;
  const dir = await folder(t, { 'a.yaml': config, 'small.txt': 'small' });
  if (more === TLS) {
    const own = await certificate(t);
    await Promise.all([writeFile(join(dir, 'a.pem'), own.cert), writeFile(join(dir, 'a.key'), own.key)]);
    await writeFile(join(dir, 'ca.pem'), await readFile(own.ca));
  }
  const running = launch(t, ['start', '--config', 'a.yaml', '--log-format', 'json'], { cwd: dir });
  const { address } = await running.logged('listening');
  return { dir, port: Number(String(address).split(':').at(-1)), pid: running.child.pid ?? 0 };
}

const CLEAR = ', http2: { cleartext: true }';
const TLS = ', tls: { certificates: [{ cert: a.pem, key: a.key }] }';

/** Writes a file of random bytes to the disk, and returns their hash. */
async function random(path: string, mib: number): Promise<string> {
  await run('dd', ['if=/dev/urandom', `of=${path}`, 'bs=1M', `count=${mib}`, 'conv=fsync']);
  const { stdout } = await run('sha256sum', [path]);
  return stdout.slice(0, 64);
}

/** Lets the system forget what it has in memory of a file. */
async function forget(path: string): Promise<void> {
  await run('dd', [`if=${path}`, 'iflag=nocache', 'count=0']);
}

/** The most memory that a process ever had, or has. */
function memory(pid: number, name: 'VmHWM' | 'VmRSS'): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(new RegExp(`${name}:\\s+(\\d+) kB`).exec(status)?.[1]) * 1024;
}

/** The hash of what curl gets. */
async function fetched(url: string, ...words: string[]): Promise<string> {
  const child = spawn('curl', ['-sS', '--fail', '--max-time', '120', ...words, url]);
  const hash = createHash('sha256');
  let told = '';
  child.stderr.on('data', (text) => {
    told += String(text);
  });
  child.stdout.on('data', (part: Buffer) => hash.update(part));
  const [status] = await once(child, 'close');
  assert.equal(status, 0, told);
  return hash.digest('hex');
}

test('300 MB go through by HTTP/1, HTTP/2 and TLS in little memory, from a disk or not', async (t) => {
  const { dir, port, pid } = await stand(t, TLS);
  const path = join(dir, 'large.bin');
  const want = await random(path, 300);
  const ca = ['--cacert', join(dir, 'ca.pem')];
  await fetched(`https://localhost:${port}/small.txt`, ...ca);
  const before = memory(pid, 'VmRSS');
  for (const words of [['--http1.1'], ['--http2']]) {
    await forget(path);
    const got = await fetched(`https://localhost:${port}/large.bin`, ...ca, ...words);
    assert.equal(got, want, words.join(' '));
  }
  const plain = await stand(t);
  await rename(path, join(plain.dir, 'large.bin'));
  const rest = memory(plain.pid, 'VmRSS');
  await forget(join(plain.dir, 'large.bin'));
  const url = `http://127.0.0.1:${plain.port}/large.bin`;
  assert.deepEqual(await Promise.all([fetched(url), fetched(url)]), [want, want]);
  for (const grown of [memory(pid, 'VmHWM') - before, memory(plain.pid, 'VmHWM') - rest]) {
    assert.ok(grown < 32 * MIB, `${grown / MIB} MiB more`);
  }
});

test('clients that read slowly hold neither memory nor others, and get all of it', async (t) => {
  const { dir, port, pid } = await stand(t);
  await random(join(dir, 'large.bin'), 64);
  const before = memory(pid, 'VmRSS');
  const slow = await Promise.all(Array.from({ length: 50 }, () => raw(t, port)));
  for (const client of slow) {
    await client.send('GET /large.bin HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
    await client.waitFor(/^HTTP\/1\.1 200 /);
    client.socket.pause();
  }
  for (let i = 0; i < 20; i += 1) {
    assert.equal(await (await fetch(`http://127.0.0.1:${port}/small.txt`)).text(), 'small');
  }
  assert.ok(memory(pid, 'VmHWM') - before < 32 * MIB, 'what they do not take is not read');
  const one = slow[0];
  assert.ok(one !== undefined);
  for (const other of slow.slice(1)) other.socket.destroy();
  one.socket.resume();
  const all = await one.waitForClose();
  assert.equal(all.length - all.indexOf('\r\n\r\n') - 4, 64 * MIB);
  assert.equal(one.reset, false);
  // Files that nobody wants any more are closed.
  const open = () => run('sh', ['-c', `ls -l /proc/${pid}/fd | grep -c large.bin || true`]);
  await until(async () => (await open()).stdout.trim() === '0', 'no file is held open');
});

test('a file that becomes shorter while it is sent is cut, and never padded', async (t) => {
  const { dir, port } = await stand(t);
  const path = join(dir, 'large.bin');
  await random(path, 64);
  const client = await raw(t, port);
  await client.send('GET /large.bin HTTP/1.1\r\nHost: a\r\n\r\n');
  await client.waitFor(/content-length: 67108864\r\n/i);
  client.socket.pause();
  await truncate(path, MIB);
  client.socket.resume();
  const all = await client.waitForClose();
  assert.ok(client.reset, 'a reset, so that nobody takes it for the whole');
  assert.ok(all.length < 64 * MIB);

  // The same on a stream of HTTP/2: that one is reset, and the next is served.
  await random(path, 64);
  const session = http2.connect(`http://127.0.0.1:${port}`);
  t.after(() => session.destroy());
  const stream = session.request({ ':path': '/large.bin' });
  const ended = new Promise<string>((resolve) => {
    stream.on('error', ({ message }) => resolve(message)).on('end', () => resolve('the end'));
  });
  await once(stream, 'response');
  await truncate(path, MIB);
  stream.resume();
  assert.match(await ended, /NGHTTP2_(INTERNAL_ERROR|CANCEL)/);
  const next = session.request({ ':path': '/small.txt' });
  assert.equal(String(Buffer.concat(await next.toArray())), 'small');
});

test('a file that is replaced while it is sent is sent to its end, and the next request gets the new one', async (t) => {
  const { dir, port } = await stand(t);
  const path = join(dir, 'large.bin');
  const old = await random(path, 64);
  const client = await raw(t, port);
  await client.send('GET /large.bin HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
  await client.waitFor(/^HTTP\/1\.1 200 /);
  client.socket.pause();
  await writeFile(join(dir, 'new'), 'new');
  await rename(join(dir, 'new'), path);
  const next = await fetch(`http://127.0.0.1:${port}/large.bin`);
  assert.equal(await next.text(), 'new');
  client.socket.resume();
  const all = await client.waitForClose();
  const body = Buffer.from(all.slice(all.indexOf('\r\n\r\n') + 4), 'latin1');
  assert.equal(createHash('sha256').update(body).digest('hex'), old);
});
