/**
 * redis: a client of a Redis or Valkey, alone, behind sentinels or as a cluster, that runs scripts and is never late.
 *
 * A call is settled by its deadline whatever the server does; a reply that comes later is dropped. One whose time is over is not
 * sent, and without a connection it fails at once. What is sent within one turn of the loop is one write to each server.
 * A script goes by its hash, and by its text if the server does not know it.
 * Errors: none are thrown; a call says in {@link Outcome} why it failed.
 * Bounds: {@link MOST_SENT} calls without a reply; {@link address} has those of time.
 * Limits: in a cluster a call that was redirected may arrive after its deadline.
 */
import { Cluster, Redis } from 'ioredis';
import { addressOf, backOff, type RedisSettings } from './address.js';
import type { Script } from './scripts.js';

/** What a script touches: one key, or several in one hash slot. */
export type Keys = Buffer | string | readonly Buffer[];

/** What came of a call. */
export type Outcome =
  | { type: 'replied'; values: number[] }
  /** Its time is over. */
  | { type: 'late' }
  | { type: 'failed'; why: string };

/** What is told about the connection. */
export interface RedisEvents {
  /** Calls go from now on. */
  onReady(): void;
  /** A connection was lost, or could not be made; without a cluster no call goes. */
  onLost(why: string): void;
}

interface Sent {
  until: number;
  done: ((outcome: Outcome) => void) | undefined;
}

/** A client; it connects at once, and again until it is closed. */
export class RedisClient {
  readonly #client: Redis | Cluster;
  /** Calls whose deadline has not come. */
  readonly #waiting = new Set<Sent>();
  /** Calls that have no reply, late ones too. */
  #sent = 0;
  #timer: NodeJS.Timeout | undefined;
  #timerAt = Number.POSITIVE_INFINITY;
  #isCorked = false;
  #why = 'it does not answer yet';
  /** Connections since a call was replied to. */
  #attempts = 0;

  /** @throws TypeError for an address that is none. */
  constructor(settings: RedisSettings, events: RedisEvents) {
    const address = addressOf(settings);
    const lost = (error: Error): void => {
      this.#why = error.message;
    };
    if (address.kind === 'one') {
      // A replica takes connections and refuses calls: it would be connected to again and again, if being ready were a success.
      const retryStrategy = (): number => backOff(++this.#attempts);
      this.#client = new Redis({ ...address.options, retryStrategy });
      this.#client.on('close', () => events.onLost(this.#why));
    } else {
      const cluster = new Cluster(address.nodes, address.options);
      // ioredis keeps what is sent to a node that was not connected yet; so all are.
      cluster.on('+node', (node: Redis) => {
        if (node.status === 'wait') node.connect().catch(lost);
      });
      cluster.on('node error', lost);
      cluster.on('close', () => events.onLost(this.#why));
      this.#client = cluster;
    }
    this.#client.on('error', lost);
    this.#client.on('ready', () => {
      this.#why = 'the connection was lost';
      events.onReady();
    });
  }

  /** True if calls are sent. */
  get isReady(): boolean {
    return this.#client.status === 'ready';
  }

  /**
   * Runs a script.
   *
   * @param keys its key, or several, which are in one hash slot.
   * @param until milliseconds of {@link clock}.
   * @param done is called once: at once, or at the latest when `until` is over.
   */
  call(script: Script, keys: Keys, args: readonly number[], until: number, done: Sent['done'] & {}): void {
    const refusal = this.#refusal(until);
    if (refusal !== undefined) {
      done(refusal);
      return;
    }
    const sent: Sent = { until, done };
    this.#waiting.add(sent);
    this.#arm(until);
    this.#sent += 1;
    const settled = (outcome: Outcome): void => {
      this.#sent -= 1;
      this.#settle(sent, outcome);
    };
    const all = typeof keys === 'object' && !Buffer.isBuffer(keys) ? keys : [keys];
    this.#cork();
    this.#client
      .evalsha(script.sha, all.length, ...all, ...args)
      .catch((error: Error) => {
        if (!error.message.startsWith('NOSCRIPT') || sent.done === undefined) throw error;
        this.#cork();
        return this.#client.eval(script.lua, all.length, ...all, ...args);
      })
      .then(
        (reply) => {
          this.#attempts = 0;
          settled(outcomeOf(reply));
        },
        (error: Error) => settled({ type: 'failed', why: this.#reason(error) }),
      );
  }

  /** Why a call is not sent. */
  #refusal(until: number): Outcome | undefined {
    if (until <= clock()) return { type: 'late' };
    if (!this.isReady) return { type: 'failed', why: this.#why };
    if (this.#sent >= MOST_SENT) return { type: 'failed', why: `${MOST_SENT} calls have no reply` };
    return undefined;
  }

  /** Ends all connections; what waits has failed. */
  close(): void {
    clearTimeout(this.#timer);
    for (const sent of [...this.#waiting]) this.#settle(sent, { type: 'failed', why: 'it is closed' });
    this.#client.disconnect();
  }

  /** What the server said; all else is that there is no connection. */
  #reason({ name, message }: Error): string {
    if (name === 'ReplyError') {
      // For this the connection is given up, and that it was lost says nothing.
      if (message.startsWith('READONLY')) this.#why = message;
      return message;
    }
    if (this.#client instanceof Cluster) this.#client.refreshSlotsCache();
    return this.#why;
  }

  #settle(sent: Sent, outcome: Outcome): void {
    const { done } = sent;
    if (done === undefined) return; // it was late
    sent.done = undefined;
    this.#waiting.delete(sent);
    done(outcome);
  }

  /** One timer for all: nearly all calls may take the same time. */
  #arm(until: number): void {
    if (until >= this.#timerAt) return;
    clearTimeout(this.#timer);
    this.#timerAt = until;
    this.#timer = setTimeout(() => this.#sweep(), Math.max(0, Math.ceil(until - clock())));
  }

  #sweep(): void {
    this.#timerAt = Number.POSITIVE_INFINITY;
    const now = clock();
    let next = Number.POSITIVE_INFINITY;
    for (const sent of [...this.#waiting]) {
      if (sent.until <= now) this.#settle(sent, { type: 'late' });
      else next = Math.min(next, sent.until);
    }
    if (next < Number.POSITIVE_INFINITY) this.#arm(next);
  }

  /** Holds back what is written until this turn has written all. */
  #cork(): void {
    if (this.#isCorked) return;
    this.#isCorked = true;
    const clients = this.#client instanceof Cluster ? this.#client.nodes('master') : [this.#client];
    const streams = clients.map(({ stream }) => stream).filter((stream) => stream?.writable);
    for (const stream of streams) stream.cork();
    process.nextTick(() => {
      this.#isCorked = false;
      for (const stream of streams) stream.uncork();
    });
  }
}

/** Milliseconds of `process.hrtime`, which deadlines are in. */
export function clock(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

function outcomeOf(reply: unknown): Outcome {
  const isWhole = Array.isArray(reply) && reply.every((value) => Number.isSafeInteger(value));
  return isWhole
    ? { type: 'replied', values: reply as number[] }
    : { type: 'failed', why: 'a script replied no integers' };
}

const MOST_SENT = 4_096;
