/**
 * reactor: the core within this thread's own event loop, and the requests that this side handed to it.
 *
 * See `bindings/src/reactor.rs`. Everything runs in the thread that made it.
 */
import { Reactor as Native } from '#bindings';
import { GateError } from '../errors.js';

/** What is said of a request; several at once. As `net::outbox::said`. */
export const SAID = {
  head: 1,
  end: 2,
  close: 4,
  cut: 8,
  bodiless: 16,
  local: 32,
  plain: 64,
  request: 128,
  requestEnd: 256,
  push: 512,
  answer: 1024,
  length: 2048,
  late: 4096,
} as const;

/** What the core says of one request; the bytes are valid during the call only. */
export interface Word {
  said: number;
  head: Uint8Array;
  body: Uint8Array;
  /** Bytes of the whole body, with `SAID.length`. */
  length: number;
}

/** Who hears of a request. */
export interface Listener {
  key: number;
  /** Bytes of a body are awaited. */
  hasBody: boolean;
  hear(word: Word): void;
}

/** What became of a request at once; as `begin` of `bindings/src/reactor.rs`. */
export const BEGUN = { waits: 0, local: 1, events: 2, bytes: 3, noListener: 4, whose: 5 } as const;

/** The calls that every request makes; see `bindings/src/reactor.rs`. */
interface ReactorCalls {
  begin(door: number, peer: Uint8Array | undefined, head: string | Uint8Array): number;
  take(events: Uint32Array, bytes: Uint8Array): number;
  forward(key: number, upstream: string, peer: Uint8Array | undefined): number;
  answered(key: number, status: number, sent: number, received: number): void;
}

/** The core in this thread. */
export class Reactor {
  readonly native: Native;
  readonly #calls: ReactorCalls;
  readonly #events = new Uint32Array(WORDS * 512);
  readonly #bytes = new Uint8Array(256 << 10);
  /** By their place, the low bits of the key. */
  readonly #guests: (Listener | undefined)[] = [];
  #isTaking = false;

  /**
   * @param gateway its number.
   * @throws `closed`, `system`; `not_supported` where Node lacks functions of libuv.
   */
  constructor(gateway: number) {
    this.native = new Native(gateway, () => this.take());
    this.#calls = this.native.calls() as ReactorCalls;
  }

  /** Hands over a request; its key is told before anything is heard of it. */
  begin(door: number, peer: Uint8Array | undefined, head: string | Uint8Array, guest: Listener): number {
    const result = this.#calls.begin(door, peer, head);
    const word = Math.floor(result / KEYS);
    const code = word & ~BODY;
    if (code > BEGUN.events) return code;
    const key = result - word * KEYS;
    guest.key = key;
    guest.hasBody = (word & BODY) !== 0;
    if (code === BEGUN.local) return code;
    this.#guests[key & PLACE] = guest;
    if (code === BEGUN.events) this.take();
    return code;
  }

  /** Listens to what is said of a request that this side was to answer. */
  listen(guest: Listener): void {
    this.#guests[guest.key & PLACE] = guest;
  }

  /**
   * Sends a request on to an upstream; `peer` says whose it is, if the core does not know. False if it is too late.
   *
   * @throws GateError `unknown_upstream`.
   */
  forward(key: number, upstream: string, peer: Uint8Array | undefined): boolean {
    const sent = this.#calls.forward(key, upstream, peer);
    if (sent !== NO_UPSTREAM) return sent === 1;
    const why = `no upstream is called ${JSON.stringify(upstream)}`;
    throw new GateError('unknown_upstream', why, 'name one of `upstreams` in the config');
  }

  /** This side has answered a request that was said to be plain. */
  answered(key: number, status: number, sent: number, received: number): void {
    this.#calls.answered(key, status, sent, received);
  }

  /** This side is done with it. */
  forget(key: number): void {
    if (this.#guests[key & PLACE]?.key === key) this.#guests[key & PLACE] = undefined;
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
  }

  #next(): number {
    return this.#calls.take(this.#events, this.#bytes);
  }

  #hear(at: number): void {
    const [events, bytes] = [this.#events, this.#bytes];
    const key = events[at] ?? 0;
    const said = events[at + 1] ?? 0;
    const guest = this.#guests[key & PLACE];
    if (guest?.key !== key) return;
    if ((said & (SAID.end | SAID.cut)) !== 0) this.#guests[key & PLACE] = undefined;
    guest.hear({
      said,
      head: bytes.subarray(events[at + 2], events[at + 3]),
      body: bytes.subarray(events[at + 4], events[at + 5]),
      length: (events[at + 6] ?? 0) + (events[at + 7] ?? 0) * KEYS,
    });
  }
}

const NO_UPSTREAM = 2;
const BODY = 8;
const WORDS = 8;
/** As `INDEX_BITS` of `crates/net/src/guest.rs`. */
const PLACE = 2 ** 21 - 1;
/** Keys are below. */
const KEYS = 2 ** 32;
