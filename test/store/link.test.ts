/**
 * The link of the store, and its thread: the heart, what the core is told, one line in the log when the store goes and one when
 * it is back, and answers in batches.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { createFigures, metricsOf, readFigures } from '../../ts/store/figures.js';
import { Link, type Note } from '../../ts/store/link.js';
import { clock, type Outcome } from '../../ts/store/redis.js';
import { loadScripts } from '../../ts/store/scripts.js';
import {
  type Asks,
  type FromService,
  Service,
  type StoreAnswer,
  type StoreAsk,
  type ToService,
} from '../../ts/store/service.js';
import type { LogLine } from '../../ts/thread.js';
import { faultProxy } from '../kit/fault-proxy.js';
import { hasParts, redis } from '../kit/redis.js';
import { until } from '../kit/until.js';

interface Watched {
  link: Link;
  notes: Note[];
  lines: string[];
  figures: SharedArrayBuffer;
  call(): Promise<Outcome>;
}

/** Longer than that of requests, so that a busy machine is no store that is gone. */
const TIMEOUT_MS = 100;
const ARGS = [1_000, 1_000_000, 0, 1, 1, 0];
let nodes = 0;

function watch(t: TestContext, url: string, prefix = 'test'): Watched {
  const [notes, lines, figures]: [Note[], string[], SharedArrayBuffer] = [[], [], createFigures()];
  nodes += 1;
  const link = new Link({
    settings: { urls: [url], timeoutMs: TIMEOUT_MS, prefix },
    scripts: loadScripts(),
    node: nodes,
    figures,
    log: (level, fields, message) => lines.push(`${level}: ${message} ${fields.why ?? ''}`),
    onNote: (note) => notes.push(note),
  });
  t.after(() => link.close());
  const call = (): Promise<Outcome> =>
    new Promise((resolve) => link.call('gcra', `${prefix}:{a}`, ARGS, clock() + TIMEOUT_MS, resolve));
  return { link, notes, lines, figures, call };
}

test('one line when the store goes and one when it is back, however many calls there are', async (t) => {
  const server = await redis(t);
  const { link, notes, lines, figures, call } = watch(t, server.url);
  await link.known;
  assert.equal(link.note.up, true);
  assert.equal(link.note.nodes, 1);
  assert.ok(Math.abs(link.note.clock / 1_000 - Date.now()) < 60_000);
  assert.deepEqual(lines, []);

  await server.kill();
  await until(() => notes.at(-1)?.up === false, 'it is noted', 1_000);
  assert.deepEqual(notes.at(-1), { up: false, nodes: 1, clock: 0 });
  const outcomes = await Promise.all(Array.from({ length: 1_000 }, call));
  assert.ok(outcomes.every(({ type }) => type === 'failed'));
  assert.equal(lines.length, 1);
  assert.match(lines[0] ?? '', /^warn: the store is gone/);
  assert.ok(readFigures(figures).refused > 900);
  assert.equal(readFigures(figures).isUp, false);

  await server.start();
  const began = clock();
  await until(() => notes.at(-1)?.up === true, 'it is back', 5_000);
  t.diagnostic(`back after ${Math.round(clock() - began)} ms`);
  assert.equal((await call()).type, 'replied');
  assert.deepEqual(lines.slice(1), ['info: the store is back ']);
});

test('a store that is not there when it begins', async (t) => {
  const server = await redis(t);
  await server.kill();
  const { link, lines, call } = watch(t, server.url);
  const began = clock();
  await link.known;
  assert.ok(clock() - began < 1_500);
  assert.equal(link.note.up, false);
  assert.equal((await call()).type, 'failed');
  assert.match(lines.join(), /^warn: the store is gone.*ECONNREFUSED/);
  await server.start();
  await until(() => link.note.up, 'it is there', 5_000);
  assert.equal(lines.length, 2);
});

test('a store that hangs is gone within a second without a call, and found again', async (t) => {
  const server = await redis(t);
  const { link, lines, figures, call } = watch(t, server.url);
  await link.known;
  await new Promise((resolve) => setImmediate(resolve));
  server.pause();
  t.after(() => server.resume());
  // A beat a second, and five that fail.
  await until(() => !link.note.up, 'it is noted', 3_000);
  const began = clock();
  for (let i = 0; i < 100; i += 1) await call();
  assert.ok(clock() - began < 100 * TIMEOUT_MS, 'most are refused at once');
  assert.match(lines[0] ?? '', /it does not answer in time/);
  assert.ok(readFigures(figures).late >= 5);
  server.resume();
  await until(() => link.note.up, 'it is back', 5_000);
  assert.equal(lines.length, 2);
});

