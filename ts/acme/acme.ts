/**
 * acme: certificates that come from ACME authorities, seen from the thread that made the gateway.
 *
 * What is on disk goes with the config to the core, so that the first client finds it; all else is done by a thread
 * that starts with the first certificate that is wanted. If it dies it is started again after {@link AGAIN_MS}.
 */
import { resolve } from 'node:path';
import { folderOf, type Loaded } from '../config/load.js';
import type { Log } from '../log.js';
import type { KeptCertificate, Settings } from '../native.js';
import type { RedisSettings } from '../store/address.js';
import { Thread } from '../thread.js';
import { Stored } from './stored.js';
import type { FromAcme, ToAcme } from './thread.js';

/** The certificates of one gateway that come from authorities. */
export class Acme {
  readonly #log: Log;
  #thread: Thread<ToAcme, FromAcme> | undefined;
  #wanted: Extract<ToAcme, { type: 'wanted' }> | undefined;

  constructor(log: Log) {
    this.#log = log;
  }

  /** Certificates on disk that a config wants. What cannot be read is left to the thread, which says so. */
  async prepare({ acme, stateDir }: Settings): Promise<KeptCertificate[]> {
    if (stateDir === undefined) return [];
    const read = acme.map(async ({ domain, directory, email }) => {
      const kept = await new Stored(stateDir, directory, email).certificate(domain).catch(() => undefined);
      return kept === undefined ? [] : [{ name: domain, cert: kept.cert, key: kept.key }];
    });
    return (await Promise.all(read)).flat();
  }

  /** A config is in force: its certificates are kept from now on, and no others. `store` is where some are shared. */
  commit(
    gateway: number,
    loaded: Loaded,
    { acme, stateDir }: Settings,
    store: RedisSettings | undefined,
  ): void {
    if (acme.length === 0 && this.#thread === undefined) return;
    const certificates = acme.map((one) =>
      one.ca === undefined ? one : { ...one, ca: resolve(folderOf(loaded), one.ca) },
    );
    this.#wanted = { type: 'wanted', gateway, stateDir: stateDir ?? '', certificates, store };
    this.#thread ??= this.#open();
    this.#thread.post(this.#wanted);
  }

  /** Ends the thread; an order that is under way is given up. */
  async close(): Promise<void> {
    const thread = this.#thread;
    this.#thread = undefined;
    await thread?.end({ type: 'close' });
  }

  #open(): Thread<ToAcme, FromAcme> {
    return new Thread<ToAcme, FromAcme>(new URL('./thread.js', import.meta.url), {
      name: 'ironsluice-acme',
      log: this.#log,
      again: {
        afterMs: AGAIN_MS,
        // What was issued is served on meanwhile.
        greet: (thread) => {
          if (this.#wanted !== undefined) thread.post(this.#wanted);
        },
      },
    });
  }
}

const AGAIN_MS = 10_000;
