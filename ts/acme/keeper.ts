/**
 * keeper: one certificate of an ACME authority, from what is on disk to its renewal, for as long as it is wanted.
 *
 * It is renewed when a third of its life is left, a little earlier by chance, so that many gateways do not come at once.
 * What is on disk is looked at before each order: another process may have renewed it. A failure leaves what is served
 * as it is, and is followed by another try. Where several gateways share it, one of them orders at a time, and the others take what it got;
 * without the store only what is urgent is ordered: when there is none, or half of what was left at the renewal is over.
 * Bounds: the first wait is {@link LEAST_MS}, each next is twice as long, up to {@link MOST_MS}, and none is longer than
 * a 24th of the certificate's life; what the authority asks for in Retry-After, up to {@link RETRY_AFTER_MS}.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { AcmeSettings } from '../native.js';
import { StoreGone } from '../store/keys.js';
import type { LogLine } from '../thread.js';
import { type FailureCode, FIXES, OrderFailure } from './failure.js';
import type { Issued } from './order.js';
import type { Alone } from './share.js';
import { type Kept, parse, type Stored } from './stored.js';

/** What a keeper has to do with. */
export interface Ground {
  readonly stored: Stored;
  /** What several gateways have together, if they do: see `share.ts`. */
  readonly shared?: Shared | undefined;
  /** Lets a few through at a time. */
  through<T>(work: () => Promise<T>): Promise<T>;
  /** Orders a certificate, as `order` does. */
  order(wanted: AcmeSettings, accountKey: string, signal: AbortSignal): Promise<Issued>;
  /** Serves it; throws if it cannot be used. */
  publish(name: string, cert: string, key: string): void;
  /** Counts an order that has ended, with its failure if it has one. */
  count(failure: string | undefined): void;
  log(level: LogLine['level'], fields: Record<string, unknown>, message: string): void;
}

/** What is shared of one certificate. All reject with `StoreGone` when the store does not answer. */
export interface Shared {
  certificate(): Promise<Kept | undefined>;
  keep(kept: Kept): Promise<void>;
  alone<T>(signal: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<Alone<T>>;
  failed(waitMs: number): Promise<void>;
}

/** Keeps one certificate. */
export class Keeper {
  readonly #wanted: AcmeSettings;
  readonly #ground: Ground;
  readonly #end = new AbortController();
  #nap = new AbortController();
  #served: Kept | undefined;
  #failures = 0;
  /** No order is begun before that, milliseconds of `performance.now`. */
  #notBefore = 0;
  /** Since when another gateway orders, milliseconds of `performance.now`. */
  #heldSince: number | undefined;
  #hasSaidGone = false;

  constructor(wanted: AcmeSettings, ground: Ground) {
    this.#wanted = wanted;
    this.#ground = ground;
  }

