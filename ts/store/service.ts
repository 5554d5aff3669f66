/**
 * service: takes the calls of the store from the core, has them run, and answers in batches.
 *
 * The core wakes it once for all calls that wait; after a batch it looks again by itself, so that calls that no request waits for come in
 * batches too. A change of the store goes in two steps: what is new is connected to first, and
 * takes the old one's place when its config is in force; calls that are under way end where they began.
 * Errors: none reach the core but as a call that failed.
 */
import type { MessagePort } from 'node:worker_threads';
import type { LogLine } from '../thread.js';
import type { RedisSettings } from './address.js';
import { Link, type Note } from './link.js';
import type { Outcome } from './redis.js';
import { loadScripts } from './scripts.js';

/** A call of the store, as the core gives it. */
export interface StoreAsk {
  /** Names it in the answer. */
  number: number;
  /** A file of `ts/store` without `.lua`. */
  script: string;
  key: Buffer;
  /** Further keys, of the same hash slot. */
  more?: Buffer[];
  args: number[];
  /** After this nobody wants the answer: milliseconds of `process.hrtime`. */
  until: number;
}

/** What came of a call: no values if it failed, `late` if its time was over. */
export interface StoreAnswer {
  number: number;
  values?: number[];
  late?: boolean;
}

/** The calls of one gateway: `StoreAsks` of the addon. */
export interface Asks {
  /** Milliseconds within which to take again after something was taken. */
  readonly linger: number;
  take(): StoreAsk[];
  answer(answers: StoreAnswer[]): void;
  note(note: Note): void;
  close(): void;
}

/** What the main thread says. */
export type ToService =
  /** Connect to this store, or to none; the one in force is not touched. */
  | { type: 'prepare'; settings: RedisSettings | undefined }
  /** What was prepared is in force. */
  | { type: 'commit'; gateway: number }
  /** What was prepared is not wanted. */
  | { type: 'abandon' }
  | { type: 'close' };

/** What the service says; `failed` to what was prepared, `committed` when calls go to it. */
export type FromService = { type: 'prepared' | 'committed' } | { type: 'failed'; why: string };

/** What the service is started with. */
export interface ServiceData {
  /** The number by which other nodes know this one. */
  node: number;
  /** See `figures.ts`. */
  figures: SharedArrayBuffer;
}

/** What the service needs of its thread. */
export interface ServiceGround extends ServiceData {
  port: Pick<MessagePort, 'on' | 'postMessage'>;
  /** Begins to take the calls of a gateway; throws if it is closing. */
  serve(gateway: number, wake: () => void): Asks;
  /** Ends the thread. */
  exit(): void;
}

/** The store's side of one gateway. */
export class Service {
  readonly #ground: ServiceGround;
  readonly #scripts = loadScripts();
  #link: Link | undefined;
  #next: Link | undefined;
  #asks: Asks | undefined;
  #answers: StoreAnswer[] = [];
  /** The next look at what nobody was woken for. */
  #look: NodeJS.Timeout | undefined;

  constructor(ground: ServiceGround) {
    this.#ground = ground;
    ground.port.on('message', (message: ToService) => void this.#hear(message));
  }

  async #hear(message: ToService): Promise<void> {
    if (message.type === 'prepare') await this.#prepare(message.settings);
    else if (message.type === 'commit') this.#commit(message.gateway);
    else if (message.type === 'abandon') this.#abandon();
    else await this.#close();
  }

  async #prepare(settings: RedisSettings | undefined): Promise<void> {
    this.#abandon();
    if (settings === undefined) {
      this.#next = undefined;
    } else if (JSON.stringify(settings) !== JSON.stringify(this.#link?.settings)) {
      try {
        this.#next = this.#connect(settings);
      } catch (error) {
        this.#say({ type: 'failed', why: (error as Error).message });
        return;
      }
      // A store that is not there is no fault of a config: what it is for says what happens without it.
      await this.#next.known;
    }
    this.#say({ type: 'prepared' });
  }

  #connect(settings: RedisSettings): Link {
    const { node, figures } = this.#ground;
    const link: Link = new Link({
      settings,
      scripts: this.#scripts,
      node,
      figures,
      log: (level, fields, message) => this.#say({ type: 'log', level, fields, message }),
      onNote: (note) => {
        if (link === this.#link) this.#asks?.note(note);
      },
    });
    return link;
  }

  #commit(gateway: number): void {
    const before = this.#link;
    this.#link = this.#next;
    if (before !== this.#link) before?.retire();
    try {
      this.#asks ??= this.#ground.serve(gateway, () => this.#take());
      if (before !== this.#link || before === undefined) this.#asks.note(this.#link?.note ?? NO_STORE);
    } catch {
      // The gateway is closing: there is nobody to answer.
    }
    this.#say({ type: 'committed' });
  }

  #abandon(): void {
    if (this.#next !== this.#link) this.#next?.retire();
    this.#next = this.#link;
  }

  async #close(): Promise<void> {
    clearTimeout(this.#look);
    this.#asks?.close();
    if (this.#next !== this.#link) this.#next?.retire();
    await this.#link?.close();
    this.#ground.exit();
  }

  #take(): void {
    if (this.#asks === undefined) return;
    const taken = this.#asks.take();
    if (taken.length > 0) {
      this.#look ??= setTimeout(() => {
        this.#look = undefined;
        this.#take();
      }, this.#asks.linger);
    }
    for (const { number, script, key, more, args, until } of taken) {
      const done = (outcome: Outcome): void => this.#answer(number, outcome);
      if (this.#link === undefined) done({ type: 'failed', why: 'no store is in force' });
      else this.#link.call(script, more === undefined ? key : [key, ...more], args, until, done);
    }
  }

  #answer(number: number, outcome: Outcome): void {
    const answer: StoreAnswer = { number };
    if (outcome.type === 'replied') answer.values = outcome.values;
    else if (outcome.type === 'late') answer.late = true;
    this.#answers.push(answer);
    if (this.#answers.length === 1) setImmediate(() => this.#flush());
  }

  #flush(): void {
    const batch = this.#answers;
    this.#answers = [];
    this.#asks?.answer(batch);
  }

  #say(message: FromService | LogLine): void {
    this.#ground.port.postMessage(message);
  }
}

const NO_STORE: Note = { up: false, nodes: 1, clock: 0 };
