/**
 * reactor: the core within this thread's own event loop: the doors of an app that it opens, and guests, requests that
 * this side hands to it.
 *
 * See `bindings/src/reactor.rs`. Everything runs in the thread that made it.
 */
import { Reactor as Native } from '#bindings';
import { GateError } from '../errors.js';
import { LocalExchange } from './local-exchange.js';

/** What is said of a request; several at once. As `net::outbox::said`. */
export const SAID = {
  head: 1,
  end: 2,
  close: 4,
  cut: 8,
  bodiless: 16,
  local: 32,
  body: 64,
  request: 128,
  requestEnd: 256,
  push: 512,
  answer: 1024,
  length: 2048,
  gone: 4096,
  left: 8192,
} as const;

/** What the core says of a guest; the bytes are valid during the call only. */
export interface Word {
  said: number;
  head: Uint8Array;
  body: Uint8Array;
  /** Bytes of the whole body, with `SAID.length`. */
  length: number;
}

/** Who hears of a guest. */
export interface Guest {
  key: number;
  /** Bytes of a body are awaited. */
  hasBody: boolean;
  hear(word: Word): void;
  /** Answers in the stead of all upstreams. */
  answer(exchange: LocalExchange): void;
}

/** The calls that every request makes; see `bindings/src/calls.rs`. */
interface ReactorCalls {
  take(events: Uint32Array, bytes: Uint8Array): number;
  head(key: number): string;
  reply(key: number, head: string, body: string | Uint8Array, length: number): number;
  forward(key: number, upstream: string): number;
}

/** The core in this thread. */
export class Reactor {
  readonly native: Native;
  readonly #calls: ReactorCalls;
  readonly #answer: (exchange: LocalExchange) => void;
  readonly #events = new Uint32Array(WORDS * 512);
  readonly #bytes = new Uint8Array(256 << 10);
  /** By the places of their connections. */
  readonly #guests: (Guest | undefined)[] = [];
  readonly #exchanges: (LocalExchange | undefined)[] = [];
  /** Doors that were left, by their numbers: what is called when the last connection has ended. */
  readonly #leaving = new Map<number, () => void>();
  readonly #doors = new Map<string, number>();
  #lastDoor = 0;
  #isTaking = false;

  /**
   * @param gateway its number.
   * @param answer answers what comes in by this side's doors and leads to its app.
   * @param beside the Unix socket of uWebSockets.js in this thread, which is to have WebSockets that come by a door.
   * @throws `closed`, `system`; `not_supported` where Node lacks functions of libuv.
   */
  constructor(gateway: number, answer: (exchange: LocalExchange) => void, beside?: string) {
    this.native = new Native(gateway, () => this.take(), beside);
    this.#calls = this.native.calls() as ReactorCalls;
    this.#answer = answer;
  }

