/**
 * keeper: one certificate of an ACME authority, from what is on disk to its renewal, for as long as it is wanted.
 *
 * It is renewed when a third of its life is left, a little earlier by chance, so that many gateways do not come at once.
 * What is on disk is looked at before each order: another process may have renewed it. A failure leaves what is served
 * as it is, and is followed by another try.
 * Bounds: the first wait is {@link LEAST_MS}, each next is twice as long, up to {@link MOST_MS}, and none is longer than
 * a 24th of the certificate's life; what the authority asks for in Retry-After, up to {@link RETRY_AFTER_MS}.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { AcmeSettings } from '../native.js';
import type { LogLine } from '../thread.js';
import { FIXES, OrderFailure } from './failure.js';
import type { Issued } from './order.js';
import { type Kept, parse, type Stored } from './stored.js';

/** What a keeper has to do with. */
export interface Ground {
  readonly stored: Stored;
  /** Orders a certificate, as `order` does. */
  order(wanted: AcmeSettings, accountKey: string, signal: AbortSignal): Promise<Issued>;
  /** Serves it; throws if it cannot be used. */
  publish(name: string, cert: string, key: string): void;
  /** Counts an order that has ended, with its failure if it has one. */
  count(failure: string | undefined): void;
  log(level: LogLine['level'], fields: Record<string, unknown>, message: string): void;
}

/** Keeps one certificate. */
export class Keeper {
  readonly #wanted: AcmeSettings;
  readonly #ground: Ground;
  readonly #end = new AbortController();
  #served: Kept | undefined;
  #failures = 0;

  constructor(wanted: AcmeSettings, ground: Ground) {
    this.#wanted = wanted;
    this.#ground = ground;
  }

  /** Keeps it until {@link stop}; never rejects. */
  async run(): Promise<void> {
    const { signal } = this.#end;
    while (!signal.aborted) {
      const wait = await this.#turn();
      await pause(Math.min(wait, LOOK_MS), undefined, { signal }).catch(() => {});
    }
  }

  /** No order is begun any more; one that is under way is given up. */
  stop(): void {
    this.#end.abort(new Error('it is not wanted any more'));
  }

  /** Does what is due; resolves with how long to wait. */
  async #turn(): Promise<number> {
    await this.#look();
    const due = this.#served === undefined ? 0 : renewal(this.#served, Math.random()) - Date.now();
    if (due > 0) return due;
    try {
      const kept = await this.#order();
      this.#failures = 0;
      const { domain, directory } = this.#wanted;
      const until = new Date(kept.until).toISOString();
      this.#ground.log('info', { domain, directory, until }, 'a certificate was issued');
      return 0;
    } catch (error) {
      return this.#end.signal.aborted ? 0 : this.#failed(error);
    }
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

  async #order(): Promise<Kept> {
    const { domain, directory, challenge } = this.#wanted;
    const { stored, publish } = this.#ground;
    if (this.#served === undefined && this.#failures === 0) {
      const message =
        'a certificate is ordered: until it is issued, clients that ask for the domain are refused';
      this.#ground.log('info', { domain, directory, challenge }, message);
    }
    const account = await stored.accountKey().catch(unkept);
    const { signal } = this.#end;
    const { cert, key } = await this.#ground.order(this.#wanted, account, signal);
    let kept: Kept;
    try {
      kept = parse(`${cert}\n${key}`, domain);
      publish(domain, kept.cert, kept.key);
    } catch (error) {
      throw new OrderFailure('certificate', (error as Error).message);
    }
    await stored.keep(domain, kept).catch((error: Error) => {
      // What is served need not be ordered again while this process runs.
      const state = { domain, why: error.message, fix: FIXES.storage };
      this.#ground.log('error', state, 'a certificate was not kept: it is ordered again at the next start');
    });
    this.#served = kept;
    this.#ground.count(undefined);
    return kept;
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
    const again = `${Math.ceil(wait / 1_000)}s`;
    const until = this.#served === undefined ? undefined : new Date(this.#served.until).toISOString();
    const message =
      until === undefined
        ? 'a certificate was not issued: clients that ask for the domain are refused'
        : 'a certificate was not renewed: the old one stays';
    this.#ground.log('error', { domain, directory, code, why, fix, again_in: again, until }, message);
    return wait;
  }
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

const LEAST_MS = 60_000;
const MOST_MS = 6 * 3_600_000;
const RETRY_AFTER_MS = 24 * 3_600_000;
/** What is on disk is looked at so often at least. */
const LOOK_MS = 6 * 3_600_000;
