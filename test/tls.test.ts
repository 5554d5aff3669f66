/**
 * TLS as users have it: one line for localhost, certificates of files that are replaced, and what strangers' tools
 * find.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { Certificates } from '../ts/certificates.js';
import { judge } from '../ts/config/check.js';
import { loadFile } from '../ts/config/load.js';
import { ConfigError } from '../ts/errors.js';
import { createLog } from '../ts/log.js';
import type { LookedAt } from '../ts/native.js';
import { folder, ironsluice, launch, type Running } from './kit/binary.js';
import { type Certificate, certificate } from './kit/certificate.js';
import { gateway } from './kit/gateway.js';

const run = promisify(execFile);
const ROUTES =
  'admin: off\nroutes: [{ name: all, match: { path: /* }, filters: [{ use: respond, body: secure }] }]\n';
const DEV = `listeners: [{ name: web, bind: 127.0.0.1:0, tls: dev }]\n${ROUTES}`;
const FILES = `listeners:
  - name: web
    bind: 127.0.0.1:0
    tls: { certificates: [{ cert: a.pem, key: a.key }] }
${ROUTES}`;

/** Starts a gateway; resolves with its port. */
async function port(running: Running): Promise<number> {
  const { address } = await running.logged('listening');
  return Number(String(address).split(':').at(-1));
}

async function dev(t: TestContext): Promise<{ certificate: Certificate; port: number }> {
  const own = await certificate(t);
  const cwd = await folder(t, { 'a.yaml': DEV });
  const env = { XDG_STATE_HOME: own.state };
  const running = launch(t, ['start', '--config', 'a.yaml', '--log-format', 'json'], { cwd, env });
  return { certificate: own, port: await port(running) };
}

async function curl(port: number, ca: string, ...words: string[]): Promise<string> {
  const common = ['-sS', '--max-time', '10', '--cacert', ca];
  const { stdout } = await run('curl', [...common, ...words, `https://localhost:${port}/`]);
  return stdout;
}

async function there(t: TestContext, program: string): Promise<boolean> {
  const found = await run('sh', ['-c', `command -v ${program}`]).then(
    () => true,
    () => false,
  );
  // In CI the runner takes a skipped test for a failure.
  if (!found) t.skip(`${program} is missing: sh test/kit/parts.sh installs it`);
  return found;
}

test('cert dev makes one authority and one certificate, and keeps them', async (t) => {
  const own = await certificate(t);
  const at = join(own.state, 'ironsluice/dev');
  assert.equal((await stat(at)).mode & 0o777, 0o700);
  for (const key of ['ca.key', 'localhost.key']) {
    assert.equal((await stat(join(at, key))).mode & 0o777, 0o600, key);
  }
  const again = await ironsluice(t, ['cert', 'dev'], { env: { XDG_STATE_HOME: own.state } });
  assert.equal(again.code, 0);
  assert.match(
    again.stdout,
    /was there already[\s\S]*curl --cacert \/.*ca\.pem[\s\S]*update-ca-certificates/,
  );
  assert.equal(await readFile(join(at, 'localhost.pem'), 'utf8'), own.cert);

  const nowhere = await ironsluice(t, ['cert', 'dev'], { env: { XDG_STATE_HOME: '/proc/nowhere' } });
  assert.equal(nowhere.code, 3);
  assert.match(nowhere.stderr, /^ironsluice: /);
  const other = await ironsluice(t, ['cert', 'prod']);
  assert.equal(other.code, 2);
});

test('the development authority can vouch for localhost only', async (t) => {
  if (!(await there(t, 'openssl'))) return;
  const { ca } = await certificate(t);
  const { stdout } = await run('openssl', ['x509', '-in', ca, '-noout', '-text']);
  assert.match(
    stdout,
    /Name Constraints: critical\s+Permitted:\s+DNS:localhost\s+IP:127\.0\.0\.0\/255\.0\.0\.0/,
  );
  assert.match(stdout, /CA:TRUE, pathlen:0/);
});

test('https on localhost is one line', async (t) => {
  if (!(await there(t, 'curl'))) return;
  const { certificate: own, port } = await dev(t);
  for (const words of [[], ['--tls-max', '1.2'], ['--tlsv1.3'], ['--http1.0']]) {
    assert.equal(await curl(port, own.ca, ...words), 'secure', words.join(' '));
  }
  const other = await certificate(t);
  await assert.rejects(curl(port, other.ca), /unable to get local issuer|self.signed|verify/i);
  const plain = await run('curl', ['-s', `http://localhost:${port}/`]);
  assert.match(plain.stdout, /"code":"plain_http"/);
});

