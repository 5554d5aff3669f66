/**
 * event-hub: the same events for many clients, in all workers of an app.
 *
 * Events of a hub have one order, the same for all clients (`order.ts`). Each worker keeps the last ones, so that a client that
 * comes back, to whichever worker, gets what it has missed. Bounds: {@link EventHubOptions}, {@link MOST_HUBS} hubs.
 */
import {
  EventBody,
  type EventStreamOptions,
  format,
  lastEventId,
  reply,
  type ServerEvent,
  streamOptions,
  within,
} from './events.js';
import type { AppContext, ReplyParts } from './handler.js';
import type { AppRequest } from './request.js';
import { type Hub, runtime } from './runtime.js';
import { checkTopic } from './topics.js';

/** How a hub keeps and sends events. */
export interface EventHubOptions extends EventStreamOptions {
  /** Events that are kept for clients that come back. Default 1024. */
  replayEvents?: number;
  /** Bytes of events that are kept. Default 1 MiB. */
  replayBytes?: number;
  /**
   * What a client gets whose last event is not kept any more; `undefined` for nothing. Default: an event `missed` with
   * `{"lastEventId": …}`, upon which a page would load everything anew.
   */
  missed?: (lastEventId: string) => ServerEvent | undefined;
}

interface Kept {
  text: string;
  /** What a client has of it when it comes back. */
  id: string | undefined;
  number: number;
  own: boolean;
}

interface Client {
  body: EventBody;
  /** It has all up to this number. */
  after: number;
}

/**
 * A hub of events. Make it where the module begins, so that it is there in each worker.
 *
 * ```ts
 * import { defineApp, EventHub } from 'ironsluice';
 *
 * const news = new EventHub('news');
 *
 * export default defineApp(async (request, ctx) => {
 *   if (request.method === 'GET') return news.stream(request, ctx);
 *   news.publish({ event: 'item', data: await request.json() });
 * });
 * ```
 */
export class EventHub {
  /** Its name; hubs of that name in all workers are one. */
  readonly name: string;
  readonly #options: Required<EventStreamOptions> & { replayEvents: number; replayBytes: number };
  readonly #missed: (lastEventId: string) => ServerEvent | undefined;
  readonly #clients = new Set<Client>();
  readonly #hub: Hub;
  #kept: Kept[] = [];
  #keptBytes = 0;
  #beat: NodeJS.Timeout | undefined;
  #hasSaidGoodbye = false;

  /**
   * @param name 1 to 256 characters, unlike that of any other hub of the app.
   * @throws RangeError for an option that is out of its range; Error for a name that is taken, or the 1025th hub.
   */
  constructor(name: string, options: EventHubOptions = {}) {
    checkTopic(name);
    const { replayEvents = 1024, replayBytes = 1 << 20, missed = MISSED, ...rest } = options;
    within('replayEvents', replayEvents, 0, 1_000_000);
    within('replayBytes', replayBytes, 0, 1 << 30);
    this.#options = { ...streamOptions(rest), replayEvents, replayBytes };
    this.#missed = missed;
    this.name = name;
    const { hubs, order, dropped } = runtime();
    if (hubs.has(name)) throw new Error(`there is an event hub ${JSON.stringify(name)} already`);
    if (hubs.size >= MOST_HUBS) throw new Error(`an app has at most ${MOST_HUBS} event hubs: close some`);
    this.#hub = {
      dropped: dropped.get(name) ?? order.last,
      deliver: (text, number, own) => this.#deliver({ text, id: ID.exec(text)?.[1], number, own }),
      kept: () => this.#kept,
      goodbye: () => {
        this.#hasSaidGoodbye = true;
        this.#end();
      },
    };
    hubs.set(name, this.#hub);
  }

  /** Open streams of this worker. */
  get clients(): number {
    return this.#clients.size;
  }

