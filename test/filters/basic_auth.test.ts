/**
 * basic_auth: a known name and password open, the user is the consumer, and no password is shown anywhere.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import type { BasicAuthFilter, Filter } from '../../ts/generated/config.js';
import { checkConfig } from '../../ts/index.js';
import { folder, ironsluice, launch } from '../kit/binary.js';
import { curl } from '../kit/curl.js';
import { filtered } from '../kit/filtered.js';
import { origin } from '../kit/origin.js';

const user = (name: string, password: string): string => {
  const salt = 'salt-and-pepper';
  const hash = createHash('sha256').update(password).update(salt).digest();
  return `${name}:{SSHA256}${Buffer.concat([hash, Buffer.from(salt)]).toString('base64')}`;
};
const USERS = [user('ali', 'C4n4ry open sesame'), user('else', 'C4n4ry:ä')];
const login = (more: Partial<BasicAuthFilter> = {}): Filter => ({ use: 'basic_auth', users: USERS, ...more });

test('curl gets in with a login, which goes no further; its user is told', async (t) => {
  const edge = await filtered(t, [login()]);
  for (const [words, name] of [
    [['-u', 'ali:C4n4ry open sesame'], 'ali'],
    [['-u', 'else:C4n4ry:ä', '-H', 'Ironsluice-Consumer: admin'], 'else'],
  ] as const) {
    assert.equal((await curl(...words, `${edge.url}/`)).status, 200);
    const seen = edge.up.seen.at(-1);
    assert.equal(seen?.headers['ironsluice-consumer'], name);
    assert.equal(seen?.headers.authorization, undefined);
  }
  await edge.gateway.reload(edge.config([login({ forward: true })]));
  await curl('-u', 'ali:C4n4ry open sesame', `${edge.url}/`);
  assert.match(edge.up.seen.at(-1)?.headers.authorization ?? '', /^Basic /);
});

test('what is refused, with which words, and nothing of it reaches the origin', async (t) => {
  const edge = await filtered(t, [login({ realm: 'Staff only' })]);
  const cases: [words: string[], code: string][] = [
    [[], 'basic_auth_missing'],
    [['-H', 'Authorization: Bearer abc'], 'basic_auth_missing'],
    [['-u', 'ali:wrong'], 'basic_auth_refused'],
    [['-u', 'nobody:C4n4ry open sesame'], 'basic_auth_refused'],
    [['-u', 'ali:'], 'basic_auth_refused'],
    [['-H', 'Authorization: Basic ???'], 'basic_auth_refused'],
    [['-H', `Authorization: Basic ${btoa('ali')}`], 'basic_auth_refused'],
    [['-u', 'ali:C4n4ry open sesame', '-H', `Authorization: Basic ${btoa('ali:x')}`], 'basic_auth_refused'],
    [['-u', `ali:${'x'.repeat(2000)}`], 'basic_auth_refused'],
  ];
  for (const [words, code] of cases) {
    const answer = await curl(...words, `${edge.url}/`);
    assert.deepEqual([answer.status, JSON.parse(answer.body).code], [401, code], words.join(' '));
    assert.equal(answer.headers['www-authenticate'], 'Basic realm="Staff only", charset="UTF-8"');
  }
  assert.equal(edge.up.hits, 0);
});

test('each user has a limit of its own, nobody passes where nobody must have a login, and preflights', async (t) => {
  const edge = await filtered(t, [login(), { use: 'rate_limit', rate: '1/m', burst: 1, key: 'consumer' }]);
  const status = async (who: string): Promise<number> => (await curl('-u', who, `${edge.url}/`)).status;
  const ali = 'ali:C4n4ry open sesame';
  assert.deepEqual([await status(ali), await status(ali), await status('else:C4n4ry:ä')], [200, 429, 200]);

  const preflight = [
    '-X',
    'OPTIONS',
    '-H',
    'Origin: https://a.example',
    '-H',
    'Access-Control-Request-Method: PUT',
  ];
  for (const [more, words, want] of [
    [{ anonymous: true }, [], 200],
    [{ anonymous: true }, ['-u', 'ali:wrong'], 401],
    [{ preflight: 'pass' }, preflight, 200],
    [{}, preflight, 401],
  ] as const) {
    await edge.gateway.reload(edge.config([login(more)]));
    assert.equal((await curl(...words, `${edge.url}/`)).status, want);
  }
});

test('a login of the command opens, and a hash of another kind is refused with its reason', async (t) => {
  const made = await ironsluice(t, ['key', 'basic', 'new-one', '--json'], {});
  const { name, password, user: line } = JSON.parse(made.stdout);
  const edge = await filtered(t, [{ use: 'basic_auth', users: [line] }]);
  assert.equal((await curl('-u', `${name}:${password}`, `${edge.url}/`)).status, 200);
  assert.equal((await curl('-u', `${name}:${password}x`, `${edge.url}/`)).status, 401);
  for (const [hash, why] of [
    ['$2y$05$c4WoMPo3SXsafkva.HHa6uXQZWr7oboPiC2bT/r7q1BB8I2s0BRqC', /slow.*ironsluice key basic/s],
    ['$apr1$C4n4ry$x', /weak/],
    ['C4n4ry', /no \{SSHA256\}/],
  ] as const) {
    const config = edge.config([{ use: 'basic_auth', users: [`ali:${hash}`] }]);
    await assert.rejects(checkConfig(config), (error: Error) => {
      assert.match(error.message, why);
      assert.doesNotMatch(error.message, /C4n4ry|c4WoMPo3/);
      return true;
    });
  }
});

test('no password is in a log or a metric', async (t) => {
  const up = await origin(t);
  const config = {
    listeners: [{ name: 'web', bind: '127.0.0.1:0' }],
    admin: { bind: '127.0.0.1:0' },
    access_log: { to: 'stdout', format: 'line $consumer $header_authorization $status' },
    upstreams: [{ name: 'up', endpoints: [up.address] }],
    routes: [{ name: 'all', filters: [login({ forward: true })], to: 'up' }],
  };
  const cwd = await folder(t, { 'c.json': JSON.stringify(config) });
  const running = launch(t, ['start', '--config', 'c.json', '--log-level', 'trace', '--log-format', 'json'], {
    cwd,
  });
  const { address } = await running.logged('listening');
  const sent = ['ali:C4n4ry open sesame', 'ali:C4n4ry wrong'];
  for (const who of sent) await curl('-u', who, `http://${address}/`);
  await running.printed(/^line ali \[redacted\] 200$/m);
  await running.printed(/^line - \[redacted\] 401$/m);
  const { address: admin } = await running.logged('admin listening');
  const shown = await curl(`http://${admin}/metrics`);
  running.child.kill('SIGTERM');
  const { stdout, stderr } = await running.ended();
  const all = `${stdout}${stderr}${shown.body}`;
  assert.doesNotMatch(all, /C4n4ry/);
  for (const who of sent) assert.ok(!all.includes(btoa(who)));
});
