/**
 * order: one order for the events of an app, the same in all its threads.
 *
 * An event is given the next number of a counter that all threads share, and each thread delivers in the order of the
 * numbers. A number that does not come, because its thread died or a link was full, is waited for {@link MOST_WAIT_MS}, or until
 * {@link MOST_HELD} events or {@link MOST_HELD_BYTES} wait behind it; if it comes later, it is delivered then.
 */
import { sizeOf } from './topics.js';

/** Hands on an event; `own` says that it was published in this thread. */
export type Deliver = (topic: string, text: string, number: number, own: boolean) => void;

interface Held {
  topic: string;
  text: string;
  own: boolean;
}

/** The order of one thread. */
export class Order {
  readonly #numbers: BigInt64Array;
  readonly #deliver: Deliver;
  readonly #held = new Map<number, Held>();
  #heldBytes = 0;
  /** The highest number when this began; below it there may be gaps. */
  readonly #floor: number;
  #next = 0;
  #isStarted = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(numbers: SharedArrayBuffer, deliver: Deliver) {
    this.#numbers = new BigInt64Array(numbers);
    this.#deliver = deliver;
    this.#floor = Number(Atomics.load(this.#numbers, 0));
    this.#next = this.#floor + 1;
  }

  /** All up to this number were delivered, or will not come. */
  get last(): number {
    return this.#next - 1;
  }

  /** Takes the next number. */
  take(): number {
    return Number(Atomics.add(this.#numbers, 0, 1n)) + 1;
  }

  /** Takes in an event. */
  add(topic: string, text: string, number: number, own: boolean): void {
    if (this.#isStarted && number < this.#next) {
      this.#deliver(topic, text, number, own);
      return;
    }
    const before = this.#held.get(number);
    this.#held.set(number, { topic, text, own: own || before?.own === true });
    if (before === undefined) this.#heldBytes += sizeOf(topic, text);
    if (this.#isStarted) this.#advance();
  }

  /** Events that wait here. */
  held(): { topic: string; text: string; number: number; own: boolean }[] {
    return [...this.#held].map(([number, held]) => ({ number, ...held }));
  }

  /** Others have told what they know: begins to deliver. */
  start(): void {
    const known = [...this.#held.keys()].filter((number) => number <= this.#floor).sort((a, b) => a - b);
    for (const number of known) this.#release(number);
    this.#isStarted = true;
    this.#advance();
  }

  #advance(): void {
    for (;;) {
      while (this.#held.has(this.#next)) {
        this.#next += 1;
        this.#release(this.#next - 1);
      }
      if (this.#held.size <= MOST_HELD && this.#heldBytes <= MOST_HELD_BYTES) break;
      this.#skip();
    }
    if (this.#held.size === 0) {
      clearTimeout(this.#timer);
      this.#timer = undefined;
      return;
    }
    const missing = this.#next;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      if (this.#next === missing) this.#skip(); // else it is another one that is missing now
      this.#advance();
    }, MOST_WAIT_MS).unref();
  }

  #skip(): void {
    this.#next = [...this.#held.keys()].reduce((least, number) => Math.min(least, number));
  }

  #release(number: number): void {
    const held = this.#held.get(number);
    if (held === undefined) return;
    this.#held.delete(number);
    this.#heldBytes -= sizeOf(held.topic, held.text);
    this.#deliver(held.topic, held.text, number, held.own);
  }
}

const MOST_WAIT_MS = 1_000;
const MOST_HELD = 1_024;
const MOST_HELD_BYTES = 4 << 20;
