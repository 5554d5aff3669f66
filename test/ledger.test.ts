/**
 * The ledger of quotas: a restart resets nothing, a process that is killed loses what was stated at most, and what is missing from
 * the files is found.
 */
import assert from 'node:assert/strict';
import { chmod, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Config } from '../ts/index.js';
import { check } from '../ts/ledger/check.js';
import { type Entry, entryOf, nameOf, placeOf } from '../ts/ledger/format.js';
import { Ledger } from '../ts/ledger/ledger.js';
import { totals } from '../ts/ledger/read.js';
import { createLog } from '../ts/log.js';
import type { Settings } from '../ts/native.js';
import { folder, ironsluice, launch, type Running } from './kit/binary.js';
import { by, keysOf } from './kit/consumers.js';
import { gateway } from './kit/gateway.js';
import { origin } from './kit/origin.js';
import { until } from './kit/until.js';

const LOG = createLog({ level: 'silent' });

function config(state: string, up: string, limit = 5): Config {
  return {
    listeners: [{ name: 'web', bind: '127.0.0.1:0' }],
    admin: 'off',
    state_dir: state,
    upstreams: [{ name: 'up', endpoints: [up] }],
    routes: [
      {
        name: 'all',
        to: 'up',
        filters: [keysOf('ali', 'bo'), { use: 'quota', per: 'month', limit, name: 'q' }],
      },
    ],
  };
}

/** All entries in the files. */
async function entries(dir: string): Promise<Entry[]> {
  const names = (await readdir(dir).catch(() => [])).filter((name) => placeOf(name) !== undefined);
  const texts = await Promise.all(names.sort().map((name) => readFile(join(dir, name), 'utf8')));
  return texts.flatMap((text) => text.split('\n')).flatMap((line) => entryOf(line) ?? []);
}

test('what was used counts after a restart, and the ledger has it once', async (t) => {
  const [state, up] = [await folder(t), await origin(t)];
  const statuses: number[] = [];
  for (let start = 0; start < 4; start += 1) {
    const edge = await gateway(t, config(state, up.address));
    for (let n = 0; n < 2; n += 1) statuses.push((await edge.get('/', by('ali'))).status);
    await edge.gateway.close();
  }
  assert.deepEqual(statuses, [200, 200, 200, 200, 200, 429, 429, 429]);

  const checked = await check(join(state, 'ledger'));
  assert.deepEqual([checked.findings, checked.unended], [[], []]);
  const now = new Date();
  const window = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth())).toISOString();
  assert.deepEqual(checked.sums, [
    { quota: 'q', unit: 'requests', per: 'month', consumer: 'ali', window, charges: 5, units: 5 },
  ]);
  assert.equal(checked.files, 3, 'a start that charged nothing has no file');
});

test('a quota that a reload brings begins from the ledger, and without state_dir there is none', async (t) => {
  const [state, up] = [await folder(t), await origin(t)];
  const first = await gateway(t, config(state, up.address, 2));
  assert.equal((await first.get('/', by('ali'))).status, 200);
  await first.gateway.close();

  const whole = config(state, up.address, 2);
  const bare = { ...whole, routes: [{ name: 'all', to: 'up' }] };
  const second = await gateway(t, bare);
  assert.equal((await second.get('/')).status, 200);
  await second.gateway.reload(whole);
  const statuses = [await second.get('/', by('ali')), await second.get('/', by('ali'))];
  assert.deepEqual(
    statuses.map(({ status }) => status),
    [200, 429],
  );
  await second.gateway.close();

  const { state_dir: _, ...rest } = whole;
  const third = await gateway(t, rest);
  assert.equal((await third.get('/', by('ali'))).status, 200);
});

test('a process that is killed loses what came after its last write at most', async (t) => {
  const up = await origin(t);
  const state = await folder(t);
  const dir = join(state, 'ledger');
  const file = join(state, 'a.json');
  await writeFile(file, JSON.stringify(config(join(state), up.address, 1_000)));
  const start = async (): Promise<[Running, (n: number) => Promise<void>]> => {
    const running = launch(t, ['start', '--config', file, '--log-format', 'json']);
    const line = await running.logged('listening');
    const at = JSON.stringify(line).match(/127\.0\.0\.1:\d+/)?.[0];
    const ask = async (n: number): Promise<void> => {
      for (let i = 0; i < n; i += 1) {
        const answer = await fetch(`http://${at}/`, by('ali'));
        assert.equal(answer.status, 200);
        left = Number(/r=(\d+)/.exec(answer.headers.get('ratelimit') ?? '')?.[1]);
      }
    };
    return [running, ask];
  };
  let left = 0;
  const units = async (): Promise<number> => (await entries(dir)).reduce((sum, e) => sum + (e.units ?? 0), 0);

  const [killed, ask] = await start();
  await ask(20);
  await until(async () => (await units()) === 20, 'what was charged is written within its second');
  await ask(7);
  killed.child.kill('SIGKILL');
  await killed.ended();
  const written = await units();
  assert.ok(written >= 20 && written <= 27, `${written} of 27`);
  const { unended, findings } = await check(dir);
  assert.deepEqual([unended.length, findings], [1, []]);

  const [again, askAgain] = await start();
  await askAgain(1);
  assert.equal(left, 1_000 - written - 1, 'what was written counts');
  again.child.kill('SIGTERM');
  assert.equal((await again.ended()).code, 0);
  assert.equal(await units(), written + 1);
  assert.equal((await check(dir)).unended.length, 1);
});

