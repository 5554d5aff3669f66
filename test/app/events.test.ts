/**
 * Server-sent events: their text, streams behind the edge with both engines, replay, slow clients, reloads.
 */
import assert from 'node:assert/strict';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { type TestContext, test } from 'node:test';
import { format } from '../../ts/app/events.js';
import type { Engine } from '../../ts/http/load.js';
import { ENGINES } from '../kit/app.js';
import { site } from '../kit/site.js';
import { until } from '../kit/until.js';

/** An event as a browser would hand it to a page: WHATWG HTML section 9.2.6. */
interface Event {
  event: string;
  data: string;
}

/** A reader of a stream, by the letter of the standard. */
class Reader {
  readonly events: Event[] = [];
  comments = 0;
  lastEventId = '';
  retry: number | undefined;
  isClosed = false;
  wasCut = false;
  #rest = '';
  #id = '';
  #event = '';
  #data = '';
  readonly answer: IncomingMessage;

  constructor(answer: IncomingMessage) {
    this.answer = answer;
    answer.setEncoding('utf8').on('data', (text: string) => this.#take(text));
    answer.on('error', () => {
      this.wasCut = true;
    });
    answer.on('close', () => {
      this.isClosed = true;
    });
  }

  /** What is data of the events so far. */
  get data(): string[] {
    return this.events.map(({ data }) => data);
  }

  #take(text: string): void {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) this.#line(line);
  }