test('a store that is slow is one that is gone, and lines are few', async (t) => {
  const server = await redis(t);
  const proxy = await faultProxy(t, server.port);
  const { link, lines, call } = watch(t, `redis://127.0.0.1:${proxy.port}`);
  await link.known;
  proxy.set({ delayMs: 2 * TIMEOUT_MS });
  const began = clock();
  while (clock() < began + 3_000) {
    const { type } = await call();
    if (type === 'failed') await new Promise((resolve) => setTimeout(resolve, 5)); // the rate of calls
  }
  assert.ok(!link.note.up);
  assert.equal(lines.length, 1, lines.join('\n'));
  proxy.set({ delayMs: 0 });
  await until(() => link.note.up, 'it is back', 5_000);
});

test('nodes are counted, one that closes leaves at once, and one that dies when it missed three beats', async (t) => {
  const server = await redis(t);
  const [a, b, c] = ['a', 'b', 'c'].map(() => watch(t, server.url, 'counted')) as [Watched, Watched, Watched];
  await until(() => [a, b, c].every(({ link }) => link.note.nodes === 3), 'each knows three');
  await c.link.close();
  await until(() => a.link.note.nodes === 2 && b.link.note.nodes === 2, 'the others know two');
  b.link.retire();
  await until(() => a.link.note.nodes === 1, 'the last is alone');
  // Others count apart.
  const other = watch(t, server.url, 'other');
  await other.link.known;
  assert.equal(other.link.note.nodes, 1);
});

for (const hours of [-1, 1]) {
  test(`the store's clock is set ${hours} h: calls and heartbeats go on`, async (t) => {
    if (!hasParts(t, 'faketime')) return;
    const server = await redis(t, { hasClock: true });
    const { link, notes, lines } = watch(t, server.url);
    await link.known;
    // Three tokens, and one more a minute.
    const take = (): Promise<Outcome> =>
      new Promise((resolve) => {
        link.call('gcra', 'test:{b}', [60e9, 3, 0, 1, 1, 0], clock() + 5_000, resolve);
      });
    const granted = async (): Promise<number> => {
      const outcomes = await Promise.all(Array.from({ length: 20 }, take));
      assert.ok(outcomes.every(({ type }) => type === 'replied'));
      return outcomes.filter((outcome) => outcome.type === 'replied' && outcome.values[0] === 1).length;
    };
    assert.equal(await granted(), 3);
    await server.setClock(hours * 3_600);
    // Back: nobody is freed. Forward: one burst.
    assert.equal(await granted(), hours < 0 ? 0 : 3);
    assert.equal(await granted(), 0);
    await server.setClock(hours * 3_600 + 7 * 60);
    assert.equal(await granted(), 3, 'nobody is locked out');
    const count = notes.length;
    await until(() => notes.length > count + 1, 'the heart beats on');
    assert.equal(link.note.nodes, 1);
    assert.ok(Math.abs(link.note.clock / 1_000 - Date.now() - hours * 3_600_000) < 600_000);
    assert.deepEqual(lines, []);
  });
}

test('figures are metrics', async (t) => {
  const server = await redis(t);
  const { link, figures, call } = watch(t, server.url);
  await link.known;
  const before = readFigures(figures).replied;
  await Promise.all([call(), call(), call()]);
  const now = readFigures(figures);
  assert.equal(now.replied, before + 3);
  assert.deepEqual(
    { ...now, replied: 0 },
    { replied: 0, failed: 0, late: 0, refused: 0, isUp: true, breaker: 'closed', nodes: 1 },
  );
  const { expose } = await import('../../ts/metrics.js');
  const text = await expose(JSON.stringify(metricsOf(now)));
  assert.match(text, new RegExp(`^ironsluice_store_calls_total\\{result="replied"\\} ${now.replied}$`, 'm'));
  assert.match(text, /^ironsluice_store_up 1$/m);
  assert.match(text, /^ironsluice_store_breaker_state\{state="closed"\} 1$/m);
  assert.match(text, /^ironsluice_store_breaker_state\{state="open"\} 0$/m);
});

/** The core's side, as the addon has it. */
class Core implements Asks {
  readonly linger = 5;
  readonly batches: StoreAnswer[][] = [];
  readonly notes: Note[] = [];
  isClosed = false;
  /** Nobody is woken: as for calls that no request waits for. */
  isSilent = false;
  wake: () => void = () => {};
  #waiting: StoreAsk[] = [];
  #number = 0;

  ask(count: number, script = 'gcra', timeoutMs = 2_000): void {
    for (let i = 0; i < count; i += 1) {
      this.#number += 1;
      const key = Buffer.from(`test:{${this.#number}}`);
      this.#waiting.push({ number: this.#number, script, key, args: ARGS, until: clock() + timeoutMs });
    }
    if (!this.isSilent) this.wake();
  }
  take(): StoreAsk[] {
    return this.#waiting.splice(0);
  }
  answer(answers: StoreAnswer[]): void {
    this.batches.push(answers);
  }
  note(note: Note): void {
    this.notes.push(note);
  }
  close(): void {
    this.isClosed = true;
  }
}

