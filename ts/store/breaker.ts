/**
 * breaker: whether a call to the store is worth its time. It has no clock of its own.
 *
 * | state       | a call                                | leads to                                                    |
 * |-------------|---------------------------------------|-------------------------------------------------------------|
 * | `closed`    | goes                                  | `open` after so many failures in a row, or when tripped     |
 * | `open`      | fails at once                         | `half_open` when the back-off is over: one call goes        |
 * | `half_open` | fails at once, but for the one        | `closed` if the one succeeds, else `open` for twice as long |
 *
 * The back-off is short again only after as many successes in a row as failures open it, so a store that answers now and then is
 * not asked each time. A call that is late has failed. Times are milliseconds from any fixed start.
 */

/** Where a breaker stands. */
export type BreakerState = 'closed' | 'open' | 'half_open';

/** When it opens, and for how long. */
export interface BreakerOptions {
  /** Failures in a row that open it; default 5. */
  failures?: number;
  /** The first back-off, milliseconds; default 100. No less than the time a call may take. */
  leastMs?: number;
  /** The longest back-off, milliseconds; default 1,000. */
  mostMs?: number;
}

/** A breaker, closed at first. */
export class Breaker {
  readonly #failures: number;
  readonly #leastMs: number;
  readonly #mostMs: number;
  #state: BreakerState = 'closed';
  /** Of what came last: failures if below 0, successes if above. */
  #inARow = 0;
  #waitMs: number;
  #until = 0;

  constructor({ failures = 5, leastMs = 100, mostMs = 1_000 }: BreakerOptions = {}) {
    this.#failures = failures;
    this.#leastMs = Math.min(leastMs, mostMs);
    this.#mostMs = mostMs;
    this.#waitMs = this.#leastMs;
  }

  get state(): BreakerState {
    return this.#state;
  }

  /** When the next call goes: the past or now if any does. */
  get nextAt(): number {
    return this.#state === 'closed' ? 0 : this.#until;
  }

  /** True if a call goes now; one that does must end in {@link succeeded} or {@link failed}. */
  admits(now: number): boolean {
    if (this.#state === 'closed') return true;
    if (now < this.#until) return false;
    // A trial that never ends is given up when another is due.
    this.#state = 'half_open';
    this.#until = now + this.#mostMs;
    return true;
  }

  /** A call was answered in time. */
  succeeded(): void {
    if (this.#state === 'open') return; // it began before
    this.#state = 'closed';
    this.#inARow = Math.max(this.#inARow, 0) + 1;
    if (this.#inARow >= this.#failures) this.#waitMs = this.#leastMs;
  }

  /** A call failed, or was late. */
  failed(now: number): void {
    if (this.#state === 'open') return; // it began before
    this.#inARow = Math.min(this.#inARow, 0) - 1;
    if (this.#state === 'half_open' || this.#inARow <= -this.#failures) this.trip(now);
  }

  /** Opens it: the connection is lost. */
  trip(now: number): void {
    if (this.#state === 'open') return;
    this.#state = 'open';
    this.#inARow = 0;
    this.#until = now + this.#waitMs;
    this.#waitMs = Math.min(this.#waitMs * 2, this.#mostMs);
  }

  /** There is a new connection: the next call goes, whatever the back-off. */
  retry(now: number): void {
    if (this.#state === 'open') this.#until = Math.min(this.#until, now);
  }
}
