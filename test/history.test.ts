/**
 * `ironsluice history` and `rollback N`: what is kept, what comes back, and what of it survives a restart.
 */
import assert from 'node:assert/strict';
import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { folder, ironsluice, launch, type Running } from './kit/binary.js';
import { until } from './kit/until.js';

const config = (status: number, more = ''): string => `
admin: { bind: 127.0.0.1:0 }
state_dir: state
listeners: [{ name: web, bind: 127.0.0.1:0 }]
routes: [{ name: r${status}, filters: [{ use: respond, status: ${status}, headers: { x-value: "\${TOKEN:-none}" } }] }]
${more}`;

interface Started {
  running: Running;
  admin: string;
  status(): Promise<number>;
  reload(status: number, more?: string): Promise<void>;
  end(): Promise<void>;
}

async function start(t: TestContext, cwd: string, env: Record<string, string> = {}): Promise<Started> {
  const running = launch(t, ['start', '--config', 'a.yaml', '--log-format', 'json'], { cwd, env });
  const admin = String((await running.logged('admin listening')).address);
  const { address } = await running.logged('listening');
  return {
    running,
    admin,
    status: async () => (await fetch(`http://${address}`)).status,
    async reload(status, more) {
      await writeFile(join(cwd, 'a.yaml'), config(status, more));
      const done = await ironsluice(t, ['reload', '--admin', admin], { cwd });
      assert.equal(done.code, 0, done.stderr);
    },
    async end() {
      running.child.kill('SIGTERM');
      assert.equal((await running.ended()).code, 0);
    },
  };
}

type Row = { number: number; by: string; changes: string; rolledBack: boolean; at: string };

async function list(t: TestContext, cwd: string): Promise<Row[]> {
  const { code, stdout, stderr } = await ironsluice(t, ['history', '-c', 'a.yaml', '--json'], { cwd });
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout);
}

async function folderOf(cwd: string): Promise<string> {
  const [name = ''] = (await readdir(join(cwd, 'state'))).filter((file) => file.startsWith('history-'));
  return join(cwd, 'state', name);
}

test('what is published is listed with its changes, and comes back by its number, also over a restart', async (t) => {
  const cwd = await folder(t, { 'a.yaml': config(201) });
  const rollback = (...words: string[]): ReturnType<typeof ironsluice> =>
    ironsluice(t, ['rollback', '-c', 'a.yaml', ...words], { cwd });
  const env = { TOKEN: 'hunter2' };
  const first = await start(t, cwd, env);
  await first.reload(202);
  await first.reload(203, 'drain_timeout: 5s\n');
  await first.reload(203, 'drain_timeout: 5s # nothing new\n');

  const rows = await list(t, cwd);
  assert.deepEqual(
    rows.map(({ number, changes }) => [number, changes]),
    [
      [3, 'routes +r203 -r202; drain_timeout'],
      [2, 'routes +r202 -r201'],
      [1, 'the first that is kept'],
    ],
  );
  assert.match(rows[0]?.by ?? '', /^reload( by [\w.@-]+)?$/);
  assert.equal(rows[2]?.by, 'start');
  const text = (await ironsluice(t, ['history', '-c', 'a.yaml'], { cwd })).stdout;
  assert.match(
    text,
    /^ {2}3 {2}\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC {2}reload.* {2}routes \+r203 -r202; drain_timeout\n/,
  );
  assert.doesNotMatch(text, /hunter2/);

  // Only this user may read it, for what variables had is in it.
  const kept = await folderOf(cwd);
  assert.equal((await stat(kept)).mode & 0o777, 0o700);
  for (const name of await readdir(kept))
    assert.equal((await stat(join(kept, name))).mode & 0o777, 0o600, name);

  const done = await rollback('1', '--admin', first.admin);
  assert.deepEqual([done.code, done.stdout], [0, 'number 1 is published as revision 5\n'], done.stderr);
  assert.equal(await first.status(), 201);
  const shown = await (await fetch(`http://${first.admin}/config`)).text();
  assert.match(shown, /\$\{TOKEN:-none\}/);
  assert.doesNotMatch(shown, /hunter2/);
  const [newest, , , oldest] = await list(t, cwd);
  assert.match(newest?.by ?? '', /^rollback to 1, /);
  assert.equal(oldest?.rolledBack, true);
  await first.end();

  // The file still says 203; it has not changed since.
  const second = await start(t, cwd);
  await second.running.logged('the config was rolled back, and its files have not changed since');
  assert.equal(await second.status(), 201);
  await second.end();

  // Once it changes, it counts.
  await writeFile(join(cwd, 'a.yaml'), config(204));
  const third = await start(t, cwd);
  assert.equal(await third.status(), 204);
  assert.equal((await rollback('2', '--admin', third.admin)).code, 0);
  assert.equal(await third.status(), 202);
  // And a reload reads it too, and holds.
  assert.equal((await ironsluice(t, ['reload', '--admin', third.admin], { cwd })).code, 0);
  assert.equal(await third.status(), 204);
  await third.end();
  const fourth = await start(t, cwd);
  assert.equal(await fourth.status(), 204);

  const unknown = await rollback('99', '--admin', fourth.admin);
  assert.equal(unknown.code, 1);
  assert.match(unknown.stderr, /no revision 99 is kept: 1 to \d are/);
  await fourth.end();
});

