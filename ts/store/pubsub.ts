/**
 * pubsub: messages to all processes that have the same store, by PUBLISH and SUBSCRIBE of a Redis or Valkey.
 *
 * One connection says and another hears, so that neither waits for the other. A message arrives once or not at all, in the order of who
 * published it; nothing is kept for who is not there. Each connection asks for a sign of life every {@link BEAT_MS}, is made again when it is lost,
 * and subscribes anew. In a cluster both lead to one of the nodes that the config names, and to the next when that is gone: a message of
 * PUBLISH goes to all nodes of a cluster.
 * Errors: none are thrown, but {@link PubSub.publish} rejects. Bounds: those of {@link address}; the caller bounds what it publishes at a time.
 */
import { Redis } from 'ioredis';
import { addressOf, backOff, type RedisSettings } from './address.js';

/** What is told. */
export interface PubSubEvents {
  /** A message to a channel that was subscribed to, this process's own too. */
  onMessage(channel: string, payload: Buffer): void;
  /** From now on messages go and come; told again after each loss, since some may have been missed. */
  onUp(): void;
  /** They do not any more, or do not yet. Told once until they do. */
  onDown(why: string): void;
}

/** The two connections; they are made at once, and again until it is closed. */
export class PubSub {
  readonly #say: Line;
  readonly #hear: Line;
  readonly #channels = new Set<string>();
  readonly #events: PubSubEvents;
  #isUp: boolean | undefined;
  #isOver = false;

  /** @throws TypeError for an address that is none. */
  constructor(settings: RedisSettings, events: PubSubEvents) {
    this.#events = events;
    const turn = (why: string | undefined): void => this.#turn(why);
    this.#say = new Line(settings, { prepare: async () => {}, turn });
    this.#hear = new Line(settings, {
      prepare: async (client) => {
        client.on('messageBuffer', (channel: Buffer, payload: Buffer) => {
          const name = String(channel);
          if (this.#channels.has(name)) events.onMessage(name, payload);
        });
        if (this.#channels.size > 0) await client.subscribe(...this.#channels);
      },
      turn,
    });
  }

  /** True if messages go and come. */
  get isUp(): boolean {
    return this.#isUp === true;
  }

  /** From now on messages to this channel are heard. */
  subscribe(channel: string): void {
    if (this.#channels.has(channel)) return;
    this.#channels.add(channel);
    this.#hear.run((client) => client.subscribe(channel));
  }

  /** They are not heard any more. */
  unsubscribe(channel: string): void {
    if (this.#channels.delete(channel)) this.#hear.run((client) => client.unsubscribe(channel));
  }

  /** Sends; rejects if it was not sent, or if nobody knows. */
  async publish(channel: string, payload: Buffer): Promise<void> {
    await this.#say.ready.publish(channel, payload);
  }

  /** Ends both connections. */
  close(): void {
    this.#isOver = true;
    this.#say.close();
    this.#hear.close();
  }

  #turn(why: string | undefined): void {
    if (this.#isOver) return;
    const isUp = this.#say.isReady && this.#hear.isReady;
    if (isUp === this.#isUp || (!isUp && why === undefined)) return;
    this.#isUp = isUp;
    if (isUp) this.#events.onUp();
    else this.#events.onDown(why ?? '');
  }
}

interface LineEvents {
  /** Does what a new connection needs; it is ready when that is done. */
  prepare(client: Redis): Promise<void>;
  /** It is ready; or it was lost or could not be made, and why. */
  turn(why: string | undefined): void;
}

/** A connection that is made anew whenever it is lost. */
class Line {
  readonly #places: ReturnType<typeof placesOf>;
  readonly #events: LineEvents;
  #client: Redis | undefined;
  #isReady = false;
  #attempts = 0;
  /** Which place is tried; the next one after each loss. */
  #at = 0;
  #again: NodeJS.Timeout | undefined;
  #isOver = false;

  constructor(settings: RedisSettings, events: LineEvents) {
    this.#places = placesOf(settings);
    this.#events = events;
    this.#open();
  }

  get isReady(): boolean {
    return this.#isReady;
  }

  /** The connection; throws without one. */
  get ready(): Redis {
    if (!this.#isReady || this.#client === undefined) throw new Error('there is no connection to the store');
    return this.#client;
  }

  /** Does something now, if there is a connection; one that fails is made anew, and prepared then. */
  run(work: (client: Redis) => Promise<unknown>): void {
    if (!this.#isReady || this.#client === undefined) return;
    const client = this.#client;
    work(client).catch(() => client.disconnect());
  }

  close(): void {
    this.#isOver = true;
    clearTimeout(this.#again);
    this.#client?.disconnect();
  }

  #open(): void {
    let why = 'it does not answer';
    const options = this.#places[this.#at % this.#places.length];
    const client = new Redis({ ...(options as NonNullable<typeof options>), retryStrategy: () => null });
    this.#client = client;
    let beat: NodeJS.Timeout | undefined;
    client.on('error', (error: Error) => {
      why = error.message;
    });
    client.on('ready', () => {
      // Silence is found by ioredis, which ends a connection that does not reply in time.
      const alive = (): void => void client.ping().catch(() => {});
      beat = setInterval(alive, BEAT_MS);
      this.#events.prepare(client).then(
        () => {
          if (this.#client !== client || client.status !== 'ready') return;
          why = 'the connection was lost';
          this.#attempts = 0;
          this.#isReady = true;
          this.#events.turn(undefined);
        },
        (error: Error) => {
          why = error.message;
          client.disconnect();
        },
      );
    });
    client.on('end', () => {
      clearInterval(beat);
      this.#isReady = false;
      if (this.#isOver) return;
      this.#attempts += 1;
      this.#at += 1;
      this.#again = setTimeout(() => this.#open(), backOff(this.#attempts));
      this.#events.turn(why);
    });
  }
}

/** The name of a channel that is a store's own: those of a Redis are the same in all of its databases. */
export function channelOf({ prefix, urls }: RedisSettings, kind: string, name: string): string {
  const database = /^rediss?:\/\/[^/]*\/(\d+)$/.exec(urls[0] ?? '')?.[1] ?? '0';
  return `${prefix}:${kind}:${Number(database)}:${name}`;
}

/** Where a connection may lead, each as good as the others. */
function placesOf(settings: RedisSettings) {
  const address = addressOf(settings);
  if (address.kind === 'one') return [address.options];
  return settings.urls.flatMap((url) => {
    const one = addressOf({ ...settings, urls: [url], isCluster: false });
    return one.kind === 'one' ? [one.options] : [];
  });
}

const BEAT_MS = 1_000;