test('bug: the development certificate fails the verification of an upstream', async (t) => {
  const { certificate: own, port } = await dev(t);
  for (const host of ['localhost', '127.0.0.1']) {
    const front = await gateway(t, {
      upstreams: [{ name: 'up', endpoints: [`${host}:${port}`], tls: { ca: own.ca } }],
      routes: [{ name: 'all', to: 'up' }],
    });
    const answer = await front.get('/');
    assert.deepEqual([answer.status, await answer.text()], [200, 'secure'], host);
  }
});

test('bug: a development certificate that upstreams refuse is replaced, its authority is not', async (t) => {
  if (!(await there(t, 'openssl'))) return;
  const { state, ca } = await certificate(t);
  const at = join(state, 'ironsluice/dev');
  const path = (name: string): string => join(at, name);
  const authority = await readFile(ca, 'utf8');
  await writeFile(path('ext'), 'subjectAltName=DNS:localhost,DNS:*.localhost,IP:127.0.0.1,IP:::1\n');
  const request = ['req', '-new', '-key', path('localhost.key'), '-subj', '/CN=localhost'];
  await run('openssl', [...request, '-out', path('csr')]);
  const by = ['-CA', ca, '-CAkey', path('ca.key'), '-days', '300', '-extfile', path('ext')];
  const signed = await run('openssl', ['x509', '-req', '-in', path('csr'), '-set_serial', '7', ...by]);
  await writeFile(path('localhost.pem'), signed.stdout + authority);
  const again = await ironsluice(t, ['cert', 'dev'], { env: { XDG_STATE_HOME: state } });
  assert.equal(again.code, 0, again.stderr);
  assert.notEqual(await readFile(path('localhost.pem'), 'utf8'), signed.stdout + authority);
  assert.equal(await readFile(ca, 'utf8'), authority);
  const { stdout } = await run('openssl', ['x509', '-in', path('localhost.pem'), '-noout', '-text']);
  assert.match(stdout, /DNS:localhost, IP Address:127\.0\.0\.1, IP Address:0:0:0:0:0:0:0:1\n/);
});

test('openssl: old versions and renegotiation are refused', async (t) => {
  if (!(await there(t, 'openssl'))) return;
  const { port } = await dev(t);
  const ask = (words: string[], input = ''): Promise<string> =>
    new Promise((resolve) => {
      const args = ['s_client', '-connect', `localhost:${port}`, '-servername', 'localhost', ...words];
      const child = execFile('openssl', args, { timeout: 10_000 }, (_, out, err) => resolve(out + err));
      child.stdin?.end(input);
    });
  assert.match(await ask(['-tls1_3']), /New, TLSv1\.3, Cipher is TLS_AES_256_GCM_SHA384/);
  assert.match(await ask(['-tls1_2']), /New, TLSv1\.2, Cipher is ECDHE-ECDSA-AES256-GCM-SHA384/);
  for (const old of ['-tls1', '-tls1_1']) {
    assert.match(
      await ask([old, '-cipher', 'ALL:@SECLEVEL=0']),
      /alert protocol version|Cipher is \(NONE\)/,
      old,
    );
  }
  for (const weak of ['AES128-SHA', 'ECDHE-ECDSA-AES128-SHA', 'NULL', 'aNULL', 'DHE-RSA-AES128-GCM-SHA256']) {
    const said = await ask(['-tls1_2', '-cipher', `${weak}:@SECLEVEL=0`]);
    assert.match(said, /handshake failure|Cipher is \(NONE\)|no ciphers available|no cipher match/, weak);
  }
  assert.match(await ask(['-tls1_2'], 'R\n'), /no renegotiation|RENEGOTIATING/);
  assert.match(await ask(['-alpn', 'spdy/3']), /alert no application protocol/);
});

test('what scanners find', { concurrency: true, timeout: 300_000 }, async (t) => {
  // They wait more than they work, so they run beside each other.
  await Promise.all([
    t.test('sslscan: two versions, six suites and three groups', sslscan),
    t.test('testssl: protocols, suites and preferences, nothing above INFO', testssl('-p', '-s', '-f', '-P')),
    t.test('testssl: vulnerabilities, nothing above INFO', testssl('-U')),
  ]);
});