  #line(line: string): void {
    if (line === '') {
      this.lastEventId = this.#id;
      if (this.#data !== '')
        this.events.push({ event: this.#event || 'message', data: this.#data.slice(0, -1) });
      this.#data = '';
      this.#event = '';
      return;
    }
    const at = line.indexOf(':');
    const name = at < 0 ? line : line.slice(0, at);
    const value = at < 0 ? '' : line.slice(at + 1).replace(/^ /, '');
    if (name === '') this.comments += 1;
    if (name === 'data') this.#data += `${value}\n`;
    if (name === 'event') this.#event = value;
    if (name === 'id') this.#id = value;
    if (name === 'retry') this.retry = Number(value);
  }
}

/** Opens a stream; it is gone when the test ends. */
function open(t: TestContext, port: number, path = '/', lastEventId?: string): Promise<Reader> {
  return new Promise((resolve, reject) => {
    const headers = lastEventId === undefined ? {} : { 'last-event-id': lastEventId };
    const outgoing = httpRequest({ host: '127.0.0.1', port, path, headers, agent: false }, (answer) => {
      assert.equal(answer.statusCode, 200);
      assert.equal(answer.headers['content-type'], 'text/event-stream');
      const reader = new Reader(answer);
      until(() => reader.retry !== undefined, 'the beginning of the stream').then(
        () => resolve(reader),
        reject,
      );
    });
    outgoing.on('error', reject);
    outgoing.end();
    t.after(() => outgoing.destroy());
  });
}

test('an event is text by the standard', () => {
  const cases: [Parameters<typeof format>[0], string][] = [
    [{ data: 'x' }, 'data: x\n\n'],
    [{ data: '' }, 'data: \n\n'],
    [{ data: 'a\nb\r\nc\rd\n' }, 'data: a\ndata: b\ndata: c\ndata: d\ndata: \n\n'],
    [{ data: { a: [1] } }, 'data: {"a":[1]}\n\n'],
    [{ data: ' x' }, 'data:  x\n\n'],
    [
      { data: 'x', event: 'e', id: '7', retry: 5, comment: 'c\nd' },
      ': c\n: d\nretry: 5\nid: 7\nevent: e\ndata: x\n\n',
    ],
    [{ id: '' }, 'id: \n\n'],
    [{ comment: '' }, ': \n\n'],
  ];
  for (const [event, text] of cases) assert.equal(format(event), text);
  const bad = [
    { id: 'a\nb' },
    { id: 'a\0' },
    { event: 'a\rb' },
    { retry: -1 },
    { retry: 1.5 },
    { data: () => 1 },
  ];
  for (const event of bad) assert.throws(() => format(event), TypeError, JSON.stringify(event));
});

const HUB = (options = '', more = '') => `
import { defineApp, EventHub, eventStream } from 'ironsluice';
const news = new EventHub('news', { ${options} });
export default defineApp(async (request, ctx) => {
  if (request.path === '/publish') {
    const events = await request.json(8 << 20);
    return { sent: events.map((event) => news.publish(event)), worker: ctx.worker };
  }
  if (request.path === '/clients') return String(news.clients);
  if (request.path === '/twice') { try { new EventHub('news'); } catch (error) { return error.message; } }
  if (request.path === '/own') return eventStream(request, ctx, async function* ({ lastEventId, signal }) {
    try {
      yield { event: 'begin', data: lastEventId ?? 'new' };
      for (let i = 0; i < 1000 && request.query !== 'short'; i++) yield { id: String(i), data: 'x'.repeat(10_000) };
      if (request.query === 'throw') throw new Error('boo');
    } finally { ctx.counter('ended').add(1); }
  });
  if (request.path === '/ended') return String(ctx.counter('ended').value);
  if (request.path === '/quiet') return eventStream(request, ctx, async function* ({ signal }) {
    await new Promise((resolve) => signal.addEventListener('abort', resolve));
    ctx.counter('aborted').add(1);
  }, { heartbeatMs: 100 });
  if (request.path === '/aborted') return String(ctx.counter('aborted').value);
  return news.stream(request, ctx);
});
${more}`;

type Send = (events: object[]) => Promise<{ sent: boolean[]; worker: number }>;

const sender =
  (get: (path: string, init: RequestInit) => Promise<Response>): Send =>
  async (events) =>
    (await get('/publish', { method: 'POST', body: JSON.stringify(events) })).json() as Promise<{
      sent: boolean[];
      worker: number;
    }>;

const CASES: Record<string, (t: TestContext, engine: Engine) => Promise<void>> = {
  async 'events of all workers reach all clients in one order'(t, engine) {
    const { port, get } = await site(t, HUB(), { engine, workers: 3 });
    const send = sender(get);
    const readers: Reader[] = [];
    for (let i = 0; i < 9; i += 1) readers.push(await open(t, port));
    const workers = new Set<number>();
    let sent = 0;
    // Several at once, so that they come from several workers.
    while (workers.size < 3 || sent < 120) {
      const round = await Promise.all(
        [0, 1, 2, 3].map((n) => send([{ data: `${sent + n}a` }, { data: `${sent + n}b` }])),
      );
      sent += round.length;
      for (const { worker } of round) workers.add(worker);
      assert.ok(sent < 2_000, `publishers in ${workers.size} workers only`);
    }
    await until(() => readers.every(({ events }) => events.length === 2 * sent), 'all events');
    const [first, ...others] = readers as [Reader, ...Reader[]];
    for (const { data } of others) assert.deepEqual(data, first.data);
    for (let n = 0; n < sent; n += 1) {
      assert.ok(first.data.indexOf(`${n}a`) < first.data.indexOf(`${n}b`), 'the order of one publisher');
    }
  },

  async 'a client that comes back gets what it missed, from whichever worker'(t, engine) {
    const { port, get } = await site(t, HUB('retryMs: 1234'), { engine, workers: 3 });
    const send = sender(get);
    const before = await open(t, port);
    assert.equal(before.retry, 1234);
    const fresh = before.lastEventId;
    assert.match(fresh, /^[0-9a-f]{12}-0$/, 'a position without any event');
    await send([{ data: 'one', event: 'e' }]);
    await until(() => before.events.length === 1, 'the first');
    assert.deepEqual(before.events, [{ event: 'e', data: 'one' }]);
    const { lastEventId } = before;
    before.answer.destroy();
    await send([{ data: 'two\nlines' }, { data: 'three', id: 'my é id' }]);
    await send([{ data: 'four' }]);
    const cases: [string, string[]][] = [
      [fresh, ['one', 'two\nlines', 'three', 'four']],
      [lastEventId, ['two\nlines', 'three', 'four']],
      [Buffer.from('my é id').toString('latin1'), ['four']],
    ];
    for (let round = 0; round < 3; round += 1) {
      for (const [id, data] of cases) {
        const after = await open(t, port, '/', id);
        await until(() => after.events.length === data.length, `${data} after ${id}: ${after.data}`);
        assert.deepEqual(after.data, data);
        after.answer.destroy();
      }
    }
    assert.match(await (await get('/twice')).text(), /there is an event hub "news" already/);
  },

  async 'a client whose last event is not kept any more is told'(t, engine) {
    const { port, get } = await site(t, HUB('replayEvents: 3'), { engine });
    const send = sender(get);
    const early = await open(t, port);
    await send(Array.from({ length: 5 }, (_, i) => ({ data: `${i}` })));
    await until(() => early.events.length === 5, 'five events');
    const [epoch] = early.lastEventId.split('-');
    const cases: [string, boolean][] = [
      [`${epoch}-1`, true],
      [`${epoch}-2`, false],
      ['000000000000-5', true],
      ['unknown', true],
    ];
    for (const [id, isMissed] of cases) {
      const reader = await open(t, port, '/', id);
      await send([{ data: 'now' }]);
      await until(() => reader.data.includes('now'), 'an event after it came back');
      assert.equal(reader.events[0]?.event === 'missed', isMissed, id);
      if (isMissed) assert.deepEqual(JSON.parse(reader.data[0] ?? ''), { lastEventId: id });
      assert.ok(reader.lastEventId.startsWith(`${epoch}-`), 'and has a position again');
      reader.answer.destroy();
      await send([{ data: 'a' }, { data: 'b' }, { data: 'c' }]);
      if (id.endsWith('-1')) cases[1] = [`${epoch}-9`, false];
    }
  },

  async 'a new worker has what the others keep'(t, engine) {
    const { port, get, replace } = await site(t, HUB(), {
      engine,
      workers: 2,
      app: { drain_timeout: '300ms' },
    });
    const send = sender(get);
    const old = await open(t, port);
    const { lastEventId } = old;
    for (let i = 0; i < 10; i += 1) await send([{ data: `${i}` }]);
    await until(() => old.events.length === 10, 'ten events');
    await replace(HUB('', '// two'));
    await send([{ data: 'ten' }]);
    await until(() => old.events.length === 11, 'an event of the new workers at the old');
    await until(() => old.isClosed, 'the end of the old stream');
    assert.equal(old.wasCut, false, 'a clean end');
    for (let i = 0; i < 4; i += 1) {
      const fresh = await open(t, port, '/', lastEventId);
      await until(() => fresh.events.length === 11, `all events at a new worker: ${fresh.data}`);
      assert.deepEqual(fresh.data, old.data);
    }
  },

  async 'a slow client is closed, and its memory is bounded; it comes back for the rest'(t, engine) {
    const { port, get } = await site(t, HUB('maxQueued: 700_000, replayBytes: 100 << 20'), { engine });
    const send = sender(get);
    const slow = await open(t, port);
    const quick = await open(t, port);
    slow.answer.pause();
    const data = 'x'.repeat(50_000);
    let sent = 0;
    await until(async () => {
      await send(Array.from({ length: 10 }, () => ({ data })));
      sent += 10;
      await until(() => quick.events.length === sent, 'all at the quick one');
      return (await (await get('/clients')).text()) === '1';
    }, 'the close of the slow client');
    slow.answer.resume();
    await until(() => slow.isClosed, 'the slow client sees it');
    assert.equal(slow.wasCut, true);
    const got = slow.events.length;
    assert.ok(got < sent, `${got} of ${sent}`);
    const again = await open(t, port, '/', slow.lastEventId);
    // It reads now, but what it missed is more than may wait: it is let go and comes back until it is there.
    await until(() => again.events.length === sent - got || again.isClosed, 'the rest');
    assert.equal(again.events.length, sent - got);
  },

  async 'a quiet stream has comments, and goes when its client goes'(t, engine) {
    const { port, get } = await site(t, HUB('heartbeatMs: 100'), {
      engine,
      app: { timeouts: { response: '1s' } },
    });
    const before = Number(await (await get('/aborted')).text()); // counted by the process
    const [hub, own] = [await open(t, port), await open(t, port, '/quiet')];
    await until(() => hub.comments > 12 && own.comments > 12, 'more than a second of comments');
    assert.deepEqual([...hub.events, ...own.events], []);
    assert.equal(
      await (await get('/aborted')).text(),
      `${before}`,
      'the deadline of the answer is no end of the stream',
    );
    hub.answer.destroy();
    own.answer.destroy();
    await until(async () => (await (await get('/clients')).text()) === '0', 'the hub lets go');
    await until(async () => (await (await get('/aborted')).text()) === `${before + 1}`, 'the source is told');
  },

  async "a client's own source is read as it is taken, ended when it goes, cut when it throws"(t, engine) {
    const { port, get } = await site(t, HUB(), { engine });
    const ended = async (): Promise<number> => Number(await (await get('/ended')).text());
    const before = await ended(); // counted by the process
    const whole = await open(t, port, '/own', '41');
    await until(() => whole.isClosed, 'the end');
    assert.equal(whole.wasCut, false);
    assert.equal(whole.data[0], '41');
    assert.equal(whole.events.length, 1001);
    await until(async () => (await ended()) === before + 1, 'the first source');
    const left = await open(t, port, '/own');
    left.answer.pause();
    left.answer.destroy();
    await until(async () => (await ended()) === before + 2, 'the source of a client that left');
    const thrown = await open(t, port, '/own?throw');
    await until(() => thrown.isClosed, 'the cut');
    assert.equal(thrown.wasCut, true);
  },

  async 'a stop of the gateway ends streams of hubs well before its patience ends'(t, engine) {
    const { port, gateway } = await site(t, HUB(), { engine });
    const reader = await open(t, port);
    const began = performance.now();
    await gateway.close(20_000);
    assert.ok(performance.now() - began < 10_000);
    await until(() => reader.isClosed, 'the end');
    assert.equal(reader.wasCut, false);
  },
};

for (const engine of ENGINES) {
  for (const [name, run] of Object.entries(CASES)) test(`${engine}: ${name}`, (t) => run(t, engine));
}

test('options that are none fail the start, with the place', async (t) => {
  const cases: [string, RegExp][] = [
    ['heartbeatMs: 5', /app\.ts:3:14: heartbeatMs is a whole number from 100 to 3600000, not 5/],
    ['maxQueued: 0', /maxQueued is/],
    ['retryMs: -1', /retryMs is/],
    ['replayEvents: 0.5', /replayEvents is/],
  ];
  for (const [option, why] of cases) await assert.rejects(site(t, HUB(option)), why);
});
