/**
 * Certificates by themselves: ordered of an authority (pebble), kept, renewed, and what happens when it is not there.
 */
import assert from 'node:assert/strict';
import { readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { judge } from '../ts/config/check.js';
import { loadFile } from '../ts/config/load.js';
import { ConfigError } from '../ts/errors.js';
import { config, metric, shown, site, started, stopped, times } from './kit/acme.js';
import { folder } from './kit/binary.js';
import { hasPebble } from './kit/pebble.js';
import { until } from './kit/until.js';

const ISSUED = 'a certificate was issued';
const ORDERED = 'a certificate is ordered: until it is issued, clients that ask for the domain are refused';
const NOT_ISSUED = 'a certificate was not issued: clients that ask for the domain are refused';
const NOT_RENEWED = 'a certificate was not renewed: the old one stays';

for (const challenge of ['tls-alpn-01', 'http-01']) {
  test(`${challenge}: certificates are issued, kept, and not ordered again at the next start`, async (t) => {
    if (!(await hasPebble(t))) return;
    const at = await site(t);
    const text = config(at, 'A.example, b.example', `, challenge: ${challenge}`);
    const running = await started(t, at, text);
    const root = await at.authority.root();
    await until(() => times(running, ISSUED) === 2, `two certificates; there is:\n${running.stderr}`, 30_000);
    const serials: string[] = [];
    for (const name of ['a.example', 'b.example']) {
      const seen = await shown(at.tls, name, root);
      assert.equal(seen.subjectAltName, `DNS:${name}`);
      serials.push(seen.serialNumber);
    }
    // Who asks for no known name gets the first.
    assert.equal((await shown(at.tls, undefined)).serialNumber, serials[0]);
    assert.deepEqual(await metric(at, 'ironsluice_acme_orders_total'), ['ironsluice_acme_orders_total 2']);
    assert.deepEqual(await metric(at, 'ironsluice_acme_order_failures_total'), []);
    const ends = await metric(at, 'ironsluice_certificate_not_after_seconds');
    assert.equal(ends.length, 2);
    assert.match(ends[0] ?? '', /listener="",name="a\.example"/);
    // A token that nobody asked for is a path as any other.
    const stray = await fetch(`http://127.0.0.1:${at.http}/.well-known/acme-challenge/abc`);
    assert.equal(await stray.text(), 'routed');
    await isPrivate(join(at.cwd, 'state'));
    await stopped(running);

    await at.authority.stop();
    const again = await started(t, at, text);
    for (const [i, name] of ['a.example', 'b.example'].entries()) {
      assert.equal((await shown(at.tls, name, root)).serialNumber, serials[i], 'the first client gets it');
    }
    assert.deepEqual(await metric(at, 'ironsluice_acme_orders_total'), ['ironsluice_acme_orders_total 0']);
    assert.equal(times(again, ORDERED), 0);
    await stopped(again);
  });
}

for (const challenge of ['tls-alpn-01', 'http-01']) {
  test(`${challenge} is answered at the door of an app too, which shows the certificate`, async (t) => {
    if (!(await hasPebble(t))) return;
    const at = await site(t);
    await writeFile(join(at.cwd, 'site.mjs'), 'export default ({ path }) => `app ${path}`;\n');
    const apps = 'apps: [{ name: site, module: ./site.mjs }]\n';
    const doors = config(at, 'a.example', `, challenge: ${challenge}`, 'door: app, app: site');
    // What no route takes is the app's.
    const running = await started(t, at, apps + doors.replace(/^routes: .*\n/m, ''));
    await until(() => times(running, ISSUED) === 1, `a certificate; there is:\n${running.stderr}`, 30_000);
    const seen = await shown(at.tls, 'a.example', await at.authority.root());
    assert.equal(seen.subjectAltName, 'DNS:a.example');
    const stray = await fetch(`http://127.0.0.1:${at.http}/.well-known/acme-challenge/abc`);
    assert.equal(await stray.text(), 'app /.well-known/acme-challenge/abc');
    await stopped(running);
  });
}

/** Nobody else may read what is in a folder. */
async function isPrivate(path: string): Promise<void> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  assert.ok(entries.filter((entry) => entry.isFile()).length >= 4);
  for (const entry of entries) {
    const mode = (await stat(join(entry.parentPath ?? entry.path, entry.name))).mode & 0o777;
    assert.equal(mode, entry.isDirectory() ? 0o700 : 0o600, entry.name);
  }
}