  /** Keeps it until {@link stop}; never rejects. */
  async run(): Promise<void> {
    const { signal } = this.#end;
    while (!signal.aborted) {
      this.#nap = new AbortController();
      const wait = await this.#turn();
      await pause(Math.min(wait, LOOK_MS), undefined, { signal: this.#nap.signal }).catch(() => {});
    }
  }

  /** There may be something new: looks now. */
  wake(): void {
    this.#nap.abort();
  }

  /** No order is begun any more; one that is under way is given up. */
  stop(): void {
    this.#end.abort(new Error('it is not wanted any more'));
    this.#nap.abort();
  }

  /** Does what is due; resolves with how long to wait. */
  async #turn(): Promise<number> {
    await this.#look();
    const isGone = (await this.#lookShared()) === 'gone';
    const due = this.#served === undefined ? 0 : renewal(this.#served, Math.random()) - Date.now();
    if (due > 0) {
      this.#heldSince = undefined;
      return due;
    }
    // It may have been woken: what is new was looked at, and an order has its time.
    const hold = this.#notBefore - performance.now();
    if (hold > 0) return hold;
    try {
      return await this.#ground.through(() => this.#renew(isGone));
    } catch (error) {
      return this.#end.signal.aborted ? 0 : this.#failed(error);
    }
  }

  /** Orders, or waits for who does. */
  async #renew(isGone: boolean): Promise<number> {
    const { signal } = this.#end;
    const { shared } = this.#ground;
    if (shared === undefined) return this.#issued(await this.#order(signal));
    if (isGone) return this.#withoutStore();
    let done: Alone<Kept | undefined>;
    try {
      done = await shared.alone(signal, async (own) => {
        // Another may have ordered since it was looked.
        return (await this.#lookShared()) === 'newer' ? undefined : this.#order(own);
      });
    } catch (error) {
      if (!(error instanceof StoreGone)) throw error;
      return this.#withoutStore();
    }
    if (done.type === 'done') {
      this.#heldSince = undefined;
      return done.value === undefined ? 0 : this.#issued(done.value);
    }
    if (done.type === 'wait') {
      this.#failures += 1; // it was as much this gateway's
      return this.#wait(Math.max(done.leftMs * (1 + Math.random() / 10), LEAST_LOOK_MS));
    }
    const { domain } = this.#wanted;
    if (this.#heldSince === undefined) this.#ground.log('info', { domain }, HELD);
    this.#heldSince ??= performance.now();
    const isLong = performance.now() - this.#heldSince > MOST_HELD_MS;
    if (isLong && isUrgent(this.#served, Date.now())) return this.#issued(await this.#order(signal));
    return Math.min(Math.max(done.leftMs, LEAST_LOOK_MS), HELD_LOOK_MS);
  }

  /** What is urgent is ordered all the same, for a certificate that ends is worse than one too many. */
  async #withoutStore(): Promise<number> {
    const served = this.#served;
    const { domain } = this.#wanted;
    if (isUrgent(served, Date.now())) {
      this.#ground.log('warn', { domain }, ALONE);
      return this.#issued(await this.#order(this.#end.signal));
    }
    if (!this.#hasSaidGone) this.#ground.log('warn', { domain }, PUT_OFF);
    this.#hasSaidGone = true;
    return backoff(1, served === undefined ? undefined : served.until - served.from, 0, Math.random());
  }

  #issued(kept: Kept): number {
    this.#failures = 0;
    const { domain, directory } = this.#wanted;
    const until = new Date(kept.until).toISOString();
    this.#ground.log('info', { domain, directory, until }, 'a certificate was issued');
    return 0;
  }

  /** Serves what is on disk, if that is newer. */
  async #look(): Promise<void> {
    const { domain } = this.#wanted;
    try {
      const kept = await this.#ground.stored.certificate(domain);
      if (kept === undefined || kept.until <= Math.max(this.#served?.until ?? 0, Date.now())) return;
      this.#ground.publish(domain, kept.cert, kept.key);
      this.#served = kept;
    } catch (error) {
      const why = (error as Error).message;
      this.#ground.log('warn', { domain, why }, 'a kept certificate cannot be used: another is ordered');
    }
  }

  /** Serves what the store has, if that is newer, and puts there what is served, if that is. */
  async #lookShared(): Promise<'gone' | 'newer' | 'same'> {
    const { shared, publish, stored, log } = this.#ground;
    if (shared === undefined) return 'same';
    const { domain } = this.#wanted;
    let there: Kept | undefined;
    try {
      there = await shared.certificate();
      this.#hasSaidGone = false;
      if (there !== undefined && there.until > Math.max(this.#served?.until ?? 0, Date.now())) {
        publish(domain, there.cert, there.key);
        this.#served = there;
        this.#failures = 0;
        const until = new Date(there.until).toISOString();
        log('info', { domain, until }, "another gateway's certificate is served");
        await stored.keep(domain, there).catch((error: Error) => this.#unkept(error));
        return 'newer';
      }
    } catch (error) {
      if (error instanceof StoreGone) return 'gone';
      log('warn', { domain, why: (error as Error).message }, 'a shared certificate cannot be used');
    }
    const served = this.#served;
    if (served !== undefined && served.until > Math.max(there?.until ?? 0, Date.now())) {
      // Else it is put there at the next look.
      await shared.keep(served).catch(() => {});
    }
    return 'same';
  }

  async #order(signal: AbortSignal): Promise<Kept> {
    const { domain, directory, challenge } = this.#wanted;
    const { stored, publish } = this.#ground;
    if (this.#served === undefined && this.#failures === 0) {
      const message =
        'a certificate is ordered: until it is issued, clients that ask for the domain are refused';
      this.#ground.log('info', { domain, directory, challenge }, message);
    }
    const account = await stored.accountKey().catch(unkept);
    const { cert, key } = await this.#ground.order(this.#wanted, account, signal);
    let kept: Kept;
    try {
      kept = parse(`${cert}\n${key}`, domain);
      publish(domain, kept.cert, kept.key);
    } catch (error) {
      throw new OrderFailure('certificate', (error as Error).message);
    }
    await stored.keep(domain, kept).catch((error: Error) => this.#unkept(error));
    this.#served = kept;
    this.#ground.count(undefined);
    await this.#ground.shared?.keep(kept).catch(() => {}); // it is put there at the next look
    return kept;
  }

  /** What is served need not be ordered again while this process runs. */
  #unkept(error: Error): void {
    const state = { domain: this.#wanted.domain, why: error.message, fix: FIXES.storage };
    this.#ground.log('error', state, 'a certificate was not kept: it is ordered again at the next start');
  }

  #failed(error: unknown): number {
    const failure =
      error instanceof OrderFailure ? error : new OrderFailure('internal', String((error as Error).stack));
    this.#failures += 1;
    this.#ground.count(failure.code);
    const life = this.#served === undefined ? undefined : this.#served.until - this.#served.from;
    const wait = backoff(this.#failures, life, failure.retryAfterMs, Math.random());
    const { domain, directory } = this.#wanted;
    const { code, message: why, fix } = failure;
    if (EVERYWHERE.has(code)) this.#ground.shared?.failed(wait * 0.9).catch(() => {}); // then each finds it out
    const again = `${Math.ceil(wait / 1_000)}s`;
    const until = this.#served === undefined ? undefined : new Date(this.#served.until).toISOString();
    const message =
      until === undefined
        ? 'a certificate was not issued: clients that ask for the domain are refused'
        : 'a certificate was not renewed: the old one stays';
    this.#ground.log('error', { domain, directory, code, why, fix, again_in: again, until }, message);
    return this.#wait(wait);
  }

  #wait(ms: number): number {
    this.#notBefore = performance.now() + ms;
    return ms;
  }
}

/** True if a certificate is to be had though nobody knows what other gateways do; `now` is milliseconds since 1970. */
export function isUrgent(served: Pick<Kept, 'from' | 'until'> | undefined, now: number): boolean {
  return served === undefined || served.until - now < (served.until - served.from) / 6;
}

/** When a certificate is to be renewed, milliseconds since 1970; `chance` is from 0 to 1. */
export function renewal({ from, until }: Pick<Kept, 'from' | 'until'>, chance: number): number {
  const life = until - from;
  return until - life / 3 - (life / 30) * chance;
}

/**
 * How long to wait after so many failures in a row, in milliseconds.
 *
 * @param failures 1 or more.
 * @param life of the certificate that is served, in milliseconds, if there is one.
 * @param retryAfterMs what the authority asked for.
 * @param chance from 0 to 1.
 */
export function backoff(
  failures: number,
  life: number | undefined,
  retryAfterMs: number,
  chance: number,
): number {
  const most = Math.min(MOST_MS, (life ?? Number.POSITIVE_INFINITY) / 24);
  const wait = Math.min(most, LEAST_MS * 2 ** Math.min(failures - 1, 16)) * (0.75 + 0.25 * chance);
  return Math.max(wait, Math.min(retryAfterMs, RETRY_AFTER_MS));
}

function unkept(error: unknown): never {
  throw new OrderFailure('storage', (error as Error).message);
}

/** Failures that other gateways would have too. */
const EVERYWHERE: ReadonlySet<FailureCode> = new Set(['rate_limited', 'refused', 'challenge']);
const HELD = 'another gateway orders the certificate: this one waits for it';
const ALONE = 'the store is gone, and the certificate is urgent: this gateway orders one by itself';
const PUT_OFF = 'the store is gone: the renewal waits for it, until it is urgent';
/** How often it is looked whether another gateway's order has ended, and no more often. */
const HELD_LOOK_MS = 2_000;
const LEAST_LOOK_MS = 100;
/** Then what is urgent is ordered whoever holds the lock. */
const MOST_HELD_MS = 600_000;
const LEAST_MS = 60_000;
const MOST_MS = 6 * 3_600_000;
const RETRY_AFTER_MS = 24 * 3_600_000;
/** What is on disk is looked at so often at least. */
const LOOK_MS = 6 * 3_600_000;
