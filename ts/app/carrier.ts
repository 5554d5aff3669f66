/**
 * carrier: topics of apps to and from the other nodes that have the same store.
 *
 * It is linked with each worker of an app as these are with each other (`links.ts`). What they publish waits in an {@link Outbox} and goes by
 * PUBLISH to the channel of the app; what others publish there comes to the workers. Nothing here holds up a worker, whatever the store does.
 * A message is sent once: if nobody knows whether it arrived, it is not sent again.
 * Errors: none; what is lost is counted in `topics_dropped` of the app and said once. Bounds: {@link MOST_IN_FLIGHT}, and those of the outbox.
 */
import type { RedisSettings } from '../store/address.js';
import { channelOf, PubSub } from '../store/pubsub.js';
import type { LogLine } from '../thread.js';
import { framed, packed, unframe } from './frames.js';
import { type LinkEnd, Links } from './links.js';
import { type Batch, Outbox } from './outbox.js';

/** What a carrier has around it. */
export interface CarrierGround {
  store: RedisSettings;
  /** This node, to know its own messages when they come back: 8 bytes. */
  node: Buffer;
  /** Adds to a counter of an app. */
  count(app: string, counter: 'topics_sent' | 'topics_received' | 'topics_dropped', messages: number): void;
  log(level: LogLine['level'], fields: Record<string, unknown>, message: string): void;
}

/** See above; one a process. */
export class Carrier {
  readonly #ground: CarrierGround;
  readonly #pubsub: PubSub;
  readonly #outbox: Outbox;
  /** By the app's name. */
  readonly #links = new Map<string, Links>();
  #inFlight = 0;
  #next: NodeJS.Immediate | undefined;
  /** The loss that goes on was said. */
  #hasSaid = false;
  #hasSaidNonsense = false;
  #settled: (() => void) | undefined;

  /** @throws TypeError for an address that is none. */
  constructor(ground: CarrierGround) {
    this.#ground = ground;
    this.#outbox = new Outbox((app, why) => this.#lost(app, 1, why));
    this.#pubsub = new PubSub(ground.store, {
      onMessage: (channel, payload) => this.#take(channel.slice(this.#channel('').length), payload),
      onUp: () => {
        this.#hasSaid = false;
        ground.log('info', {}, UP);
        this.#pump();
      },
      onDown: (why) => ground.log('warn', { why }, DOWN),
    });
  }

  /** Links it with a thread of an app. */
  link(app: string, end: LinkEnd): void {
    let links = this.#links.get(app);
    if (links === undefined) {
      // To the workers: one that is stuck does not get what comes.
      links = new Links((messages) => this.#ground.count(app, 'topics_dropped', messages));
      links.receive((topic, message) => {
        this.#outbox.put(app, packed(topic, message), performance.now());
        this.#next ??= setImmediate(() => this.#pump()); // what comes together goes together
      });
      this.#links.set(app, links);
      this.#pubsub.subscribe(this.#channel(app));
    }
    links.add(end);
  }

  /** The topics of an app stay here from now on. */
  leave(app: string): void {
    this.#links.get(app)?.close();
    this.#links.delete(app);
    this.#pubsub.unsubscribe(this.#channel(app));
  }

  /** Sends what waits, as far as that takes no longer than `patienceMs`, and ends. */
  async close(patienceMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#settled = resolve;
      timer = setTimeout(resolve, patienceMs);
      // The last words of workers are on their way to this thread.
      setTimeout(() => this.#pump(), Math.min(LAST_WORDS_MS, patienceMs));
    });
    clearTimeout(timer);
    this.#pubsub.close();
    for (const links of this.#links.values()) links.close();
  }

  #channel(app: string): string {
    return channelOf(this.#ground.store, 'topics', app);
  }

  #pump(): void {
    clearImmediate(this.#next);
    this.#next = undefined;
    while (this.#pubsub.isUp && this.#inFlight < MOST_IN_FLIGHT) {
      const batch = this.#outbox.take(performance.now());
      if (batch === undefined) break;
      void this.#send(batch);
    }
    if (this.#inFlight === 0 && this.#outbox.bytes === 0) this.#settled?.();
  }

  async #send({ app, messages, bytes }: Batch): Promise<void> {
    this.#inFlight += bytes;
    try {
      await this.#pubsub.publish(this.#channel(app), framed(this.#ground.node, messages));
      this.#ground.count(app, 'topics_sent', messages.length);
    } catch (error) {
      this.#lost(app, messages.length, (error as Error).message);
    }
    this.#inFlight -= bytes;
    this.#pump();
  }

  #take(app: string, frame: Buffer): void {
    const links = this.#links.get(app);
    if (links === undefined) return;
    let messages = 0;
    try {
      unframe(frame, this.#ground.node, (topic, message) => {
        messages += 1;
        links.publish(topic, message, 0);
      });
    } catch (error) {
      if (!this.#hasSaidNonsense) {
        this.#ground.log('warn', { app, why: (error as Error).message }, NONSENSE);
        this.#hasSaidNonsense = true;
      }
    }
    if (messages > 0) this.#ground.count(app, 'topics_received', messages);
  }

  #lost(app: string, messages: number, why: string): void {
    this.#ground.count(app, 'topics_dropped', messages);
    if (this.#hasSaid) return;
    this.#hasSaid = true;
    this.#ground.log('warn', { app, why }, LOST);
  }
}

const UP = 'messages on topics go to other nodes';
const DOWN = 'messages on topics do not go to other nodes: the store is gone';
const LOST =
  'messages on topics were dropped on their way to other nodes: topics_dropped in the metrics counts them';
const NONSENSE = 'what came on the channel of an app is not from a gateway, or from another version';
/** Bytes that were sent and have no reply. */
const MOST_IN_FLIGHT = 1 << 20;
const LAST_WORDS_MS = 50;
