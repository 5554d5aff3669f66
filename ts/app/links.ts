/**
 * links: {@link Topics} within the process: one port between each two threads of an app, and to what carries them further (`carrier.ts`).
 *
 * What is published in one turn of the event loop goes as one batch. Both ends of a link share memory in which the receiver
 * counts what it has taken, so the sender knows what waits. Bounds: {@link MOST_BATCH} bytes are gathered,
 * {@link MOST_WAITING} wait at one link; a batch that finds no room is not sent to that thread, the others get it.
 */
import type { MessagePort } from 'node:worker_threads';
import { counter } from '#bindings';
import type { Chunk } from '../http/server-types.js';
import { sizeOf, type Take, type Topics } from './topics.js';

/** One end of a link, as the supervisor hands it out; `mesh.ts` makes them. */
export interface LinkEnd {
  port: MessagePort;
  /** Two counters of 32 bits that wrap: bytes that each side has taken. */
  taken: SharedArrayBuffer;
  /** Which of the counters is this side's. */
  side: 0 | 1;
  /** Whether the other side takes what is published here. */
  sends: boolean;
  /** Whether that goes for events of hubs too. */
  events: boolean;
  /** Whether the other side is to be waited for: it takes requests already. */
  waits: boolean;
  /** Whether the other side, which is new, shall be told of all events that are kept here, not of this thread's own only. */
  seeds: boolean;
}

/** What a thread that takes requests tells a new one first. */
export interface Seed {
  /** Topic, text and number of each event, in turn. */
  events: Item[];
  /** By the hub's name: events up to this number are not kept. */
  dropped: Record<string, number>;
}

type Item = string | Uint8Array | number;

interface Batch {
  size: number;
  items: Item[];
  seed?: Seed;
}

/** Counts, for an app, messages that a thread did not get; `/metrics` shows it. */
export function countDropped(app: string): (messages: number) => void {
  return (messages) => {
    try {
      counter(app, 'publish_dropped').add(messages);
    } catch {
      // The app has taken all names of counters: then this one is not counted.
    }
  };
}

/** All links of one thread. */
export class Links implements Topics {
  readonly #links = new Set<Link>();
  readonly #dropped: (messages: number) => void;
  #take: Take = () => {};
  #seeded: (seed: Seed) => void = () => {};
  #items: Item[] = [];
  #size = 0;
  /** Of these, what events take. */
  #eventsSize = 0;
  #next: NodeJS.Immediate | undefined;

  /** @param dropped told how many messages one thread did not get. */
  constructor(dropped: (messages: number) => void) {
    this.#dropped = dropped;
  }

  receive(take: Take): void {
    this.#take = take;
  }

  /** From now on `take` is called for what others tell first. */
  receiveSeeds(take: (seed: Seed) => void): void {
    this.#seeded = take;
  }

  /** Adds a link, and tells the other side what it may have missed. */
  add(end: LinkEnd, seed?: Seed): void {
    this.flush(); // what was published before belongs to those that were there
    const link = new Link(end);
    this.#links.add(link);
    end.port.on('message', (batch: Batch) => {
      if (batch.seed !== undefined) {
        this.#seeded(batch.seed);
        link.greet();
      }
      const { items } = batch;
      for (let i = 0; i < items.length; i += 3) {
        this.#take(items[i] as string, items[i + 1] as Chunk, items[i + 2] as number);
      }
      link.took(batch.size);
    });
    end.port.on('close', () => {
      this.#links.delete(link);
      link.greet();
    });
    end.port.unref();
    if (seed !== undefined && link.events) link.send({ size: 0, items: [], seed });
  }

  /** Resolves when all that take requests have told what they know, at the latest after `patienceMs`. */
  async greeted(patienceMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, patienceMs);
    });
    await Promise.race([late, Promise.all([...this.#links].map(({ greeted }) => greeted))]);
    clearTimeout(timer);
  }

  publish(topic: string, message: Chunk, number: number): boolean {
    let hasRoom = true;
    let isHeard = false;
    const size = sizeOf(topic, message);
    for (const link of this.#links) {
      if (!link.sends || (number > 0 && !link.events)) continue;
      isHeard = true;
      hasRoom &&= link.waiting + this.#size + size <= MOST_WAITING;
    }
    if (!isHeard) return true;
    // A view would be sent with all that is behind it, such as Node's pool of small buffers.
    this.#items.push(topic, typeof message === 'string' ? message : new Uint8Array(message), number);
    this.#size += size;
    if (number > 0) this.#eventsSize += size;
    if (this.#size >= MOST_BATCH) this.flush();
    else this.#next ??= setImmediate(() => this.flush());
    return hasRoom;
  }

  /** Sends what was gathered. */
  flush(): void {
    clearImmediate(this.#next);
    this.#next = undefined;
    if (this.#items.length === 0) return;
    const whole: Batch = { size: this.#size, items: this.#items };
    const plain = this.#eventsSize === 0 ? whole : withoutEvents(whole, this.#eventsSize);
    this.#items = [];
    this.#size = 0;
    this.#eventsSize = 0;
    for (const link of this.#links) {
      const batch = link.events ? whole : plain;
      if (!link.sends || batch.items.length === 0) continue;
      if (link.waiting + batch.size > MOST_WAITING) this.#dropped(batch.items.length / 3);
      else link.send(batch);
    }
  }

  /** Cuts all links. */
  close(): void {
    this.flush();
    for (const link of this.#links) link.close();
    this.#links.clear();
  }
}

/** What is left of a batch whose events take so many bytes. */
function withoutEvents({ size, items }: Batch, events: number): Batch {
  const plain: Item[] = [];
  for (let i = 0; i < items.length; i += 3) {
    if (items[i + 2] === 0) plain.push(...items.slice(i, i + 3));
  }
  return { size: size - events, items: plain };
}

class Link {
  readonly sends: boolean;
  readonly events: boolean;
  readonly greeted: Promise<void>;
  /** The other side has told what it knows. */
  greet: () => void = () => {};
  readonly #end: LinkEnd;
  readonly #taken: Int32Array;
  #sent = 0;

  constructor(end: LinkEnd) {
    this.#end = end;
    this.sends = end.sends;
    this.events = end.events;
    this.#taken = new Int32Array(end.taken);
    this.greeted = end.waits
      ? new Promise((resolve) => {
          this.greet = resolve;
        })
      : Promise.resolve();
  }

  /** Bytes that the other side has not taken yet. */
  get waiting(): number {
    return (this.#sent - Atomics.load(this.#taken, 1 - this.#end.side)) | 0;
  }

  send(batch: Batch): void {
    this.#sent = (this.#sent + batch.size) | 0;
    this.#end.port.postMessage(batch);
  }

  took(bytes: number): void {
    Atomics.add(this.#taken, this.#end.side, bytes);
  }

  close(): void {
    this.#end.port.close();
  }
}

/** A batch of that many bytes goes before the turn has ended. */
const MOST_BATCH = 256 << 10;
/** Bytes on the way to one thread. */
export const MOST_WAITING = 16 << 20;