interface Served {
  core: Core;
  said: (FromService | LogLine)[];
  tell(message: ToService): void;
  /** Tells it to prepare, and what it says to that. */
  prepare(urls: string[] | undefined): Promise<FromService>;
  isOver(): boolean;
}

function serve(): Served {
  const core = new Core();
  const said: (FromService | LogLine)[] = [];
  let hear: (message: ToService) => void = () => {};
  let isOver = false;
  const port = {
    on(_: string, listener: (message: ToService) => void) {
      hear = listener;
      return port;
    },
    postMessage: (message: FromService | LogLine) => void said.push(message),
  };
  nodes += 1;
  new Service({
    node: nodes,
    figures: createFigures(),
    port: port as never,
    serve: (_, wake) => {
      core.wake = wake;
      return core;
    },
    exit: () => {
      isOver = true;
    },
  });
  const prepare = async (urls: string[] | undefined): Promise<FromService> => {
    const answers = (): FromService[] => said.filter(({ type }) => type !== 'log') as FromService[];
    const before = answers().length;
    const settings = urls === undefined ? undefined : { urls, timeoutMs: TIMEOUT_MS, prefix: 'test' };
    hear({ type: 'prepare', settings });
    await until(() => answers().length > before, 'it answers');
    return answers()[before] as FromService;
  };
  return { core, said, prepare, tell: (message) => hear(message), isOver: () => isOver };
}

test('the service answers in batches, and a new config replaces the store', async (t) => {
  const [first, second] = await Promise.all([redis(t), redis(t)]);
  const { core, prepare, tell, isOver } = serve();
  assert.deepEqual(await prepare([first.url]), { type: 'prepared' });
  tell({ type: 'commit', gateway: 1 });
  await until(() => core.notes.at(-1)?.up === true, 'the core is told');
  core.ask(256);
  await until(() => core.batches.flat().length === 256, 'all are answered');
  assert.ok(core.batches.flat().every(({ values }) => values?.[0] === 1));
  assert.ok(core.batches.length < 64, `${core.batches.length} batches`);

  // A config that is refused changes nothing.
  assert.equal((await prepare(['http://a'])).type, 'failed');
  assert.equal((await prepare([second.url])).type, 'prepared');
  tell({ type: 'abandon' });
  core.ask(1);
  core.isSilent = true;
  core.ask(1);
  await until(() => core.batches.flat().length === 258, 'it looks by itself after a batch');
  core.isSilent = false;
  core.isSilent = false;
  assert.deepEqual(await second.admin.keys('test:{*'), []);

  assert.equal((await prepare([second.url])).type, 'prepared');
  core.ask(10); // under way while the store is replaced
  tell({ type: 'commit', gateway: 1 });
  await until(() => core.batches.flat().length === 268, 'they are answered');
  core.ask(10);
  await until(() => core.batches.flat().length === 278, 'so are these');
  assert.ok(core.batches.flat().every(({ values }) => values?.[0] === 1));
  assert.equal((await second.admin.info('commandstats')).includes('cmdstat_set'), true);
  const isLeft = async (): Promise<boolean> =>
    !String(await first.admin.client('LIST')).includes('cmd=evalsha');
  await until(isLeft, 'the old store has no connection any more');

  // No store any more: calls fail at once.
  await prepare(undefined);
  tell({ type: 'commit', gateway: 1 });
  assert.deepEqual(core.notes.at(-1), { up: false, nodes: 1, clock: 0 });
  core.ask(1);
  await until(() => core.batches.flat().length === 279, 'it is answered');
  assert.deepEqual(core.batches.flat().at(-1), { number: 279 });

  tell({ type: 'close' });
  await until(isOver, 'it ends');
  assert.ok(core.isClosed);
});

test('a call of a script that is not there fails, and one that hangs is late', async (t) => {
  const server = await redis(t);
  const { core, prepare, tell, isOver } = serve();
  await prepare([server.url]);
  tell({ type: 'commit', gateway: 1 });
  core.ask(1, 'none');
  await until(() => core.batches.length === 1, 'it is answered');
  assert.deepEqual(core.batches.flat(), [{ number: 1 }]);
  server.pause();
  t.after(() => server.resume());
  core.ask(1, 'gcra', 300);
  await until(() => core.batches.flat().length === 2, 'it is answered');
  assert.deepEqual(core.batches.flat()[1], { number: 2, late: true });
  tell({ type: 'close' });
  await until(isOver, 'it ends, also without the store');
});
