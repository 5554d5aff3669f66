/**
 * keys: values and locks in the store, for what no request waits for.
 *
 * Each call has {@link CALL_MS}, in which it also waits for a connection. What is not answered by then may have happened all the same.
 * A lock belongs to a number; only who has that keeps it or gives it back.
 * Errors: {@link StoreGone} for whatever came of a call but its answer. Keys are whole: the prefix is the caller's.
 */
import { Cluster, Redis } from 'ioredis';
import { addressOf, type RedisSettings } from './address.js';
import { loadScripts } from './scripts.js';

/** The store did not answer, or refused. */
export class StoreGone extends Error {}

/** Whose a lock is. */
export interface Held {
  isMine: boolean;
  /** For how long, if nobody keeps it, milliseconds. */
  leftMs: number;
}

/** A connection of its own; it is made at once, and again until it is closed. */
export class Keys {
  readonly #client: Redis | Cluster;
  readonly #lock: string;
  #why = 'it does not answer';

  /** @throws TypeError for an address that is none. */
  constructor(settings: RedisSettings) {
    this.#lock = loadScripts().get('lock')?.lua ?? '';
    const address = addressOf({ ...settings, timeoutMs: CALL_MS });
    if (address.kind === 'one') {
      this.#client = new Redis({ ...address.options, commandTimeout: CALL_MS });
    } else {
      const { redisOptions, ...rest } = address.options;
      const options = { ...rest, redisOptions: { ...redisOptions, commandTimeout: CALL_MS } };
      this.#client = new Cluster(address.nodes, options);
    }
    this.#client.on('error', (error: Error) => {
      this.#why = error.message;
    });
  }

  /** What a key has, and for how long yet, milliseconds; nothing if there is no such key. */
  async get(key: string): Promise<{ value: Buffer; leftMs: number } | undefined> {
    const [value, leftMs] = await this.#call((client) =>
      Promise.all([client.getBuffer(key), client.pttl(key)]),
    );
    return value === null ? undefined : { value, leftMs: Math.max(0, leftMs) };
  }

  /** Keeps a value for so long, milliseconds. */
  async put(key: string, value: Buffer | string, forMs: number): Promise<void> {
    await this.#call((client) => client.set(key, value, 'PX', Math.max(1, Math.ceil(forMs))));
  }

  /** Removes a key. */
  async remove(key: string): Promise<void> {
    await this.#call((client) => client.del(key));
  }

  /** Takes a lock, or keeps it, for so long from now on, milliseconds; 0 gives it back. */
  async lock(key: string, holder: number, forMs: number): Promise<Held> {
    const reply = await this.#call((client) => client.eval(this.#lock, 1, key, holder, forMs));
    const [held, leftMs] = reply as [number, number];
    return { isMine: held === 1, leftMs };
  }

  /** How many processes with this store live, as their heartbeats in the sorted set `key` say. */
  nodes(key: string): Promise<number> {
    return this.#call((client) => client.zcard(key));
  }

  /** Ends the connection; what waits has failed. */
  close(): void {
    this.#client.disconnect();
  }

  async #call<T>(work: (client: Redis | Cluster) => Promise<T>): Promise<T> {
    try {
      await this.#ready();
      return await work(this.#client);
    } catch (error) {
      if (error instanceof StoreGone) throw error;
      const { name, message } = error as Error;
      throw new StoreGone(name === 'ReplyError' ? message : `${this.#why}: ${message}`);
    }
  }

  async #ready(): Promise<void> {
    const client = this.#client;
    if (client.status === 'ready') return;
    await new Promise<void>((resolve, reject) => {
      const ready = (): void => {
        clearTimeout(timer);
        resolve();
      };
      const timer = setTimeout(() => {
        client.off('ready', ready);
        reject(new StoreGone(this.#why));
      }, CALL_MS);
      client.once('ready', ready);
    });
  }
}

const CALL_MS = 2_000;
