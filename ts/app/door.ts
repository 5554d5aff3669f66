/**
 * door: requests of `door: app`, between the server that read them and the core that decides about them.
 *
 * The core says of each whether it answers, an upstream does, or the app shall ({@link DirectExchange}).
 */
import { DirectExchange } from './direct-exchange.js';
import { type Listener, type Reactor, SAID, type Word } from './reactor.js';
import type { DoorExchange, Exchange, Door as ServerDoor } from './server-types.js';

/** A listener of an app, for the server that listens there. */
export class Door implements ServerDoor {
  readonly reactor: Reactor;
  readonly serve: (exchange: Exchange) => void;
  readonly number: number;

  /** `listener`: its name in the config. `serve` answers what leads to the listener's app, or whatever would be forwarded. */
  constructor(
    reactor: Reactor,
    listener: string,
    serve: (exchange: Exchange) => void,
    answers: 'app' | 'all' | 'none' = 'app',
  ) {
    this.reactor = reactor;
    this.serve = serve;
    this.number = reactor.native.door(listener, answers === 'app', answers === 'all');
  }

  /** The same door, with another who answers. */
  with(serve: (exchange: Exchange) => void): Door {
    const door: Door = Object.create(this);
    return Object.assign(door, { serve });
  }

  arrive(x: DoorExchange, head: string, peer: () => Uint8Array | undefined, bytes: () => Uint8Array): void {
    const guest = new Guest(this, x, peer);
    const { reactor, number } = this;
    let text: string | Uint8Array = head === '' ? bytes() : head;
    let begun = reactor.begin(number, this.#asks ? peer() : undefined, text, guest);
    if (begun === BEGUN.bytes) {
      text = bytes();
      begun = reactor.begin(number, this.#asks ? peer() : undefined, text, guest);
    }
    if (begun === BEGUN.whose) {
      this.#asks = true; // the next one is probably like this
      begun = reactor.begin(number, peer() ?? NOBODY, text, guest);
    }
    if (begun === BEGUN.local) {
      this.#asks = false;
      guest.answer(true);
    } else if (begun === BEGUN.noListener) x.respond(503, ['connection', 'close']);
    else guest.feed();
  }
}

/** A request that the core has in hand. */
export class Guest implements Listener {
  key = 0;
  readonly #door: Door;
  readonly x: DoorExchange;
  #inner: DirectExchange | undefined;
  #isOver = false;
  #isFed = false;
  #held = false;

  constructor(door: Door, x: DoorExchange) {
    this.#door = door;
    this.x = x;
  }

  readonly keep = (key: number): void => {
    this.key = key;
    this.x.onAbort(() => this.#gone());
  };

  get reactor(): Reactor {
    return this.#door.reactor;
  }

  /** The app answers; `isPlain`: without the core. */
  answer(isPlain: boolean): void {
    this.#inner = new DirectExchange(this, isPlain);
    this.#door.serve(this.#inner);
  }

  /** Hands the request's body to the core, as fast as it takes it. */
  feed(): void {
    if (this.#isFed || this.#isOver) return;
    this.#isFed = true;
    this.x.onBody((chunk, last) => {
      if (this.#isOver) return;
      if (this.reactor.native.push(this.key, chunk, last) > HELD) {
        this.#held = true;
        this.x.pause();
      }
      this.reactor.take();
    });
  }

  /** The app has answered; nothing more is to be heard of the core. */
  over(): void {
    this.#isOver = true;
    this.reactor.forget(this.key);
  }

  hear({ said, head, body, length }: Word): void {
    const { x } = this;
    if (this.#isOver) return;
    if ((said & SAID.push) !== 0 && this.#held) {
      this.#held = false;
      x.resume();
    }
    if ((said & SAID.late) !== 0) this.#inner?.late();
    if ((said & SAID.local) !== 0) {
      const isPlain = (said & SAID.plain) !== 0;
      this.answer(isPlain);
      if (!isPlain) this.feed();
    }
    if ((said & SAID.answer) !== 0) this.#inner?.drained();
    if ((said & SAID.request) !== 0) {
      this.#inner?.part(body, (said & SAID.requestEnd) !== 0);
      return;
    }
    const isLast = (said & (SAID.end | SAID.cut)) !== 0;
    if (isLast) this.#isOver = true;
    if ((said & SAID.head) !== 0) {
      const block = {
        block: head,
        length: (said & SAID.length) !== 0 ? length : undefined,
        hasBody: (said & SAID.bodiless) === 0,
        close: (said & SAID.close) !== 0,
      };
      if ((said & SAID.end) !== 0 && (said & SAID.cut) === 0) {
        x.respondBlock(block, body);
        this.#inner?.done();
        return;
      }
      x.beginBlock(block);
    }
    if (body.length > 0 && !x.write(body.slice())) {
      this.reactor.native.setWritable(this.key, false);
      x.onDrain(() => this.#drained());
    }
    if ((said & SAID.cut) !== 0) x.abort();
    else if ((said & SAID.end) !== 0) x.end();
    if (isLast) this.#inner?.done();
  }

  #drained(): void {
    if (this.#isOver) return;
    this.reactor.native.setWritable(this.key, true);
    this.reactor.take();
  }

  #gone(): void {
    if (!this.#isOver) {
      this.over();
      this.reactor.native.abort(this.key);
    }
    this.#inner?.gone();
  }
}

/** Bytes that the core may have waiting. */
const HELD = 64 << 10;