  /**
   * Sends an event to all clients, in all workers. Without an `id` of its own it gets one.
   *
   * @returns false when a worker lags so far behind that it will not get the event (16 MiB wait for it).
   * @throws TypeError for an event that would break the stream.
   */
  publish(event: ServerEvent): boolean {
    const text = format(event); // its faults are the caller's, and cost no number
    const { epoch } = runtime();
    return runtime().publishEvent(this.name, (number) =>
      event.id === undefined ? `id: ${epoch}-${number}\n${text}` : text,
    );
  }

  /** Answers a request with the events from now on, and before these all that the client has missed. */
  stream(request: AppRequest, ctx: AppContext): ReplyParts {
    const { order, epoch } = runtime();
    const { maxQueued, retryMs } = this.#options;
    // An id without data is no event, but what the client comes back with if it gets none.
    let first = `retry: ${retryMs}\nid: ${epoch}-${order.last}\n\n`;
    let after = 0;
    let missed: Kept[] = [];
    const last = lastEventId(request);
    if (last !== undefined) {
      const from = this.#after(last);
      if (from === undefined) {
        const event = this.#missed(last);
        if (event !== undefined) first += format(event);
      } else {
        missed = this.#kept.filter(({ number }) => number > from);
        after = from;
        if (from > order.last) first = `retry: ${retryMs}\n\n`; // another worker is ahead: its id stays
      }
    }
    if (missed.length > 0) first = `retry: ${retryMs}\n\n${missed.map(({ text }) => text).join('')}`;
    const client: Client = { body: new EventBody(ctx.signal, maxQueued, first), after };
    this.#clients.add(client);
    this.#beat ??= this.#startBeat();
    if (this.#hasSaidGoodbye) client.body.finish();
    client.body.onEnd(() => {
      this.#clients.delete(client);
      if (this.#clients.size > 0) return;
      clearInterval(this.#beat);
      this.#beat = undefined;
    });
    return reply(client.body);
  }

  /** Ends all streams of this worker, and forgets the hub. */
  close(): void {
    this.#end();
    const { hubs } = runtime();
    if (hubs.get(this.name) === this.#hub) hubs.delete(this.name);
  }

  /** The number of an event that a client has, or nothing if what came after it is not kept. */
  #after(id: string): number | undefined {
    const { epoch } = runtime();
    if (id.startsWith(`${epoch}-`)) {
      const digits = id.slice(epoch.length + 1);
      const number = /^\d{1,15}$/.test(digits) ? Number(digits) : -1;
      return number >= this.#hub.dropped ? number : undefined;
    }
    return this.#kept.findLast((kept) => kept.id === id)?.number;
  }

  #deliver(event: Kept): void {
    if (event.number <= this.#hub.dropped || !this.#keep(event)) return;
    for (const client of [...this.#clients]) {
      if (event.number > client.after) client.body.push(event.text);
    }
  }

  /** False if it is there already. */
  #keep(event: Kept): boolean {
    const at = this.#kept.findLastIndex(({ number }) => number <= event.number);
    if (this.#kept[at]?.number === event.number) return false;
    this.#kept.splice(at + 1, 0, event);
    this.#keptBytes += 2 * event.text.length;
    const { replayEvents, replayBytes } = this.#options;
    while (this.#kept.length > replayEvents || this.#keptBytes > replayBytes) {
      const oldest = this.#kept.shift();
      if (oldest === undefined) break;
      this.#keptBytes -= 2 * oldest.text.length;
      this.#hub.dropped = oldest.number;
    }
    return true;
  }

  #end(): void {
    for (const { body } of this.#clients) body.finish();
  }

  #startBeat(): NodeJS.Timeout | undefined {
    const { heartbeatMs } = this.#options;
    if (heartbeatMs === 0) return undefined;
    return setInterval(() => {
      for (const { body } of this.#clients) body.beat();
    }, heartbeatMs).unref();
  }
}

function MISSED(lastEventId: string): ServerEvent {
  return { event: 'missed', data: { lastEventId } };
}

/** The id within an event's text; no other line begins so. */
const ID = /^id: (.*)$/m;
const MOST_HUBS = 1024;
