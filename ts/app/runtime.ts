/**
 * runtime: what all parts of an app in one thread share: its links to the others, and the event hubs.
 *
 * In a worker it is linked; anywhere else, as in a test of a module, it is alone and everything works within the thread.
 */
import { randomBytes } from 'node:crypto';
import type { AppServer, Chunk } from '../http/server-types.js';
import { countDropped, type LinkEnd, Links, type Seed } from './links.js';
import { Order } from './order.js';
import { checkMessage, checkTopic, type Topics } from './topics.js';

/** An event hub, as the runtime sees it. */
export interface Hub {
  /** Takes an event in the order of all. */
  deliver(text: string, number: number, own: boolean): void;
  /** Events that are kept, with their numbers. */
  kept(): { text: string; number: number; own: boolean }[];
  /** Events up to this number are not kept. */
  dropped: number;
  /** Ends all streams; clients come back elsewhere. */
  goodbye(): void;
}

/** What a worker begins with. */
export interface RuntimeStart {
  app: string;
  links: LinkEnd[];
  numbers: SharedArrayBuffer;
  /** Differs between two runs of a gateway. */
  epoch: string;
}

/** See above; one a thread. */
export class Runtime {
  readonly epoch: string;
  readonly order: Order;
  readonly hubs = new Map<string, Hub>();
  /** By the name of a hub that may come: its events up to this number are kept nowhere. */
  readonly dropped = new Map<string, number>();
  readonly #links: Links;
  readonly #topics: Topics;
  /** Those of this thread: one behind the edge, and one for each door. */
  readonly #servers = new Set<AppServer>();

  constructor({ app, links, numbers, epoch }: RuntimeStart) {
    this.epoch = epoch;
    this.order = new Order(numbers, (topic, text, number, own) => {
      this.hubs.get(topic)?.deliver(text, number, own);
    });
    this.#links = new Links(countDropped(app));
    this.#topics = this.#links;
    this.#topics.receive((topic, message, number) => {
      if (number > 0) this.order.add(topic, message as string, number, false);
      else this.#publishHere(topic, message);
    });
    this.#links.receiveSeeds(({ events, dropped }) => {
      for (const [name, number] of Object.entries(dropped)) {
        this.dropped.set(name, number);
        const hub = this.hubs.get(name);
        if (hub !== undefined) hub.dropped = number;
      }
      for (let i = 0; i < events.length; i += 3) {
        this.order.add(events[i] as string, events[i + 1] as string, events[i + 2] as number, false);
      }
    });
    for (const end of links) this.#links.add(end);
  }

  /** A new thread of the app. */
  link(end: LinkEnd): void {
    this.#links.add(end, this.#seed(end.seeds));
  }

  /** The server that is about to take requests. Resolves when the others have told what they know. */
  async open(server: AppServer): Promise<void> {
    this.#servers.add(server);
    await this.#links.greeted(GREET_MS);
    this.order.start();
  }

  /** Another server of this thread. */
  add(server: AppServer): void {
    this.#servers.add(server);
  }

  /** It has closed. */
  remove(server: AppServer): void {
    this.#servers.delete(server);
  }

  /** A message to all WebSockets of the app that subscribed to the topic, but those of one server. */
  publish(topic: string, message: Chunk, but?: AppServer): boolean {
    this.#publishHere(topic, message, but);
    return this.#topics.publish(topic, message, 0);
  }

  #publishHere(topic: string, message: Chunk, but?: AppServer): void {
    for (const server of this.#servers) if (server !== but) server.publish(topic, message);
  }

  /** Publishes an event of a hub; `text` is told its number. */
  publishEvent(hub: string, text: (number: number) => string): boolean {
    const number = this.order.take();
    const block = text(number);
    const isSent = this.#topics.publish(hub, block, number);
    this.order.add(hub, block, number, true);
    return isSent;
  }

  /** Ends WebSockets and event streams: their clients shall come back elsewhere. */
  goodbye(): void {
    for (const server of this.#servers) server.goodbye();
    for (const hub of this.hubs.values()) hub.goodbye();
  }

  #seed(all: boolean): Seed {
    const seed: Seed = { events: [], dropped: {} };
    for (const [name, hub] of this.hubs) {
      if (all) seed.dropped[name] = hub.dropped;
      for (const { text, number, own } of hub.kept()) if (all || own) seed.events.push(name, text, number);
    }
    for (const { topic, text, number, own } of this.order.held()) {
      if (all || own) seed.events.push(topic, text, number);
    }
    return seed;
  }
}

/** Makes this thread's; a worker does, before it loads the app's module. */
export function startRuntime(start: RuntimeStart): Runtime {
  current = new Runtime(start);
  return current;
}

/** This thread's. */
export function runtime(): Runtime {
  if (current === undefined) {
    current = new Runtime({
      app: '',
      links: [],
      numbers: new SharedArrayBuffer(8),
      epoch: randomBytes(6).toString('hex'),
    });
    current.order.start();
  }
  return current;
}

/**
 * Publishes a message to all WebSockets of the app, in all its workers, that subscribed to the topic. For what is no
 * answer to a request, such as a timer; within one it is the same as `ctx.publish`.
 *
 * @param topic 1 to 256 characters.
 * @param message a string arrives as text, bytes as bytes.
 * @returns false when a worker lags so far behind that it will not get the message (16 MiB wait for it).
 * @throws TypeError or RangeError for what is no topic or no message.
 */
export function publish(topic: string, message: string | Uint8Array): boolean {
  checkTopic(topic);
  checkMessage(message);
  return runtime().publish(topic, message);
}

let current: Runtime | undefined;
/** A worker that is stuck must not keep others from starting. */
const GREET_MS = 250;
