/**
 * outbox: what waits to go to other nodes. It has no clock of its own; times are milliseconds from any fixed start.
 *
 * Bounds: {@link MOST_WAITING_BYTES} wait, none longer than {@link MOST_AGE_MS}; then the oldest are dropped, for those who are there
 * want what is new. A message has at most {@link MOST_MESSAGE_BYTES}. What is taken at once has about {@link FRAME_BYTES}.
 */

/** Messages of one app, packed. */
export interface Batch {
  app: string;
  messages: Buffer[];
  bytes: number;
}

interface Waiting {
  app: string;
  message: Buffer;
  at: number;
}

/** See above. */
export class Outbox {
  readonly #dropped: (app: string, why: string) => void;
  #waiting: Waiting[] = [];
  /** Where the oldest is; what is before it was taken. */
  #first = 0;
  #bytes = 0;

  /** @param dropped told of each message that was dropped. */
  constructor(dropped: (app: string, why: string) => void) {
    this.#dropped = dropped;
  }

  /** Bytes that wait. */
  get bytes(): number {
    return this.#bytes;
  }

  put(app: string, message: Buffer, now: number): void {
    if (message.length > MOST_MESSAGE_BYTES) {
      this.#dropped(app, `a message has ${message.length} bytes, more than ${MOST_MESSAGE_BYTES}`);
      return;
    }
    this.#waiting.push({ app, message, at: now });
    this.#bytes += cost(message);
    this.#age(now);
    while (this.#bytes > MOST_WAITING_BYTES) this.#drop(`more than ${MOST_WAITING_BYTES} bytes wait`);
  }

  /** What goes next, in the order it came; nothing if nothing waits. */
  take(now: number): Batch | undefined {
    this.#age(now);
    const app = this.#waiting[this.#first]?.app;
    if (app === undefined) return undefined;
    const batch: Batch = { app, messages: [], bytes: 0 };
    while (this.#waiting[this.#first]?.app === app && batch.bytes < FRAME_BYTES) {
      const message = this.#shift();
      if (message === undefined) break;
      batch.messages.push(message);
      batch.bytes += message.length;
    }
    return batch;
  }

  #age(now: number): void {
    for (;;) {
      const oldest = this.#waiting[this.#first];
      if (oldest === undefined || now - oldest.at <= MOST_AGE_MS) return;
      this.#drop(`the store was away for ${MOST_AGE_MS / 1_000} s`);
    }
  }

  #drop(why: string): void {
    const app = this.#waiting[this.#first]?.app;
    this.#shift();
    if (app !== undefined) this.#dropped(app, why);
  }

  #shift(): Buffer | undefined {
    const message = this.#waiting[this.#first]?.message;
    if (message === undefined) return undefined;
    this.#bytes -= cost(message);
    this.#first += 1;
    // What was taken is given back now and then, not each time.
    if (this.#first >= 1_024 || this.#first === this.#waiting.length) {
      this.#waiting = this.#waiting.slice(this.#first);
      this.#first = 0;
    }
    return message;
  }
}

/** Memory that a message takes, bytes. */
function cost(message: Buffer): number {
  return OVERHEAD + message.length;
}

/** Bytes of a message with its topic, on its way to other nodes. */
export const MOST_MESSAGE_BYTES = 1 << 20;
/** Bytes that wait for the store, with what keeps each message. */
export const MOST_WAITING_BYTES = 8 << 20;
/** How long a message may wait. */
export const MOST_AGE_MS = 10_000;
const FRAME_BYTES = 64 << 10;
const OVERHEAD = 256;
