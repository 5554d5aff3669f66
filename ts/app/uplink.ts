/**
 * uplink: the carrier of topics to other nodes, as the supervisor of apps has it.
 *
 * To the mesh of each app that wants it the carrier is a member as a worker is, but events of hubs are none of its business. Another
 * store is another carrier. One that dies is started again after {@link AGAIN_MS} and linked anew; meanwhile topics stay here.
 */
import { randomBytes } from 'node:crypto';
import type { RedisSettings } from '../store/address.js';
import { type LineLog, Thread } from '../thread.js';
import type { CarrierStart, FromCarrier, ToCarrier } from './carrier-thread.js';
import { NODE_BYTES } from './frames.js';
import type { Member, Mesh } from './mesh.js';

/** See above. */
export class Uplink {
  readonly #mesh: (app: string) => Mesh;
  readonly #log: LineLog;
  readonly #file: URL;
  readonly #node = randomBytes(NODE_BYTES).toString('hex');
  /** One change after the other: with two carriers at a time a message would go twice. */
  #turn: Promise<void> = Promise.resolve();
  #store: RedisSettings | undefined;
  #thread: Thread<ToCarrier, FromCarrier> | undefined;
  /** The carrier's place in the mesh of each app. */
  readonly #members = new Map<string, Member>();
  #apps: string[] = [];

  /** @param file the carrier's program, for tests. */
  constructor(
    mesh: (app: string) => Mesh,
    log: LineLog,
    file = new URL('./carrier-thread.js', import.meta.url),
  ) {
    this.#mesh = mesh;
    this.#log = log;
    this.#file = file;
  }

  /** From now on the topics of these apps, and of no others, go by this store. */
  use(store: RedisSettings | undefined, apps: string[]): void {
    this.#turn = this.#turn.then(() => this.#use(store, store === undefined ? [] : apps));
  }

  /** Ends the carrier, which may send what waits for so long. */
  close(patienceMs: number): Promise<void> {
    this.#turn = this.#turn.then(() => this.#end(patienceMs));
    return this.#turn;
  }

  async #use(store: RedisSettings | undefined, apps: string[]): Promise<void> {
    if (apps.length === 0 || JSON.stringify(store) !== JSON.stringify(this.#store)) await this.#end(LAST_MS);
    this.#apps = apps;
    for (const app of [...this.#members.keys()].filter((name) => !apps.includes(name))) {
      this.#leave(app);
      this.#thread?.post({ type: 'leave', app });
    }
    if (store === undefined || apps.length === 0) return;
    this.#store = store;
    this.#thread ??= this.#open(store);
    this.#join(this.#thread);
  }

  async #end(patienceMs: number): Promise<void> {
    for (const app of [...this.#members.keys()]) this.#leave(app);
    const thread = this.#thread;
    this.#thread = undefined;
    this.#store = undefined;
    await thread?.end({ type: 'close', patienceMs });
  }

  #open(store: RedisSettings): Thread<ToCarrier, FromCarrier> {
    return new Thread<ToCarrier, FromCarrier>(this.#file, {
      name: 'ironsluice-topics',
      data: { store, node: this.#node } satisfies CarrierStart,
      log: this.#log,
      onDeath: () => {
        for (const app of [...this.#members.keys()]) this.#leave(app);
      },
      again: { afterMs: AGAIN_MS, greet: (thread) => this.#join(thread) },
    });
  }

  #join(thread: Thread<ToCarrier, FromCarrier>): void {
    for (const app of this.#apps) {
      if (this.#members.has(app)) continue;
      const member: Member = {
        listening: false, // nobody waits for what it knows
        takesEvents: false,
        link: (end) => thread.post({ type: 'link', app, end }, [end.port]),
      };
      this.#members.set(app, member);
      for (const end of this.#mesh(app).join(member)) member.link(end);
    }
  }

  #leave(app: string): void {
    const member = this.#members.get(app);
    if (member !== undefined) this.#mesh(app).leave(member);
    this.#members.delete(app);
  }
}

const AGAIN_MS = 1_000;
/** How long a carrier whose store is not wanted any more may take to send what waits. */
const LAST_MS = 500;
