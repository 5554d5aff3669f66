/**
 * apps: the apps of one gateway, seen from the thread that made it.
 *
 * It bundles modules and speaks with the supervisor's thread, which starts with the first app. A change goes in two steps, so
 * that a module that throws stops nothing: {@link Apps.prepare} starts what is new beside what runs; then
 * {@link Apps.commit} or {@link Apps.abandon}. A module whose bundle is the same keeps its workers.
 * Errors: `config_invalid`, with a fault at each app's `module`. Bounds: {@link START_MS} for workers to listen.
 */

import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import { bundle } from '../config/bundle.js';
import type { Loaded } from '../config/load.js';
import { type Fault, GateError, wrap } from '../errors.js';
import type { Log } from '../log.js';
import type { Native, Settings } from '../native.js';
import type { DoorPlan } from './doors.js';
import { countDropped, Links } from './links.js';
import type { AppPlan, FromSupervisor, Sockets, ToSupervisor } from './supervisor.js';

/** The apps of one gateway. */
export class Apps {
  readonly #log: Log;
  #folder: string | undefined;
  #supervisor: Worker | undefined;
  #answer: ((message: FromSupervisor) => void) | undefined;
  /** To the workers of each app, by its name. */
  readonly #links = new Map<string, Links>();
  /** Identities whose bundle is in the folder. */
  readonly #written = new Set<string>();

  constructor(log: Log) {
    this.#log = log;
  }

  /**
   * Starts the workers that a config needs and that do not run yet.
   *
   * @returns where all apps of the config listen.
   * @throws ConfigError, with a fault for each module that cannot be run.
   */
  async prepare(loaded: Loaded, settings: Settings): Promise<Sockets[]> {
    if (settings.apps.length === 0 && this.#supervisor === undefined) return [];
    const texts = await bundles(loaded, settings);
    const supervisor = await this.#open();
    const plans = await Promise.all(
      settings.apps.map(async (app, at): Promise<AppPlan> => {
        const text = texts[at] ?? '';
        const identity = createHash('sha256')
          .update(JSON.stringify([{ ...app, doors: app.doors.length > 0 }, settings.workers, text]))
          .digest('hex');
        const { doors, ...rest } = app;
        const isAtDoor = doors.length > 0;
        return {
          ...rest,
          isAtDoor,
          workers: settings.workers,
          identity,
          module: await this.#write(identity, text),
        };
      }),
    );
    const answer = await this.#ask(supervisor, { type: 'prepare', apps: plans });
    if (answer.type === 'prepared') return answer.sockets;
    const failed = answer as FromSupervisor & { type: 'failed' };
    const where = failed.where === undefined ? '' : `${failed.where}: `;
    throw loaded.error([fault(failed.app, `${where}${failed.why}`, 'mend the module')]);
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
    const answer = await this.#ask(supervisor, { type: 'commit', gateway: native.id, doors });
    const why = answer.type === 'committed' ? answer.why : (answer as { why: string }).why;
    if (why !== undefined) throw new GateError('bind_failed', why);
  }

  /** What was prepared is not wanted. */
  abandon(): void {
    this.#supervisor?.postMessage({ type: 'abandon' } satisfies ToSupervisor);
  }

  /** Closes the doors, with so much patience for what is on its way there. */
  async closeDoors(patienceMs: number): Promise<void> {
    const supervisor = this.#supervisor;
    if (supervisor !== undefined) await this.#ask(supervisor, { type: 'doors', patienceMs });
  }

  /** Publishes to the WebSockets of an app; false when a worker lags so far behind that it will not get the message. */
  publish(app: string, topic: string, message: string | Uint8Array): boolean {
    return this.#links.get(app)?.publish(topic, message, 0) ?? true;
  }

  /** Closes WebSockets and event streams; requests are answered as before. */
  goodbye(): void {
    this.#supervisor?.postMessage({ type: 'goodbye' } satisfies ToSupervisor);
  }

  /** Lets workers finish what they have within `patienceMs`, and ends them. */
  async close(patienceMs: number): Promise<void> {
    const supervisor = this.#supervisor;
    this.#supervisor = undefined;
    if (supervisor !== undefined) {
      supervisor.ref();
      const ended = once(supervisor, 'exit');
      supervisor.postMessage({ type: 'close', patienceMs } satisfies ToSupervisor);
      await ended;
    }
    for (const links of this.#links.values()) links.close();
    if (this.#folder !== undefined) await rm(this.#folder, { recursive: true, force: true });
  }

  async #open(): Promise<Worker> {
    if (this.#supervisor !== undefined) return this.#supervisor;
    // Mode 0700: whoever reaches a worker's socket could say that it is the edge.
    this.#folder = await mkdtemp(join(tmpdir(), 'ironsluice-'));
    const supervisor = new Worker(new URL('./supervisor.js', import.meta.url), {
      name: 'ironsluice-apps',
      workerData: { folder: this.#folder },
      execArgv: [],
    });
    supervisor.on('message', (message: FromSupervisor) => {
      if (message.type === 'log') this.#log[message.level](message.fields, message.message);
      else if (message.type === 'link') this.#linked(message.app).add(message.end);
      else this.#answer?.(message);
    });
    supervisor.on('error', (error) => this.#log.error({ err: wrap(error) }, 'the supervisor of apps failed'));
    supervisor.unref();
    this.#supervisor = supervisor;
    return supervisor;
  }

  #linked(app: string): Links {
    const found = this.#links.get(app);
    if (found !== undefined) return found;
    const made = new Links(countDropped(app));
    this.#links.set(app, made);
    return made;
  }

  async #ask(supervisor: Worker, message: ToSupervisor): Promise<FromSupervisor> {
    supervisor.ref(); // a program that only waits for this must not end
    let timer: NodeJS.Timeout | undefined;
    try {
      return await new Promise<FromSupervisor>((resolve) => {
        const late = {
          type: 'failed',
          app: 0,
          why: `no answer within ${START_MS / 1000} s`,
          where: undefined,
        } as const;
        timer = setTimeout(() => {
          supervisor.postMessage({ type: 'abandon' } satisfies ToSupervisor);
          resolve(late);
        }, START_MS);
        this.#answer = resolve;
        supervisor.postMessage(message);
      });
    } finally {
      clearTimeout(timer);
      this.#answer = undefined;
      supervisor.unref();
    }
  }

  /** A reload that brings nothing new writes nothing. */
  async #write(identity: string, text: string): Promise<string> {
    const file = join(this.#folder ?? '', `${identity}.mjs`);
    if (!this.#written.has(identity)) await writeFile(file, text, { mode: 0o600 });
    this.#written.add(identity);
    return pathToFileURL(file).href;
  }
}

/**
 * The bundled modules of all apps, in order.
 *
 * @throws ConfigError, with a fault for each that cannot be read or has an error.
 */
export async function bundles(loaded: Loaded, settings: Settings): Promise<string[]> {
  const base = loaded.source === undefined ? process.cwd() : dirname(loaded.source);
  const faults: Fault[] = [];
  const texts = await Promise.all(
    settings.apps.map(async ({ module }, at) => {
      try {
        return await bundle(resolve(base, module));
      } catch (error) {
        faults.push(fault(at, (error as Error).message, 'mend the module, or name another'));
        return '';
      }
    }),
  );
  if (faults.length > 0) throw loaded.error(faults);
  return texts;
}

function fault(app: number, why: string, fix: string): Fault {
  return { path: `apps[${app}].module`, onKey: false, why, fix };
}

const START_MS = 30_000;