async function sslscan(t: TestContext): Promise<void> {
  if (!(await there(t, 'sslscan'))) return;
  const { port } = await dev(t);
  const { stdout } = await run('sslscan', ['--no-colour', `localhost:${port}`]);
  const versions = [...stdout.matchAll(/^(SSLv\d|TLSv1\.\d) +(enabled|disabled)$/gm)].map(([line]) => line);
  assert.deepEqual(
    versions.map((line) => line.replace(/ +/, ' ')),
    [
      'SSLv2 disabled',
      'SSLv3 disabled',
      'TLSv1.0 disabled',
      'TLSv1.1 disabled',
      'TLSv1.2 enabled',
      'TLSv1.3 enabled',
    ],
  );
  const suites = [...stdout.matchAll(/^(?:Preferred|Accepted) +\S+ +\d+ bits +(\S+)/gm)].map(
    ([, name]) => name,
  );
  assert.equal(suites.length, 6, stdout);
  for (const name of suites) assert.match(name ?? '', /GCM|CHACHA20/);
  const groups = [...stdout.matchAll(/^TLSv1\.\d +\d+ bits +(\S+)/gm)].map(([, name]) => name);
  assert.deepEqual(groups, ['secp256r1', 'secp384r1', 'x25519']);
  assert.match(stdout, /Session renegotiation not supported/);
}

function testssl(...groups: string[]): (t: TestContext) => Promise<void> {
  return async (t) => {
    if (!(await there(t, 'testssl'))) return;
    const { certificate: own, port } = await dev(t);
    const json = join(own.state, 'found.json');
    const what = [...groups, '--severity', 'LOW', '--jsonfile', json];
    const quiet = ['--quiet', '--color', '0', '--warnings', 'batch', '--add-ca', own.ca];
    await run('testssl', [...quiet, ...what, `localhost:${port}`]).catch(() => {}); // it ends with the number of its findings
    const found = JSON.parse(await readFile(json, 'utf8')) as { id: string; severity: string }[];
    // What it says of its own OpenSSL is nothing of ours.
    assert.deepEqual(
      found.filter(({ id }) => id !== 'engine_problem'),
      [],
    );
  };
}

test('paths are relative to the file of the config, and check names what is wrong with them', async (t) => {
  const [one, other] = [await certificate(t), await certificate(t)];
  const cwd = await folder(t, { 'a.yaml': FILES, 'a.pem': one.cert, 'a.key': one.key });
  const elsewhere = await folder(t);
  const check = (): Promise<{ code: number; stderr: string }> =>
    ironsluice(t, ['check', join(cwd, 'a.yaml')], { cwd: elsewhere });
  assert.equal((await check()).code, 0);

  await writeFile(join(cwd, 'a.key'), other.key);
  const mixed = await check();
  assert.equal(mixed.code, 1);
  assert.match(
    mixed.stderr,
    /4:\d+ +listeners\[0\]\.tls\.certificates\[0\]\.key +the private key is another certificate's in a\.key +\(name the key that belongs/,
  );
  await writeFile(join(cwd, 'a.pem'), '');
  assert.match((await check()).stderr, /certificates\[0\]\.cert +there is no certificate in a\.pem/);
  const started = await ironsluice(t, ['start', '--config', join(cwd, 'a.yaml')], { cwd: elsewhere });
  assert.equal(started.code, 1);
  assert.match(started.stderr, /there is no certificate in a\.pem/);
});

