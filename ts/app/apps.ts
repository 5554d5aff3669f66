/**
 * apps: the apps of one gateway, seen from the thread that made it.
 *
 * It bundles modules and speaks with the supervisor's thread, which starts with the first app. A change goes in two steps, so
 * that a module that throws stops nothing: {@link Apps.prepare} starts what is new beside what runs; then
 * {@link Apps.commit} or {@link Apps.abandon}. A module whose bundle is the same keeps its workers.
 * Errors: `config_invalid`, with a fault at each app's `module`. Bounds: {@link PATIENCE_MS} for workers to listen.
 */
import type { Loaded } from '../config/load.js';
import { appModules, bundles, identityOf, ModuleFolder, moduleFault } from '../config/modules.js';
import { GateError } from '../errors.js';
import type { Log } from '../log.js';
import type { Native, Settings } from '../native.js';
import type { RedisSettings } from '../store/address.js';
import { PATIENCE_MS, Thread } from '../thread.js';
import type { DoorPlan } from './doors.js';
import { countDropped, Links } from './links.js';
import type { AppPlan, FromSupervisor, Sockets, ToSupervisor } from './supervisor.js';

/** The apps of one gateway. */
export class Apps {
  readonly #log: Log;
  /** Whoever reaches a worker's socket in it could say that it is the edge. */
  readonly #folder = new ModuleFolder();
  #supervisor: Thread<ToSupervisor, FromSupervisor> | undefined;
  /** What carries topics of the config that was prepared last. */
  #store: RedisSettings | undefined;
  /** To the workers of each app, by its name. */
  readonly #links = new Map<string, Links>();

  constructor(log: Log) {
    this.#log = log;
  }

  /**
   * Starts the workers that a config needs and that do not run yet. `store` carries their topics to other nodes.
   *
   * @returns where all apps of the config listen.
   * @throws ConfigError, with a fault for each module that cannot be run.
   */
  async prepare(loaded: Loaded, settings: Settings, store: RedisSettings | undefined): Promise<Sockets[]> {
    this.#store = store;
    if (settings.apps.length === 0 && this.#supervisor === undefined) return [];
    const named = appModules(settings);
    const texts = await bundles(loaded, named);
    const supervisor = await this.#open();
    const plans = await Promise.all(
      settings.apps.map(async (app, at): Promise<AppPlan> => {
        const text = texts[at] ?? '';
        const { doors, ...rest } = app;
        const identity = identityOf(JSON.stringify([rest, settings.workers, text]));
        const module = await this.#folder.write(identity, text);
        return { ...rest, workers: settings.workers, identity, module };
      }),
    );
    const answer = await supervisor.ask({ type: 'prepare', apps: plans });
    if (answer?.type === 'prepared') return answer.sockets;
    if (answer === undefined) supervisor.post({ type: 'abandon' });
    const none = { app: 0, why: NO_ANSWER, where: undefined };
    const { app, why, where } = answer?.type === 'failed' ? answer : none;
    const told = where === undefined ? why : `${where}: ${why}`;
    throw loaded.error([moduleFault(named[app]?.path ?? 'apps', told, 'mend the module')]);
  }

  /**
   * What was prepared is in force for this gateway; resolves when the workers are at their doors.
   *
   * @throws GateError `bind_failed` when one cannot be.
   */
  async commit(native: Native, settings: Settings): Promise<void> {
    const supervisor = this.#supervisor;
    if (supervisor === undefined) return;
    const at = new Map(native.addresses().map(({ name, address }) => [name, address]));
    const doors = settings.apps.map((app) =>
      app.doors.map((door): DoorPlan => ({ ...door, address: at.get(door.listener) ?? '' })),
    );
    const answer = await supervisor.ask({ type: 'commit', gateway: native.id, doors, store: this.#store });
    const why = answer?.type === 'committed' ? answer.why : NO_ANSWER;
    if (why !== undefined) throw new GateError('bind_failed', why);
  }

  /** What was prepared is not wanted. */
  abandon(): void {
    this.#supervisor?.post({ type: 'abandon' });
  }

  /** Closes the doors, with so much patience for what is on its way there. */
  async closeDoors(patienceMs: number): Promise<void> {
    await this.#supervisor?.ask({ type: 'doors', patienceMs });
  }

  /** Publishes to the WebSockets of an app; false when a worker lags so far behind that it will not get the message. */
  publish(app: string, topic: string, message: string | Uint8Array): boolean {
    return this.#links.get(app)?.publish(topic, message, 0) ?? true;
  }

  /** Closes WebSockets and event streams; requests are answered as before. */
  goodbye(): void {
    this.#supervisor?.post({ type: 'goodbye' });
  }

  /** Lets workers finish what they have within `patienceMs`, and ends them. */
  async close(patienceMs: number): Promise<void> {
    const supervisor = this.#supervisor;
    this.#supervisor = undefined;
    await supervisor?.end({ type: 'close', patienceMs });
    for (const links of this.#links.values()) links.close();
    await this.#folder.close();
  }

  async #open(): Promise<Thread<ToSupervisor, FromSupervisor>> {
    this.#supervisor ??= new Thread(new URL('./supervisor.js', import.meta.url), {
      name: 'ironsluice-apps',
      data: { folder: await this.#folder.path() },
      log: this.#log,
      onNews: (message) => {
        if (message.type !== 'link') return false;
        this.#linked(message.app).add(message.end);
        return true;
      },
    });
    return this.#supervisor;
  }

  #linked(app: string): Links {
    const found = this.#links.get(app);
    if (found !== undefined) return found;
    const made = new Links(countDropped(app));
    this.#links.set(app, made);
    return made;
  }
}

const NO_ANSWER = `no answer within ${PATIENCE_MS / 1000} s, or its thread died`;
