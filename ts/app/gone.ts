/**
 * gone: tells several parts of one request that its client went away; an exchange tells one.
 */
import type { Exchange } from '../http/server-types.js';

/** Whether the client of a request is still there. */
export class Gone {
  readonly #exchange: Exchange;
  #told: (() => void)[] = [];

  constructor(exchange: Exchange) {
    this.#exchange = exchange;
    exchange.onAbort(() => {
      const told = this.#told;
      this.#told = [];
      for (const then of told) then();
    });
  }

  /** Calls `then` when the client goes away, or soon if it has gone. */
  on(then: () => void): void {
    if (this.#exchange.aborted) queueMicrotask(then);
    else this.#told.push(then);
  }
}
