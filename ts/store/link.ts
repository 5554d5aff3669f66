/**
 * link: one store as the store's thread has it: a client behind a breaker, and a heart that beats in it.
 *
 * The heart says each second that this node lives and learns how many do. After a beat that failed it beats faster, and when the
 * breaker is open as soon as that lets it: so the store is found again without a request that tries.
 * When the store goes away one line is logged, and one when it is back.
 */

import type { RedisSettings } from './address.js';
import { Breaker } from './breaker.js';
import { count, setFigures } from './figures.js';
import { clock, type Keys, type Outcome, RedisClient } from './redis.js';
import type { Script } from './scripts.js';

/** What the core is told at each heartbeat, and when the store goes or comes. */
export interface Note {
  /** Does the store answer? */
  up: boolean;
  /** How many nodes live, this one too: at least 1. Without the store, as many as were last seen. */
  nodes: number;
  /** The store's clock when it last answered, microseconds since 1970; 0 without the store. */
  clock: number;
}

/** What a link needs around it. */
export interface LinkOptions {
  settings: RedisSettings;
  scripts: ReadonlyMap<string, Script>;
  /** The number by which other nodes know this one. */
  node: number;
  /** See {@link createFigures}. */
  figures: SharedArrayBuffer;
  log(level: 'info' | 'warn', fields: Record<string, unknown>, message: string): void;
  onNote(note: Note): void;
}

/** A store; it is connected to at once. */
export class Link {
  /** Resolves when it is known whether the store is there, at the latest after {@link FIRST_MS}. */
  readonly known: Promise<void>;
  readonly #options: LinkOptions;
  readonly #client: RedisClient;
  readonly #breaker: Breaker;
  readonly #heart: Script;
  #beat: NodeJS.Timeout | undefined;
  #isBeating = false;
  /** True if no beat was answered, or the last was not. */
  #isFaint = true;
  #isOver = false;
  /** Nothing before the first time it is known. */
  #isUp: boolean | undefined;
  /** Counts of the last beats: a node is missed only when it was missing in all. */
  #seen: number[] = [];
  #clock = 0;
  #know: () => void = () => {};

  /** @throws TypeError for an address that is none. */
  constructor(options: LinkOptions) {
    const { settings, scripts } = options;
    const heart = scripts.get('nodes');
    if (heart === undefined) throw new Error('the script nodes.lua is missing');
    this.#options = options;
    this.#heart = heart;
    this.#breaker = new Breaker({ leastMs: Math.max(LEAST_MS, settings.timeoutMs) });
    this.known = new Promise((resolve) => {
      const timer = setTimeout(resolve, FIRST_MS);
      this.#know = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#client = new RedisClient(settings, {
      onReady: () => {
        this.#breaker.retry(clock());
        this.#pulse();
      },
      onLost: (why) => {
        this.#breaker.trip(clock());
        this.#turn(false, why);
        this.#wind();
      },
    });
    this.#wind();
  }

  /** What the link was made from. */
  get settings(): RedisSettings {
    return this.#options.settings;
  }