test('keys of tls that do not go together are faults', async (t) => {
  const cases: [string, RegExp][] = [
    ['tls: yes', /tls +"yes" is not dev or \{ certificates|tls +true is not/],
    ['tls: prod', /tls +"prod" is not dev or/],
    ['tls: {}', /tls\.certificates +there is no certificate.*tls: dev/],
    ['tls: { certificates: [] }', /tls\.certificates +there is no certificate/],
    ['tls: { certificates: [{ cert: a.pem }] }', /certificates\[0\]\.key +key is missing/],
    [
      'tls: { certificates: [{ cert: a.pem, key: a.key, name: b }] }',
      /certificates\[0\]\.name +no key is called/,
    ],
    ['tls: { min_version: "1.1" }', /min_version +"1\.1" is no version of TLS/],
    ['tls: { min_version: 1.3 }', /min_version +1\.3 is not "1\.2" or "1\.3", in quotes/],
    ['tls: { client: { mode: required } }', /tls\.client\.ca +there is no authority/],
    ['tls: { client: { mode: always } }', /tls\.client\.mode +"always" is not a choice/],
    ['tls: { client: { ca: a.pem } }', /tls\.client\.ca +without a mode/],
    ['tls: { client: { mode: optional, ca: a.pem, san: ["a b"] } }', /client\.san\[0\] +"a b" is no name/],
    ['tls: { handshake_timeout: 1h }', /handshake_timeout +1h is not 100ms to 10m/],
  ];
  for (const [tls, wanted] of cases) {
    const text = `listeners: [{ name: web, bind: 127.0.0.1:0, ${tls} }]\n`;
    await faulty(t, text, wanted);
  }
  const upstreams: [string, RegExp][] = [
    ['tls: { client_cert: a.pem }', /tls\.client_key +client_cert is of no use/],
    ['tls: { verify: false, ca: a.pem }', /tls\.ca +with verify: false/],
    ['tls: { sni: "a b" }', /tls\.sni +"a b" is no host/],
    ['endpoints: ["unix:/a"], tls: {}', /tls\.sni +a Unix socket has no host/],
    [
      'tls: { ca: none.pem }',
      /tls\.ca +none\.pem cannot be read: there is no such file +\(it was looked for at \//,
    ],
  ];
  for (const [tls, wanted] of upstreams) {
    const endpoints = tls.startsWith('endpoints') ? '' : 'endpoints: ["127.0.0.1:1"], ';
    const text = `listeners: [{ name: web, bind: 127.0.0.1:0 }]\nupstreams: [{ name: a, ${endpoints}${tls} }]\n`;
    await faulty(t, text, wanted);
  }
});

async function faulty(t: TestContext, text: string, wanted: RegExp): Promise<void> {
  const path = join(await folder(t, { 'a.yaml': text }), 'a.yaml');
  const loaded = await loadFile(path);
  assert.throws(
    () => judge(loaded),
    (error) => error instanceof ConfigError && wanted.test(error.message) && true,
    `${text}: ${wanted}`,
  );
}

test('a certificate that is replaced is in use without a reload', async (t) => {
  if (!(await there(t, 'curl'))) return;
  const [one, other] = [await certificate(t), await certificate(t)];
  const cwd = await folder(t, { 'a.yaml': FILES, 'a.pem': one.cert, 'a.key': one.key });
  const running = launch(t, ['start', '--config', 'a.yaml', '--log-format', 'json'], { cwd });
  const at = await port(running);
  assert.equal(await curl(at, one.ca), 'secure');

  for (const [name, text] of [
    ['a.pem', other.cert],
    ['a.key', other.key],
  ] as const) {
    await writeFile(join(cwd, `${name}.new`), text);
    await rename(join(cwd, `${name}.new`), join(cwd, name));
  }
  assert.equal((await running.logged('certificates were replaced')).at, 'listeners[0].tls');
  assert.equal(await curl(at, other.ca), 'secure');
  await assert.rejects(curl(at, one.ca));
});

test('a bad pair is said at the second look, once; one that is being replaced is not', async () => {
  const looks: LookedAt[][] = [];
  const said: string[] = [];
  const log = createLog({ level: 'silent' });
  const note = (_: unknown, text?: string): void => void said.push(text ?? '');
  Object.assign(log, { info: note, warn: note, error: note });
  const ends = (days: number): { listener: string; name: string; notAfter: number } => ({
    listener: 'web',
    name: 'a.example',
    notAfter: Date.now() / 1000 + days * 86_400,
  });
  const watched = {
    lookAtCertificates: async () => looks.shift() ?? [],
    certificates: () => [ends(3), ends(-1), ends(60)],
  };
  const certificates = new Certificates(watched, log);
  const bad = (why: string): LookedAt => ({
    at: 'listeners[0].tls',
    faults: [{ path: 'p', onKey: false, why, fix: 'f' }],
  });
  const good: LookedAt = { at: 'listeners[0].tls', faults: [] };
  const refused = 'certificates were refused: the old ones stay';
  const replaced = 'certificates were replaced';
  const table: [LookedAt[], string[]][] = [
    [[], ['a certificate ends soon', 'a certificate has ended: clients refuse it']],
    [[bad('half')], []],
    [[good], [replaced]],
    [[bad('a')], []],
    [[bad('a')], [refused]],
    [[bad('a')], []],
    [[bad('b')], []],
    [[bad('b')], [refused]],
    [[good], [replaced]],
    [[bad('b')], []],
    [[bad('b')], [refused]],
  ];
  for (const [looked, wanted] of table) {
    looks.push(looked);
    said.length = 0;
    await certificates.look();
    assert.deepEqual(said, wanted);
  }
});