test('without a gateway that runs, it is for the next start, also past a config that has faults', async (t) => {
  const fixed = (text: string): string => text.replace('127.0.0.1:0 }\nstate', '127.0.0.1:1 }\nstate');
  const cwd = await folder(t, { 'a.yaml': config(201) });
  const first = await start(t, cwd);
  await first.reload(202);
  await first.end();
  // Nobody can listen at port 1 of loopback here.
  await writeFile(join(cwd, 'a.yaml'), `${fixed(config(203))}surprise: 1\n`);
  assert.equal((await ironsluice(t, ['start', '-c', 'a.yaml'], { cwd })).code, 1);

  const done = await ironsluice(t, ['rollback', '1', '-c', 'a.yaml'], { cwd });
  assert.equal(done.code, 0, done.stderr);
  assert.match(done.stdout, /^number 1 will run at the next start: .*cannot be reached/);
  const second = await start(t, cwd);
  assert.equal(await second.status(), 201);
  await second.end();

  const cases: [string[], number, RegExp][] = [
    [['rollback'], 2, /takes the number of a revision/],
    [['rollback', '0'], 2, /takes the number of a revision/],
    [['rollback', 'x', '-c', 'a.yaml'], 2, /takes the number of a revision/],
    [['rollback', '7', '-c', 'a.yaml'], 1, /no revision 7 is kept: 1 to 3 are/],
    [['rollback', '1', '-c', 'a.yaml', '--admin', '127.0.0.1:1'], 3, /cannot be reached/],
  ];
  for (const [words, code, wanted] of cases) {
    const told = await ironsluice(t, words, { cwd });
    assert.equal(told.code, code, words.join(' '));
    assert.match(told.stderr, wanted, words.join(' '));
  }
});

test('a number and a size bound what is kept; files that were tampered with are not run', async (t) => {
  const cwd = await folder(t, { 'a.yaml': config(201, 'history: { revisions: 3 }\n') });
  const { reload, admin, end, status } = await start(t, cwd);
  for (const code of [202, 203, 204, 205]) await reload(code, 'history: { revisions: 3 }\n');
  assert.deepEqual(
    (await list(t, cwd)).map(({ number }) => number),
    [5, 4, 3],
  );

  const kept = await folderOf(cwd);
  const file = join(kept, '3.jsonl');
  await writeFile(file, (await readFile(file, 'utf8')).replace('"status":203', '"status":299'));
  const told = await ironsluice(t, ['rollback', '3', '--admin', admin, '-c', 'a.yaml'], { cwd });
  assert.equal(told.code, 1);
  assert.equal(await status(), 205);

  // Each of these has more than half of the bytes.
  const long = `history: { size: 1MiB }\napps: []\nupstreams: [${Array.from({ length: 9000 }, (_, i) => `{ name: upstream-${i}, endpoints: ["127.0.0.1:${1000 + i}"] }`)}]\n`;
  await reload(206, long);
  await reload(207, long);
  assert.deepEqual(
    (await list(t, cwd)).map(({ number }) => number),
    [7],
  );

  await reload(208, 'history: { revisions: 0 }\n');
  assert.deepEqual(await list(t, cwd), []);
  await end();
});

test('the admin API takes a number and nothing else', async (t) => {
  const cwd = await folder(t, { 'a.yaml': config(201) });
  const { admin, running } = await start(t, cwd);
  const json = { 'content-type': 'application/json' };
  const cases: [string, Record<string, string>, string | undefined, number][] = [
    ['POST', json, '{"number":1}', 200],
    ['POST', json, '{"number":9}', 404],
    ['POST', json, '{"number":"1"}', 400],
    ['POST', json, '{"number":1.5}', 400],
    ['POST', json, 'x', 400],
    ['POST', json, `{"number":${' '.repeat(2000)}1}`, 413],
    ['POST', {}, '{"number":1}', 415],
    ['POST', { ...json, origin: 'http://evil.example' }, '{"number":1}', 403],
    ['GET', {}, undefined, 405],
  ];
  for (const [method, headers, body, status] of cases) {
    const answer = await fetch(`http://${admin}/rollback`, {
      method,
      headers,
      ...(body === undefined ? {} : { body }),
    });
    assert.equal(answer.status, status, `${method} ${JSON.stringify(headers)} ${body?.slice(0, 40)}`);
  }
  await writeFile(join(cwd, 'a.yaml'), config(202));
  running.child.kill('SIGHUP');
  await until(async () => (await list(t, cwd))[0]?.by === 'SIGHUP', 'the entry of SIGHUP');
  await rm(join(cwd, 'state'), { recursive: true });
  assert.equal(
    (await fetch(`http://${admin}/rollback`, { method: 'POST', headers: json, body: '{"number":1}' })).status,
    404,
  );
});