test('a certificate is renewed in time, and no client is refused meanwhile', {
  timeout: 60_000,
}, async (t) => {
  if (!(await hasPebble(t))) return;
  const at = await site(t, { validity: 12 });
  const running = await started(t, at, config(at, 'a.example'));
  const root = await at.authority.root();
  await running.logged(ISSUED);
  const serials = new Set<string>();
  const isRenewed = async (): Promise<boolean> => {
    const seen = await shown(at.tls, 'a.example', root); // rejects if it has ended
    serials.add(seen.serialNumber);
    return serials.size === 3;
  };
  await until(isRenewed, `two renewals; there is:\n${running.stderr}`, 40_000);
  await until(() => times(running, ISSUED) >= 3, 'the log says so');
  assert.equal(times(running, ORDERED), 1);
  await stopped(running);
});

test('without the authority the old certificate stays, and it is tried again', {
  timeout: 60_000,
}, async (t) => {
  if (!(await hasPebble(t))) return;
  const at = await site(t, { validity: 15 });
  const running = await started(t, at, config(at, 'a.example'));
  await running.logged(ISSUED);
  const old = await shown(at.tls, 'a.example', await at.authority.root());
  await at.authority.stop();
  const line = await running.logged(NOT_RENEWED);
  assert.deepEqual([line.domain, line.code, line.level], ['a.example', 'directory', 'error']);
  assert.match(String(line.why), /^localhost:\d+ cannot be reached: .*ECONNREFUSED/);
  assert.match(String(line.fix), /check the URL/);
  assert.match(String(line.again_in), /^\d+s$/);
  assert.equal((await shown(at.tls, 'a.example')).serialNumber, old.serialNumber);
  const failed = await metric(at, 'ironsluice_acme_order_failures_total');
  assert.match(failed.join(), /^ironsluice_acme_order_failures_total\{code="directory"\} \d+$/);

  await at.authority.start();
  const root = await at.authority.root();
  const isBack = (): Promise<boolean> =>
    shown(at.tls, 'a.example', root).then(
      () => true,
      () => false,
    );
  await until(isBack, `one by the new root; there is:\n${running.stderr}`, 20_000);
  await stopped(running);
});

test('a domain that leads elsewhere gets no certificate, and is told why', {
  timeout: 60_000,
}, async (t) => {
  if (!(await hasPebble(t))) return;
  const at = await site(t, { closed: true });
  const running = await started(t, at, config(at, 'a.example', ', challenge: http-01'));
  const line = await running.logged(NOT_ISSUED);
  assert.equal(line.code, 'challenge');
  assert.match(String(line.why), /connection|refused/i);
  assert.match(String(line.fix), /a\.example must lead here.*port 80 of it to a listener without tls/);
  await assert.rejects(shown(at.tls, 'a.example'), /alert|ECONNRESET|disconnected/i);
  const refused = await metric(at, 'ironsluice_tls_handshake_failures_total');
  assert.match(refused.join('\n'), /code="no_certificate"\} 1/);
  const failed = await metric(at, 'ironsluice_acme_order_failures_total');
  assert.deepEqual(failed, ['ironsluice_acme_order_failures_total{code="challenge"} 1']);
  await stopped(running);
});

