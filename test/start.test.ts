/**
 * `ironsluice start`: signals, reloads from outside, and a start without its config.
 */
import assert from 'node:assert/strict';
import { existsSync, rmSync } from 'node:fs';
import { readdir, rm, stat, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { folder, ironsluice, launch, type Running } from './kit/binary.js';
import { origin } from './kit/origin.js';
import { until } from './kit/until.js';

interface Started {
  running: Running;
  url: string;
  admin: string;
}

async function start(t: TestContext, cwd: string, words: string[] = []): Promise<Started> {
  const running = launch(t, ['start', '--config', 'a.yaml', '--log-format', 'json', ...words], { cwd });
  const admin = String((await running.logged('admin listening')).address);
  const { address } = await running.logged('listening');
  return { running, url: `http://${address}`, admin };
}

const config = (status: number, more = ''): string => `
admin: { bind: 127.0.0.1:0 }
listeners: [{ name: web, bind: 127.0.0.1:0 }]
routes: [{ name: all, filters: [{ use: respond, status: ${status} }] }]
${more}`;

test('SIGHUP and the reload command publish; a bad config is logged and changes nothing', async (t) => {
  const cwd = await folder(t, { 'a.yaml': config(201) });
  const { running, url, admin } = await start(t, cwd);
  const status = async (): Promise<number> => (await fetch(url)).status;
  assert.equal(await status(), 201);

  await writeFile(join(cwd, 'a.yaml'), config(202));
  running.child.kill('SIGHUP');
  await until(async () => (await status()) === 202, 'the config after SIGHUP');

  await writeFile(join(cwd, 'a.yaml'), config(203));
  const done = await ironsluice(t, ['reload', '--admin', admin], { cwd });
  assert.deepEqual([done.code, done.stdout], [0, 'revision 3 is published\n'], done.stderr);
  assert.equal(await status(), 203);

  await writeFile(join(cwd, 'a.yaml'), config(1));
  const refused = await ironsluice(t, ['reload', '--admin', admin], { cwd });
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /a\.yaml: 1 fault\n {2}4:\d+ {2}routes\[0\]\.filters\[0\]\.status /);
  running.child.kill('SIGHUP');
  await running.logged('the reload was refused; the old config stays');
  assert.equal(await status(), 203);

  running.child.kill('SIGTERM');
  assert.equal((await running.ended()).code, 0);
  const late = await ironsluice(t, ['reload', '--admin', admin], { cwd });
  assert.equal(late.code, 3);
  assert.match(late.stderr, /nothing listens there/);
});

test('SIGTERM finishes what is in flight and takes nothing new; a second SIGINT stops at once', async (t) => {
  let finish = (): void => {};
  const up = await origin(t, (_request, response) => {
    finish = () => response.end('done');
  });
  const text = `
admin: { bind: 127.0.0.1:0 }
drain_timeout: 60s
listeners: [{ name: web, bind: 127.0.0.1:0 }]
upstreams: [{ name: up, endpoints: ["${up.address}"] }]
routes: [{ name: all, to: up }]
`;
  const cwd = await folder(t, { 'a.yaml': text });
  const { running, url } = await start(t, cwd);

  const answer = fetch(`${url}/1`);
  await up.reached(1);
  running.child.kill('SIGTERM');
  await until(() => refused(new URL(url)), 'a refused connection');
  finish();
  assert.equal(await (await answer).text(), 'done');
  assert.equal((await running.ended()).code, 0);

  const second = await start(t, cwd);
  const cut = fetch(`${second.url}/2`).then(
    () => 'answered',
    () => 'cut',
  );
  await up.reached(2);
  second.running.child.kill('SIGINT');
  await second.running.logged('finishing what is in flight; Ctrl-C again to stop at once');
  await until(() => {
    // A few times, for one that follows at once is taken for an echo of the first.
    second.running.child.kill('SIGINT');
    return second.running.child.exitCode !== null;
  }, 'the end after a second SIGINT');
  assert.equal((await second.running.ended()).code, 130);
  assert.equal(await cut, 'cut');
});

test('a signal that comes while it starts is obeyed when it has', async (t) => {
  const up = await origin(t);
  const cwd = await folder(t, {
    'app.mjs': `import { writeFileSync } from 'node:fs';
      writeFileSync(import.meta.dirname + '/loading', '');
      await new Promise((go) => setTimeout(go, 300));
      export default () => 'x';`,
    'ironsluice.json': JSON.stringify({
      workers: 1,
      admin: 'off',
      apps: [{ name: 'slow', module: './app.mjs' }],
      listeners: [{ name: 'web', bind: '127.0.0.1:0' }],
      upstreams: [{ name: 'up', endpoints: [up.address] }],
      routes: [{ name: 'all', to: 'up' }],
    }),
  });
  for (const signal of ['SIGTERM', 'SIGHUP'] as const) {
    const running = launch(t, ['start', '--log-format', 'json'], { cwd });
    const loading = join(cwd, 'loading');
    await until(() => existsSync(loading), 'its app is being loaded');
    rmSync(loading);
    running.child.kill(signal);
    if (signal === 'SIGHUP') {
      await running.logged('a config was published');
      running.child.kill('SIGTERM');
    }
    assert.equal((await running.ended()).code, 0, signal);
  }
});

test('the last good config is kept, in private, and serves when the source is gone', async (t) => {
  const cwd = await folder(t, { 'a.yaml': config(201, 'state_dir: state') });
  const first = await start(t, cwd);
  await writeFile(join(cwd, 'a.yaml'), config(202, 'state_dir: state'));
  first.running.child.kill('SIGHUP');
  await first.running.logged('a config was published');
  first.running.child.kill('SIGTERM');
  await first.running.ended();

  const names = await readdir(join(cwd, 'state'));
  const [name = '', ...others] = names.filter((file) => !file.startsWith('history-'));
  assert.deepEqual(others, [], 'no temporary files');
  assert.equal((await stat(join(cwd, 'state'))).mode & 0o777, 0o700);
  assert.equal((await stat(join(cwd, 'state', name))).mode & 0o777, 0o600);

  await rm(join(cwd, 'a.yaml'));
  const again = await start(t, cwd);
  assert.equal((await again.running.logged('THE CONFIG IS GONE: running the last good one')).level, 'error');
  assert.equal((await fetch(again.url)).status, 202);
  again.running.child.kill('SIGTERM');
  assert.equal((await again.running.ended()).code, 0);

  await writeFile(join(cwd, 'state', name), '{"source": 1}');
  const broken = await ironsluice(t, ['start', '--config', 'a.yaml'], { cwd });
  assert.equal(broken.code, 1);
  assert.match(broken.stderr, /there is no file a\.yaml/);
});

test('an address that is taken ends the start with words and code 3', async (t) => {
  const cwd = await folder(t, { 'a.yaml': config(201) });
  const { url } = await start(t, cwd);
  const taken = config(201).replace('127.0.0.1:0 }]', `${new URL(url).host} }]`);
  await writeFile(join(cwd, 'b.yaml'), taken);

  const done = await ironsluice(t, ['start', '--config', 'b.yaml'], { cwd });

  assert.equal(done.code, 3);
  assert.match(done.stderr, /listener "web" cannot listen on .*another program listens there/);
});

function refused({ hostname, port }: URL): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: hostname, port: Number(port) });
    socket.once('connect', () => resolve(false));
    socket.once('error', () => resolve(true));
    socket.once('close', () => resolve(true));
    socket.once('connect', () => socket.destroy());
  });
}