  /**
   * Listens at a listener with `door: app`.
   *
   * @throws `bind_failed`, `closed`.
   */
  open(listener: string): void {
    this.#lastDoor += 1;
    this.native.open(listener, this.#lastDoor);
    this.#doors.set(listener, this.#lastDoor);
    this.take();
  }

  /** Listens there no more; resolves when its last connection has ended, at the latest after `patienceMs`. */
  leave(listener: string, patienceMs: number): Promise<void> {
    const number = this.#doors.get(listener);
    if (number === undefined) return Promise.resolve();
    this.#doors.delete(listener);
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#left(number), patienceMs);
      this.#leaving.set(number, () => {
        clearTimeout(timer);
        resolve();
      });
      this.native.leave(listener);
      this.take();
    });
  }

  /**
   * Hands over a request; its key is told before anything is heard of it. False if its listener is gone.
   *
   * @param peer 4 or 16 bytes.
   * @param isStubbed the guest answers whatever would be forwarded.
   */
  arrive(listener: string, peer: Uint8Array, head: Uint8Array, isStubbed: boolean, guest: Guest): boolean {
    const result = this.native.arrive(listener, peer, head, isStubbed);
    if (result < 0) return false;
    guest.key = result % KEYS;
    guest.hasBody = result >= KEYS;
    this.#guests[guest.key % PLACES] = guest;
    this.take();
    return true;
  }

  /** This side is done with a guest. */
  forget(guest: Guest): void {
    const place = guest.key % PLACES;
    if (this.#guests[place] === guest) this.#guests[place] = undefined;
  }

  /** This side is done with an exchange. */
  release(exchange: LocalExchange): void {
    const place = exchange.key % PLACES;
    if (this.#exchanges[place] === exchange) this.#exchanges[place] = undefined;
  }

  /** The head of a request that is answered here, Latin-1. */
  head(key: number): string {
    return this.#calls.head(key);
  }

  /**
   * Answers as a whole: `head` is a status line and fields, without framing. `length`: what a body declares that is not
   * sent; -1 if `body` is it.
   */
  reply(key: number, head: string, body: string | Uint8Array, length: number): void {
    if (this.#calls.reply(key, head, body, length) > 0) this.take();
  }

  /**
   * Sends a request on to an upstream. False if it is too late.
   *
   * @throws GateError `unknown_upstream`.
   */
  forward(key: number, upstream: string): boolean {
    const sent = this.#calls.forward(key, upstream);
    if (sent !== NO_UPSTREAM) return sent === 1;
    const why = `no upstream is called ${JSON.stringify(upstream)}`;
    throw new GateError('unknown_upstream', why, 'name one of `upstreams` in the config');
  }

  /** Hears what the core has to say. */
  take(): void {
    if (this.#isTaking) return; // what is said meanwhile is taken by the one that runs
    this.#isTaking = true;
    try {
      for (let count = this.#next(); count > 0; count = this.#next()) {
        for (let at = 0; at < count * WORDS; at += WORDS) this.#hear(at);
      }
    } finally {
      this.#isTaking = false;
    }
  }

  close(): void {
    this.native.close();
    this.#guests.length = 0;
    this.#exchanges.length = 0;
    for (const number of [...this.#leaving.keys()]) this.#left(number);
  }

  #next(): number {
    return this.#calls.take(this.#events, this.#bytes);
  }

  #left(number: number): void {
    const told = this.#leaving.get(number);
    this.#leaving.delete(number);
    told?.();
  }

  #hear(at: number): void {
    const events = this.#events;
    const name = events[at] ?? 0;
    const said = events[at + 1] ?? 0;
    const serial = events[at + 2] ?? 0;
    if (serial !== 0) this.#hearExchange(name, said, serial, at);
    else if (said === SAID.left) this.#left(name);
    else this.#hearGuest(name, said, at);
  }

  #hearExchange(place: number, said: number, serial: number, at: number): void {
    if ((said & SAID.local) !== 0) {
      const exchange = new LocalExchange(this, serial * PLACES + place, (said & SAID.body) !== 0);
      this.#exchanges[place] = exchange;
      const guest = this.#guests[place];
      if (guest === undefined) this.#answer(exchange);
      else guest.answer(exchange);
      return;
    }
    const exchange = this.#exchanges[place];
    if (exchange?.key !== serial * PLACES + place) return;
    if ((said & SAID.gone) !== 0) exchange.gone();
    else if ((said & SAID.answer) !== 0) exchange.drained();
    else exchange.part(this.#bytesAt(at + 5), (said & SAID.requestEnd) !== 0);
  }

  #hearGuest(key: number, said: number, at: number): void {
    const guest = this.#guests[key % PLACES];
    if (guest?.key !== key) return;
    if ((said & (SAID.end | SAID.cut)) !== 0) this.#guests[key % PLACES] = undefined;
    const low = this.#events[at + 7] ?? 0;
    const high = this.#events[at + 8] ?? 0;
    const length = low + high * KEYS;
    guest.hear({ said, head: this.#bytesAt(at + 3), body: this.#bytesAt(at + 5), length });
  }

  #bytesAt(at: number): Uint8Array {
    return this.#bytes.subarray(this.#events[at], this.#events[at + 1]);
  }
}

const NO_UPSTREAM = 2;
const WORDS = 9;
/** As `INDEX_BITS` of `crates/net/src/guest.rs`: places are below. */
const PLACES = 2 ** 21;
/** Keys of guests are below. */
const KEYS = 2 ** 32;