  /** Runs a script by its name; `done` is called once, at the latest when `until` is over ({@link clock}). */
  call(
    name: string,
    keys: Keys,
    args: readonly number[],
    until: number,
    done: (outcome: Outcome) => void,
  ): void {
    const script = this.#options.scripts.get(name);
    if (script === undefined) {
      done({ type: 'failed', why: `there is no script ${name}` });
      return;
    }
    if (!this.#breaker.admits(clock())) {
      count(this.#options.figures, 'refused');
      done(OPEN);
      return;
    }
    this.#client.call(script, keys, args, until, (outcome) => {
      this.#judge(outcome);
      done(outcome);
    });
  }

  /** What is known of the store. */
  get note(): Note {
    const up = this.#isUp === true;
    return { up, nodes: Math.max(1, ...this.#seen), clock: up ? this.#clock : 0 };
  }

  /** Another link is in its place: it ends when its calls have. */
  retire(): void {
    this.#end();
    setTimeout(() => this.#client.close(), this.settings.timeoutMs + LEAST_MS);
  }

  /** Says goodbye to the other nodes, as far as time allows, and ends. */
  async close(): Promise<void> {
    this.#end();
    const { node, settings } = this.#options;
    await new Promise<void>((resolve) => {
      const until = clock() + settings.timeoutMs;
      this.#client.call(this.#heart, this.#key, [node, 0], until, () => resolve());
    });
    this.#client.close();
  }

  #end(): void {
    this.#isOver = true;
    clearTimeout(this.#beat);
    this.#know();
  }

  get #key(): string {
    return `${this.settings.prefix}:nodes`;
  }

  /** Sets when the heart beats next. */
  #wind(): void {
    clearTimeout(this.#beat);
    if (this.#isOver || this.#isBeating) return;
    const { state, nextAt } = this.#breaker;
    const whole = this.#isFaint ? FASTER_MS : BEAT_MS;
    const wait = state === 'closed' ? whole : Math.max(1, Math.ceil(nextAt - clock()));
    this.#beat = setTimeout(() => this.#pulse(), wait);
  }

  #pulse(): void {
    if (this.#isBeating || this.#isOver) return;
    const now = clock();
    if (!this.#breaker.admits(now)) {
      this.#wind();
      return;
    }
    this.#isBeating = true;
    const { node, settings } = this.#options;
    this.#client.call(this.#heart, this.#key, [node, ALIVE_US], now + settings.timeoutMs, (outcome) => {
      this.#isBeating = false;
      this.#isFaint = outcome.type !== 'replied';
      if (outcome.type === 'replied') {
        const [nodes = 1, time = 0] = outcome.values;
        this.#seen = [...this.#seen.slice(1 - SEEN), nodes];
        this.#clock = time;
      }
      this.#judge(outcome);
      if (outcome.type === 'replied') this.#tell();
      this.#wind();
    });
  }

  #judge(outcome: Outcome): void {
    const isHeard = outcome.type === 'replied';
    count(this.#options.figures, outcome.type);
    if (isHeard) this.#breaker.succeeded();
    else this.#breaker.failed(clock());
    this.#turn(isHeard, outcome.type === 'failed' ? outcome.why : 'it does not answer in time');
  }

  /** Notes and logs that the store went, or came. */
  #turn(isHeard: boolean, why: string): void {
    const before = this.#isUp;
    const isUp = this.#breaker.state === 'closed' ? isHeard || before : false;
    if (this.#isOver || isUp === undefined || isUp === before) return;
    this.#isUp = isUp;
    if (!isUp) {
      this.#clock = 0;
      this.#log('warn', { why }, GONE);
    } else if (before === false) {
      this.#log('info', {}, BACK);
    }
    this.#tell();
    // A request found it first: how many nodes there are is not known yet.
    if (isUp && this.#clock === 0) this.#pulse();
  }

  #tell(): void {
    if (this.#isOver) return;
    this.#know();
    const { figures, onNote } = this.#options;
    const { note } = this;
    setFigures(figures, { isUp: note.up, breaker: this.#breaker.state, nodes: note.nodes });
    onNote(note);
  }

  #log(level: 'info' | 'warn', fields: Record<string, unknown>, message: string): void {
    this.#options.log(level, fields, message);
  }
}

const OPEN: Outcome = { type: 'failed', why: 'the breaker is open' };
const GONE = 'the store is gone: limits of scope global do what their `on_fail` says until it is back';
const BACK = 'the store is back';
/** How often the heart beats, and after a beat that failed. */
const BEAT_MS = 1_000;
const FASTER_MS = 100;
/** A node that missed three beats is not counted any more. */
const ALIVE_US = 3_000_000;
const SEEN = 3;
const FIRST_MS = 1_000;
/** The breaker's first back-off. */
const LEAST_MS = 100;
