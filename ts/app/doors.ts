/**
 * doors: the listeners at whose door an app's worker is. The core listens there, in the worker's own event loop.
 */
import type { LocalExchange } from './local-exchange.js';
import { Reactor } from './reactor.js';
import { type Place, serve } from './serve.js';

/** A listener with `door: app`. */
export interface DoorPlan {
  listener: string;
  /** `IP:port`, as bound. */
  address: string;
}

/** The doors of one worker. */
export class Doors {
  readonly #place: Place;
  readonly #beside: string | undefined;
  /** Addresses by listeners. */
  readonly #open = new Map<string, string>();
  #reactor: Reactor | undefined;
  #gateway: number | undefined;

  /** `beside`: the Unix socket of uWebSockets.js in this thread. */
  constructor(place: Place, beside: string | undefined) {
    this.#place = place;
    this.#beside = beside;
  }

  /** Is at these doors from now on, and at no others; says why it cannot be. */
  open(gateway: number, plans: readonly DoorPlan[]): string | undefined {
    try {
      if (plans.length > 0 && this.#gateway !== gateway) {
        const place = this.#place;
        this.#reactor?.close();
        this.#open.clear();
        const answer = (exchange: LocalExchange): void => {
          place.served();
          serve(exchange, place);
        };
        this.#reactor = new Reactor(gateway, answer, this.#beside);
        this.#gateway = gateway;
      }
      for (const listener of this.#open.keys()) {
        if (!plans.some((plan) => plan.listener === listener)) void this.#leave(listener, PATIENCE_MS);
      }
      for (const { listener, address } of plans) {
        const at = this.#open.get(listener);
        if (at === address) continue;
        if (at !== undefined) void this.#leave(listener, PATIENCE_MS);
        this.#reactor?.open(listener);
        this.#open.set(listener, address);
      }
      return undefined;
    } catch (error) {
      return (error as Error).message;
    }
  }

  /** Leaves all doors; what is on its way, WebSockets too, has `patienceMs`. */
  async close(patienceMs: number): Promise<void> {
    await Promise.all([...this.#open.keys()].map((listener) => this.#leave(listener, patienceMs)));
  }

  async #leave(listener: string, patienceMs: number): Promise<void> {
    this.#open.delete(listener);
    await this.#reactor?.leave(listener, patienceMs);
  }
}

const PATIENCE_MS = 30_000;