test('what is missing, there twice or broken is found, and counts once', async (t) => {
  const line = (sequence: number, more: object = {}): string =>
    JSON.stringify({
      ...{ lane: 0, sequence, time: 1, quota: 'q', unit: 'bytes', per: 'day' },
      ...{ consumer: 'ali', route: 'r', window: 0, charges: 1, units: 10 },
      ...more,
    });
  const [a, b] = ['1795759200000-00aa', '1795759300000-00bb'];
  const head = (start: string, file: number, positions = {}): string =>
    JSON.stringify({ ledger: 1, start, file, time: 1, carried: { positions, usage: [] } });
  const END = '{"end":true}';
  const lost = { consumer: undefined, window: undefined, units: undefined, lost: { charges: 3, units: 30 } };
  const cases: [what: string, files: Record<string, string[]>, found: RegExp[], units: number][] = [
    ['whole', { [nameOf(a, 1)]: [head(a, 1), line(1), line(2), line(1, { lane: 3 }), END] }, [], 30],
    [
      'a gap',
      { [nameOf(a, 1)]: [head(a, 1), line(1), line(4), END] },
      [/^gap: entries 2 to 3 of lane 0/],
      20,
    ],
    ['a gap at the start', { [nameOf(a, 1)]: [head(a, 1), line(2), END] }, [/^gap: entry 1 of lane 0/], 10],
    ['twice', { [nameOf(a, 1)]: [head(a, 1), line(1), line(1), line(2), END] }, [/^duplicate: entry 1 /], 20],
    [
      'each start counts from 1',
      { [nameOf(a, 1)]: [head(a, 1), line(1), END], [nameOf(b, 1)]: [head(b, 1), line(1), END] },
      [],
      20,
    ],
    [
      'a file in the middle',
      {
        [nameOf(a, 1)]: [head(a, 1), line(1)],
        [nameOf(a, 3)]: [head(a, 3, { [a]: { 0: 5 } }), line(6), END],
      },
      [/^gap: entries 2 to 5 of lane 0/],
      20,
    ],
    [
      'the last file of a start',
      {
        [nameOf(a, 1)]: [head(a, 1), line(1)],
        [nameOf(b, 1)]: [head(b, 1, { [a]: { 0: 2, 1: 1 } }), line(1)],
        [nameOf(b, 2)]: [head(b, 2, { [a]: { 0: 2, 1: 1 }, [b]: { 0: 1 } }), line(2), END],
      },
      [/^gap: entry 2 of lane 0 of 1795759200000/, /^gap: entry 1 of lane 1 of 1795759200000/],
      30,
    ],
    [
      'a start that was moved away',
      { [nameOf(b, 1)]: [head(b, 1, { [a]: { 0: 2 } }), line(1), END] },
      [],
      10,
    ],
    ['moved away', { [nameOf(a, 3)]: [head(a, 3, { [a]: { 0: 5 } }), line(6), END] }, [], 10],
    [
      'a broken line',
      { [nameOf(a, 1)]: [head(a, 1), line(1), '{"la', line(2), END] },
      [/^unreadable: line 3 /],
      20,
    ],
    ['a last line that broke off', { [nameOf(a, 1)]: [head(a, 1), line(1), '{"lane":0,"sequ'] }, [], 10],
    [
      'what did not fit',
      { [nameOf(a, 1)]: [head(a, 1), line(1), line(2, lost), END] },
      [/^lost: 3 charges of q, 30 /],
      40,
    ],
  ];
  for (const [what, files, found, units] of cases) {
    const texts = Object.entries(files).map(([name, lines]) => [name, lines.join('\n')] as const);
    const dir = await folder(t, Object.fromEntries(texts));
    const checked = await check(dir);
    const said = checked.findings.map((finding) => `${finding.kind}: ${finding.what}`);
    assert.equal(said.length, found.length, `${what}: ${said}`);
    for (const [at, pattern] of found.entries()) assert.match(said[at] ?? '', pattern, what);
    assert.equal(
      checked.sums.reduce((sum, one) => sum + one.units, 0),
      units,
      what,
    );
    const command = await ironsluice(t, ['ledger', 'check', dir]);
    assert.equal(command.code, found.length === 0 ? 0 : 1, what);
    for (const pattern of found)
      assert.match(command.stdout, new RegExp(pattern.source.replace(': ', ': \\S+: ').slice(1), 'm'));
  }
  const dir = await folder(t, { [nameOf(a, 1)]: [head(a, 1), line(1), line(2), END].join('\n') });
  const sum = await ironsluice(t, ['ledger', 'sum', dir]);
  assert.match(sum.stdout, /^q +ali +1970-01-01T00:00:00\.000Z +20 +bytes +2$/m);
  const json = await ironsluice(t, ['ledger', 'sum', dir, '--json']);
  assert.equal((JSON.parse(json.stdout) as { units: number }[])[0]?.units, 20);
  assert.equal((await ironsluice(t, ['ledger', 'check', await folder(t)])).code, 2);
  assert.equal((await ironsluice(t, ['ledger', 'burn'])).code, 2);
});