test('a reload orders what is new, and gives up what is gone', async (t) => {
  if (!(await hasPebble(t))) return;
  const at = await site(t);
  const running = await started(t, at, config(at, 'a.example, b.example'));
  await until(() => times(running, ISSUED) === 2, 'two certificates', 30_000);
  const root = await at.authority.root();
  const b = await shown(at.tls, 'b.example', root);
  await writeFile(join(at.cwd, 'a.yaml'), config(at, 'c.example, b.example'));
  running.child.kill('SIGHUP');
  await until(() => times(running, ISSUED) === 3, `a third; there is:\n${running.stderr}`, 30_000);
  assert.equal((await shown(at.tls, 'c.example', root)).subjectAltName, 'DNS:c.example');
  assert.equal((await shown(at.tls, 'b.example', root)).serialNumber, b.serialNumber);
  assert.equal((await shown(at.tls, 'a.example')).subjectAltName, 'DNS:c.example', 'as for any other name');
  const ends = await metric(at, 'ironsluice_certificate_not_after_seconds');
  assert.deepEqual(ends.map((line) => /name="(.*?)"/.exec(line)?.[1]).sort(), ['b.example', 'c.example']);
  await stopped(running);
});

test('keys of acme that do not go together are faults', async (t) => {
  const good = 'domains: [a.example], terms: accepted';
  const cases: [string, RegExp][] = [
    ['domains: [a.example]', /tls\.acme\.terms +terms is missing/],
    ['terms: accepted', /tls\.acme\.domains +domains is missing/],
    ['domains: [a.example], terms: yes', /tls\.acme\.terms +.*accepted/],
    ['domains: [], terms: accepted', /tls\.acme\.domains +there is no domain/],
    ['domains: ["*.a.example"], terms: accepted', /domains\[0\] +"\*\.a\.example" is a wildcard/],
    ['domains: [127.0.0.1], terms: accepted', /domains\[0\] +"127\.0\.0\.1" is no domain/],
    ['domains: ["a/b"], terms: accepted', /domains\[0\] +"a\/b" is no domain/],
    [`${good}, email: ops`, /acme\.email +"ops" is no e-mail address/],
    [`${good}, directory: "http://a.example/dir"`, /acme\.directory +"http:\/\/a\.example\/dir" is no URL/],
    [`${good}, challenge: dns-01`, /acme\.challenge +"dns-01" is not a choice/],
    [`${good}, challenge: http-01`, /acme\.challenge +http-01 is asked at port 80 without TLS/],
    [`${good}, ca: none.pem`, /acme\.ca +none\.pem cannot be read/],
    [`${good}, share: {}`, /acme\.share\.secret +secret is missing/],
    [`${good}, share: { secret: short }`, /acme\.share\.secret +is not 32 to 1024 bytes/],
    [`${good}, share: { secret: ${'x'.repeat(32)} }`, /acme\.share +.*and store is memory/],
  ];
  const listener = (acme: string, port: number): string =>
    `{ name: w${port}, bind: "127.0.0.1:${port}", tls: { acme: { ${acme} } } }`;
  for (const [acme, wanted] of cases) {
    await faulty(t, `state_dir: s\nlisteners: [${listener(acme, 1)}]\n`, wanted);
  }
  await faulty(t, `listeners: [${listener(good, 1)}]\n`, /tls\.acme +there is no place to keep/);
  const two = `listeners: [${listener(good, 1)}, ${listener(`${good}, email: a@b.example`, 2)}]`;
  await faulty(
    t,
    `state_dir: s\n${two}\n`,
    /\[1\]\.tls\.acme\.domains\[0\] +"a\.example" is asked .* in another way at/,
  );

  const both = `listeners: [${listener(good, 1)}, ${listener(good, 2)}]`;
  const path = join(await folder(t, { 'a.yaml': `state_dir: s\n${both}\n` }), 'a.yaml');
  const { acme } = judge(await loadFile(path));
  assert.deepEqual(
    acme.map(({ domain, challenge, directory }) => [domain, challenge, directory]),
    [['a.example', 'tls-alpn-01', 'https://acme-v02.api.letsencrypt.org/directory']],
    'two listeners, one order',
  );
});

async function faulty(t: TestContext, text: string, wanted: RegExp): Promise<void> {
  const path = join(await folder(t, { 'a.yaml': text }), 'a.yaml');
  const loaded = await loadFile(path);
  assert.throws(
    () => judge(loaded),
    (error) => {
      assert.ok(error instanceof ConfigError);
      assert.match(error.message, wanted, text);
      return true;
    },
  );
}
