/**
 * door: where requests of `door: app` come in: the server has read them, the core decides about them.
 *
 * The core says of each whether it answers, an upstream does, or the app shall; see {@link DirectExchange}.
 */

import type { DoorExchange, Inner, Door as ServerDoor } from '../http/server-types.js';
import { DirectExchange } from './direct-exchange.js';
import { BEGUN, type Reactor } from './reactor.js';

/** A listener of an app, for the server that listens there. */
export class Door implements ServerDoor {
  readonly reactor: Reactor;
  readonly #number: number;
  readonly #serve: (exchange: Inner) => void;
  /** The last request had to say whose it is: the next one says it at once. */
  #asks = false;

  /**
   * `listener`: its name in the config. `serve` answers what leads to the listener's app, or, with `all`, whatever would be
   * forwarded.
   */
  constructor(
    reactor: Reactor,
    listener: string,
    serve: (exchange: Inner) => void,
    answers: 'app' | 'all' | 'none' = 'app',
  ) {
    this.reactor = reactor;
    this.#serve = serve;
    this.#number = reactor.native.door(listener, answers === 'app', answers === 'all');
  }

  arrive(x: DoorExchange, head: string, answer: (inner: Inner) => void = this.#serve): void {
    const { reactor } = this;
    const inner = new DirectExchange(reactor, x, answer);
    let text: string | Uint8Array = head === '' ? x.headBytes() : head;
    let peer = this.#asks ? x.peerBytes() : undefined;
    inner.isNamed = this.#asks;
    let begun = reactor.begin(this.#number, peer, text, inner);
    if (begun === BEGUN.bytes) {
      text = x.headBytes();
      begun = reactor.begin(this.#number, peer, text, inner);
    }
    if (begun === BEGUN.whose) {
      this.#asks = true;
      inner.isNamed = true;
      peer = x.peerBytes();
      begun = reactor.begin(this.#number, peer, text, inner);
    }
    x.hasBody = inner.hasBody;
    if (begun === BEGUN.local) {
      this.#asks = false;
      inner.answer(true);
    } else if (begun === BEGUN.noListener) x.respond(503, ['connection', 'close']);
    else inner.feed();
  }
}