/** A core that hands out these charges, one a write. */
class Core {
  #sequence = 0;
  next = 0;
  takeUsage(): string {
    if (this.next === 0) return '';
    this.#sequence += 1;
    const entry: Entry = {
      ...{ lane: 0, sequence: this.#sequence, time: 1, quota: 'q', unit: 'requests', per: 'month' },
      ...{ consumer: 'ali', route: 'r', window: Math.floor(Date.now() / 1000), charges: 1, units: this.next },
    };
    this.next = 0;
    return `${JSON.stringify(entry)}\n`;
  }
}

async function opened(t: TestContext, state: string, core: Core): Promise<Ledger> {
  const ledger = new Ledger(LOG);
  await ledger.prepare({ hasQuotas: true, stateDir: state } as Settings);
  ledger.commit(core);
  t.after(() => ledger.close());
  return ledger;
}

test('a disk that refuses loses nothing: what waits is written when it takes again', async (t) => {
  const state = await folder(t);
  const dir = join(state, 'ledger');
  const core = new Core();
  const ledger = await opened(t, state, core);
  core.next = 1;
  await ledger.write();
  // Others could write to it now, so it is not to be trusted; and a new file is due, for the day is over.
  await chmod(dir, 0o777);
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() + 86_400_000 });
  core.next = 2;
  await ledger.write();
  assert.equal((await entries(dir)).length, 1);
  core.next = 4;
  await ledger.write();
  await chmod(dir, 0o700);
  await ledger.write();
  await ledger.write();
  assert.deepEqual(
    (await entries(dir)).map(({ units }) => units),
    [1, 2, 4],
  );
  await ledger.close();
  const { files, findings, unended } = await check(dir);
  assert.deepEqual([files, findings, unended], [2, [], []]);
});

test('the newest file is enough to derive what was used, and files of others are read beside it', async (t) => {
  const state = await folder(t);
  const dir = join(state, 'ledger');
  const core = new Core();
  const first = await opened(t, state, core);
  core.next = 3;
  await first.write();
  // A second process, while the first goes on; the first is of an older start.
  const other = new Core();
  const second = await opened(t, state, other);
  other.next = 10;
  await second.write();
  core.next = 4;
  await first.write();
  await first.close();
  await second.close();
  const sum = async (): Promise<number> =>
    (await totals(dir)).kept().reduce((all, { units }) => all + units, 0);
  assert.equal(await sum(), 17);

  const third = new Core();
  const last = await opened(t, state, third);
  third.next = 100;
  await last.write();
  await last.close();
  assert.equal(await sum(), 117);
  const names = (await readdir(dir)).sort();
  assert.equal(names.length, 3);
  for (const name of names.slice(0, 2)) await rm(join(dir, name));
  assert.equal(await sum(), 117, 'carried');
});

test('a start is after all before it, also when the clock was set back', async (t) => {
  const state = await folder(t);
  const core = new Core();
  const first = await opened(t, state, core);
  core.next = 3;
  await first.write();
  await first.close();
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() - 7_200_000 });
  const second = await opened(t, state, core);
  core.next = 4;
  await second.write();
  await second.close();
  const dir = join(state, 'ledger');
  const names = (await readdir(dir)).sort();
  for (const name of names) await utimes(join(dir, name), Date.now() / 1000, Date.now() / 1000);
  assert.equal(names.length, 2);
  assert.deepEqual(
    (await totals(dir)).kept().map(({ units }) => units),
    [4, 3],
    'the window of the second is the older one',
  );
});
