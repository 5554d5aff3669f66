/**
 * resolve: host names of endpoints to addresses, at the start and every 30 s.
 *
 * A name that does not resolve never stops anything: the core keeps the last addresses that were good, and
 * answers 503 where there were none. Names are looked up as the system does (`/etc/hosts`, then DNS).
 * Units: milliseconds. Bounds: {@link AT_ONCE} look-ups at a time, for each holds a thread of libuv's pool,
 * which drains and file writes need too; one look-up a name at a time; {@link MAX_ADDRESSES} a name.
 */
import { lookup } from 'node:dns/promises';
import type { Log } from './log.js';

/** What is resolved for: the core names hosts and takes addresses. */
export interface Target {
  hosts(): string[];
  resolved(host: string, addresses: string[]): void;
}

/** Turns a name into addresses; rejects if it cannot. */
export type Lookup = (host: string) => Promise<string[]>;

/** Looks names up until it is stopped. */
export class Resolver {
  readonly #target: Target;
  readonly #log: Log;
  readonly #lookup: Lookup;
  readonly #busy = new Set<string>();
  readonly #last = new Map<string, string>();
  #timer: NodeJS.Timeout | undefined;

  constructor(target: Target, log: Log, by: Lookup = bySystem) {
    this.#target = target;
    this.#log = log;
    this.#lookup = by;
  }

  /** Starts; resolves when all names were tried once, or after {@link PATIENCE_MS}. */
  async start(): Promise<void> {
    this.#plan();
    await this.refresh();
  }

  /** Tries the names that have no answer yet, or all; resolves as {@link start} does. */
  async refresh(which: 'all' | 'new' = 'all'): Promise<void> {
    const hosts = this.#target.hosts();
    const known = new Set(hosts);
    for (const host of this.#last.keys()) if (!known.has(host)) this.#last.delete(host);
    const queue = hosts.filter((host) => !this.#busy.has(host) && (which === 'all' || !this.#last.has(host)));
    const take = async (): Promise<void> => {
      for (let host = queue.shift(); host !== undefined; host = queue.shift()) await this.#resolve(host);
    };
    const done = Promise.all(Array.from({ length: AT_ONCE }, take));
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, PATIENCE_MS);
    });
    await Promise.race([done, late]);
    clearTimeout(timer);
  }

  /** No look-up is begun any more. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #plan(): void {
    // Jitter, so that gateways that were started together do not ask together.
    const wait = INTERVAL_MS * (0.9 + 0.2 * Math.random());
    this.#timer = setTimeout(() => {
      this.#plan();
      void this.refresh();
    }, wait);
    this.#timer.unref();
  }

  async #resolve(host: string): Promise<void> {
    this.#busy.add(host);
    try {
      const addresses = [...new Set(await this.#lookup(host))].sort().slice(0, MAX_ADDRESSES);
      this.#note(host, addresses.join(' '));
      this.#target.resolved(host, addresses);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      this.#note(host, '', code ?? String(error));
    } finally {
      this.#busy.delete(host);
    }
  }

  #note(host: string, addresses: string, why = 'no address'): void {
    const before = this.#last.get(host);
    this.#last.set(host, addresses);
    if (before === addresses) return;
    if (addresses === '') {
      this.#log.warn(
        { host, why },
        before ? 'a name resolves no more: its last addresses stay' : 'a name does not resolve yet',
      );
    } else {
      this.#log.info({ host, addresses }, 'a name was resolved');
    }
  }
}

async function bySystem(host: string): Promise<string[]> {
  const found = await lookup(host, { all: true, verbatim: true });
  return found.map(({ address }) => address);
}

const INTERVAL_MS = 30_000;
/** How long a start or a reload waits for names. */
const PATIENCE_MS = 1_000;
const AT_ONCE = 2;
const MAX_ADDRESSES = 256;
