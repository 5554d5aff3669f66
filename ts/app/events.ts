/**
 * events: server-sent events, WHATWG HTML section 9.2: one stream of text that a browser's EventSource reads.
 *
 * Bounds: {@link EventStreamOptions.maxQueued} bytes wait for a client; one that is slower is cut off, and comes back by itself.
 */
import type { AppContext, ReplyParts } from './handler.js';
import { CUT } from './reply.js';
import type { AppRequest } from './request.js';

/** One event. Without `data` no handler of a page is called. */
export interface ServerEvent {
  /** What `message.data` is: text, with as many lines as it has; anything else becomes JSON. */
  data?: unknown;
  /** Which listeners are called; default `message`. */
  event?: string;
  /** What the client sends as `Last-Event-ID` when it comes back; empty: none. No line ends, no NUL. */
  id?: string;
  /** From now on the client waits so long before it comes back, in milliseconds. */
  retry?: number;
  /** Told to nobody, but keeps idle proxies from cutting. */
  comment?: string;
}

/** Limits of a stream. */
export interface EventStreamOptions {
  /** Sends a comment every so many milliseconds, so that idle proxies do not cut; 0 for never. Default 15 000. */
  heartbeatMs?: number;
  /** Told to the client first: how long it waits before it comes back, in milliseconds. Default 3000. */
  retryMs?: number;
  /** Bytes that may wait for a client that has not taken what came before, 1 KiB to 64 MiB. Default 256 KiB. */
  maxQueued?: number;
}

/** What a stream of {@link eventStream} is made from. */
export type EventSourceLike =
  | AsyncIterable<ServerEvent>
  | ((about: {
      /** The last event that the client has, if it comes back. */
      lastEventId: string | undefined;
      /** Aborted when the client has gone. */
      signal: AbortSignal;
    }) => AsyncIterable<ServerEvent>);

/**
 * Answers with the events of one client's own source, such as an async generator, which is read as fast as the client takes it.
 *
 * ```ts
 * import { defineApp, eventStream } from 'ironsluice';
 *
 * export default defineApp((request, ctx) =>
 *   eventStream(request, ctx, async function* () {
 *     for (const word of ['one', 'two']) yield { data: word };
 *     yield { event: 'end', data: '' };
 *   }),
 * );
 * ```
 *
 * After its end the client comes back unless its page closes the EventSource. The source is ended when the client goes; one that
 * throws cuts the stream and is logged. For the same events to many clients see `EventHub`.
 *
 * @throws RangeError for an option that is out of its range.
 */
export function eventStream(
  request: AppRequest,
  ctx: AppContext,
  source: EventSourceLike,
  options: EventStreamOptions = {},
): ReplyParts {
  const { heartbeatMs, retryMs, maxQueued } = streamOptions(options);
  const body = new EventBody(ctx.signal, maxQueued, `retry: ${retryMs}\n\n`);
  const events =
    typeof source === 'function' ? source({ lastEventId: lastEventId(request), signal: ctx.signal }) : source;
  const beat = heartbeatMs === 0 ? undefined : setInterval(() => body.beat(), heartbeatMs).unref();
  const iterator = events[Symbol.asyncIterator]();
  body.onEnd(() => {
    clearInterval(beat);
    void Promise.resolve(iterator.return?.()).catch(() => {}); // nobody is there to be told
  });
  const pump = async (): Promise<void> => {
    for (;;) {
      const { done, value } = await iterator.next();
      if (done === true) break;
      body.push(format(value));
      await body.room();
      if (body.hasEnded) return;
    }
    body.finish();
  };
  pump().catch((error) => body.fail(error));
  return reply(body);
}

/** The last event that a client has, when it comes back. */
export function lastEventId(request: AppRequest): string | undefined {
  const value = request.header('last-event-id');
  return value === undefined || value === '' ? undefined : Buffer.from(value, 'latin1').toString('utf8');
}

/**
 * The text of one event.
 *
 * @throws TypeError for a name or an id that would break the stream.
 */
export function format({ data, event, id, retry, comment }: ServerEvent): string {
  let text = '';
  if (comment !== undefined) text += lines('', comment);
  if (retry !== undefined) {
    if (!Number.isInteger(retry) || retry < 0)
      throw new TypeError(`retry is a whole number of milliseconds, not ${retry}`);
    text += `retry: ${retry}\n`;
  }
  if (id !== undefined) {
    if (typeof id !== 'string' || BREAKS_ID.test(id))
      throw new TypeError('the id of an event has a line end or NUL');
    text += `id: ${id}\n`;
  }
  if (event !== undefined) {
    if (typeof event !== 'string' || BREAKS.test(event))
      throw new TypeError('the name of an event has a line end');
    text += `event: ${event}\n`;
  }
  if (data !== undefined) {
    const line = typeof data === 'string' ? data : JSON.stringify(data);
    if (line === undefined) throw new TypeError(`the data of an event cannot be a ${typeof data}`);
    text += lines('data', line);
  }
  return `${text}\n`;
}

