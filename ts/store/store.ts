/**
 * store: the shared store of one gateway, seen from the thread that made it.
 *
 * All is done by a thread that starts with the first config that has a store. A change goes in two steps: {@link Store.prepare},
 * then {@link Store.commit} or {@link Store.abandon}. If the thread dies it is started again after {@link AGAIN_MS}.
 * Errors: `config_invalid` for an address that is none. A store that does not answer is no error.
 */
import { randomInt } from 'node:crypto';
import { GateError } from '../errors.js';
import type { Log } from '../log.js';
import type { CoreMetric } from '../metrics.js';
import { PATIENCE_MS, Thread } from '../thread.js';
import type { RedisSettings } from './address.js';
import { createFigures, metricsOf, readFigures } from './figures.js';
import type { FromService, ServiceData, ToService } from './service.js';

/** The store of one gateway. */
export class Store {
  /** Numbers of the store's thread, for whoever tells metrics; {@link readFigures} reads them. */
  readonly figures: SharedArrayBuffer = createFigures();
  readonly #log: Log;
  readonly #file: URL;
  /** Other nodes know this one by it, also when its thread is started again. */
  readonly #node = randomInt(2 ** 47);
  #thread: Thread<ToService, FromService> | undefined;
  #settings: RedisSettings | undefined;
  #next: RedisSettings | undefined;
  #gateway: number | undefined;

  /** @param file the thread's program, for tests. */
  constructor(log: Log, file: URL = new URL('./thread.js', import.meta.url)) {
    this.#log = log;
    this.#file = file;
  }

  /**
   * Connects to the store that a config names; `undefined` is the memory of this process. Waits for it at most a second.
   *
   * @throws GateError `config_invalid` for an address that is none.
   */
  async prepare(settings: RedisSettings | undefined): Promise<void> {
    if (settings === undefined && this.#thread === undefined) return;
    this.#next = settings;
    this.#thread ??= this.#open();
    const answer = await this.#thread.ask({ type: 'prepare', settings });
    if (answer?.type === 'prepared') return;
    this.abandon();
    const late = `its thread did not answer within ${PATIENCE_MS / 1000} s, or died`;
    const why = answer?.type === 'failed' ? answer.why : late;
    throw new GateError('config_invalid', `store: ${why}`);
  }

  /** What was prepared is in force for this gateway; resolves when calls go there. */
  async commit(gateway: number): Promise<void> {
    this.#gateway = gateway;
    this.#settings = this.#next;
    await this.#thread?.ask({ type: 'commit', gateway });
  }

  /** What was prepared is not wanted. */
  abandon(): void {
    this.#next = this.#settings;
    this.#thread?.post({ type: 'abandon' });
  }

  /** The numbers of the store; none if no config had one. */
  metrics(): CoreMetric[] {
    return this.#thread === undefined ? [] : metricsOf(readFigures(this.figures));
  }

  /** Ends the thread; the other nodes are told. */
  async close(): Promise<void> {
    const thread = this.#thread;
    this.#thread = undefined;
    await thread?.end({ type: 'close' });
  }

  #open(): Thread<ToService, FromService> {
    return new Thread<ToService, FromService>(this.#file, {
      name: 'ironsluice-store',
      data: { node: this.#node, figures: this.figures } satisfies ServiceData,
      log: this.#log,
      again: { afterMs: AGAIN_MS, greet: (thread) => this.#greet(thread) },
    });
  }

  /** Meanwhile calls wait, up to their deadlines. */
  async #greet(thread: Thread<ToService, FromService>): Promise<void> {
    const answer = await thread.ask({ type: 'prepare', settings: this.#settings });
    if (answer?.type === 'prepared' && this.#gateway !== undefined) {
      await thread.ask({ type: 'commit', gateway: this.#gateway });
    }
  }
}

const AGAIN_MS = 100;
