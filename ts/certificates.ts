/**
 * certificates: their files are looked at again while the gateway runs.
 *
 * What changed is in use for the next handshake; no connection notices. What cannot be used is refused, and the old
 * stays. Files are replaced one after the other, so a pair is looked at twice before it is called bad. A certificate
 * that ends soon, or has ended, is said once a day.
 * Units: milliseconds. Bounds: one look at a time, each a `stat` of every file, in a thread of libuv's pool.
 */
import type { Log } from './log.js';
import type { LookedAt } from './native.js';

/** What is looked at: the core reads the files and says what changed. */
export interface Watched {
  lookAtCertificates(): Promise<LookedAt[]>;
  certificates(): { listener: string; name: string; notAfter: number }[];
}

/** Looks until it is stopped. */
export class Certificates {
  readonly #watched: Watched;
  readonly #log: Log;
  /** What was wrong at the last look, to tell a pair that is bad from one that is being replaced. */
  readonly #bad = new Map<string, string>();
  #timer: NodeJS.Timeout | undefined;
  #warnedAt = Number.NEGATIVE_INFINITY;

  constructor(watched: Watched, log: Log) {
    this.#watched = watched;
    this.#log = log;
  }

  /** Begins, if there are files to look at; else ends. */
  watch(hasTls: boolean): void {
    this.stop();
    if (!hasTls) return;
    this.#warn();
    this.#plan();
  }

  /** No look is begun any more. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** One look; resolves when it is done. */
  async look(): Promise<void> {
    const looked = await this.#watched.lookAtCertificates();
    for (const { at, faults } of looked) {
      if (faults.length === 0) {
        this.#bad.delete(at);
        this.#log.info({ at }, 'certificates were replaced');
        continue;
      }
      const why = faults.map((fault) => `${fault.path}: ${fault.why} (${fault.fix})`).join('; ');
      const before = this.#bad.get(at);
      if (before === why) this.#log.error({ at, why }, 'certificates were refused: the old ones stay');
      // What was said is not said again.
      this.#bad.set(at, before === why || before === SAID + why ? SAID + why : why);
    }
    this.#warn();
  }

  #plan(): void {
    this.#timer = setTimeout(() => {
      void this.look()
        .catch((err: unknown) => this.#log.error({ err }, 'certificates could not be looked at'))
        .finally(() => {
          if (this.#timer !== undefined) this.#plan();
        });
    }, INTERVAL_MS);
    this.#timer.unref();
  }

  #warn(): void {
    const now = performance.now();
    if (now - this.#warnedAt < DAY_MS) return;
    this.#warnedAt = now;
    for (const { listener, name, notAfter } of this.#watched.certificates()) {
      const left = notAfter * 1000 - Date.now();
      // One of an authority is renewed: if that fails, it is said then.
      if (listener === '' && left > 0) continue;
      if (left > SOON_DAYS * DAY_MS) continue;
      const until = new Date(notAfter * 1000).toISOString();
      const what = left < 0 ? 'a certificate has ended: clients refuse it' : 'a certificate ends soon';
      this.#log.warn({ listener, name, until }, what);
    }
  }
}

const INTERVAL_MS = 5_000;
const DAY_MS = 86_400_000;
/** An ACME certificate of 90 days is renewed at 30. */
const SOON_DAYS = 14;
/** Marks what was said. */
const SAID = 'said: ';