/** The answer that carries a stream. */
export function reply(body: EventBody): ReplyParts {
  return {
    headers: {
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      'x-accel-buffering': 'no', // nginx in front of us would gather
    },
    body,
  };
}

/** @throws RangeError for an option that is out of its range. */
export function streamOptions(options: EventStreamOptions): Required<EventStreamOptions> {
  const { heartbeatMs = 15_000, retryMs = 3_000, maxQueued = 256 << 10 } = options;
  if (heartbeatMs !== 0) within('heartbeatMs', heartbeatMs, 100, 3_600_000);
  within('retryMs', retryMs, 0, 3_600_000);
  within('maxQueued', maxQueued, 1 << 10, 64 << 20);
  return { heartbeatMs, retryMs, maxQueued };
}

/** @throws RangeError unless `value` is a whole number from `least` to `most`. */
export function within(name: string, value: number, least: number, most: number): void {
  if (Number.isInteger(value) && value >= least && value <= most) return;
  throw new RangeError(`${name} is a whole number from ${least} to ${most}, not ${value}`);
}

/** The text of one client's stream, as it is made. It can be read once. */
export class EventBody implements AsyncIterable<string>, AsyncIterator<string> {
  readonly #signal: AbortSignal;
  readonly #max: number;
  #queue: string[];
  #queued = 0;
  #isFinished = false;
  #error: unknown;
  #wake: (() => void) | undefined;
  #roomy: (() => void) | undefined;
  #cut: (() => void) | undefined;
  #ended: (() => void) | undefined;
  readonly #abort = (): void => this.end();
  hasEnded = false;

  /** @param first what is sent before all else; a stream begins with something, for proxies pass on no empty one. */
  constructor(signal: AbortSignal, max: number, first: string) {
    this.#signal = signal;
    this.#max = max;
    this.#queue = [first];
    if (signal.aborted) queueMicrotask(this.#abort);
    else signal.addEventListener('abort', this.#abort, { once: true });
  }

  /** Called when nothing more is sent, for whatever reason. */
  onEnd(then: () => void): void {
    this.#ended = then;
    if (this.hasEnded) then();
  }

  /** Sends a text; a client that does not keep up is cut off. */
  push(text: string): void {
    if (this.hasEnded || this.#isFinished) return;
    // Who has taken all before is not slow: what one turn brings is one, and an event may be larger than the bound.
    if (this.#wake === undefined && this.#queued > 0 && this.#queued + text.length > this.#max) {
      this.end();
      this.#cut?.();
      return;
    }
    this.#queue.push(text);
    this.#queued += text.length;
    this.#wake?.();
  }

  /** Sends a comment, unless something waits anyway. */
  beat(): void {
    if (this.#queue.length === 0) this.push(':\n\n');
  }

  /** Resolves when nothing waits, or it has ended. */
  async room(): Promise<void> {
    if (this.#queue.length === 0 || this.hasEnded) return;
    await new Promise<void>((resolve) => {
      this.#roomy = resolve;
    });
  }

  /** What waits is sent still, then it ends. */
  finish(): void {
    this.#isFinished = true;
    this.#wake?.();
  }

  /** Ends with an error. */
  fail(error: unknown): void {
    if (this.hasEnded) return;
    this.#error = error;
    this.finish();
  }

  /** Nothing more is sent. */
  end(): void {
    if (this.hasEnded) return;
    this.hasEnded = true;
    this.#queue = [];
    this.#signal.removeEventListener('abort', this.#abort);
    this.#wake?.();
    this.#roomy?.();
    this.#ended?.();
  }

  /** The server says how the connection is cut. */
  [CUT](cut: () => void): void {
    this.#cut = cut;
  }

  [Symbol.asyncIterator](): AsyncIterator<string> {
    return this;
  }

  async next(): Promise<IteratorResult<string>> {
    while (this.#queue.length === 0 && !this.#isFinished && !this.hasEnded) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
    const text = this.#queue.join('');
    if (text === '') {
      const error = this.#error;
      this.end();
      if (error !== undefined) throw error;
      return { done: true, value: undefined };
    }
    this.#queue = [];
    this.#queued = 0;
    this.#roomy?.();
    return { done: false, value: text };
  }

  async return(): Promise<IteratorResult<string>> {
    this.end();
    return { done: true, value: undefined };
  }
}

function lines(field: string, text: string): string {
  return text
    .split(/\r\n|\r|\n/)
    .map((line) => `${field}: ${line}\n`)
    .join('');
}

const BREAKS = /[\r\n]/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const BREAKS_ID = /[\r\n\u0000]/;
