/**
 * plugins: the plugins of one gateway, seen from the thread that made it.
 *
 * It bundles modules and speaks with the supervisor's thread, which starts with the first plugin; piscina is loaded there and nowhere
 * else. A change goes in two steps, so that a module that throws stops nothing: {@link Plugins.prepare}, then
 * {@link Plugins.commit} or {@link Plugins.abandon}. A supervisor that dies is started again after {@link AGAIN_MS}.
 * Errors: `config_invalid`, with a fault where a module is named. Bounds: {@link PATIENCE_MS} for modules to load.
 */
import type { Loaded } from '../config/load.js';
import { bundles, identityOf, ModuleFolder, moduleFault, pluginModules } from '../config/modules.js';
import { wrap } from '../errors.js';
import type { Log } from '../log.js';
import type { PluginModule, Settings } from '../native.js';
import { PATIENCE_MS, Thread } from '../thread.js';
import type { FromSupervisor, ToSupervisor } from './supervisor.js';

/** The plugins of one gateway. */
export class Plugins {
  readonly #log: Log;
  readonly #folder = new ModuleFolder();
  #supervisor: Thread<ToSupervisor, FromSupervisor> | undefined;
  /** Modules in force, and those that were prepared: their addresses, and what the config calls each. */
  #modules = new Map<string, string>();
  #next = new Map<string, string>();
  #gateway: number | undefined;

  constructor(log: Log) {
    this.#log = log;
  }

  /**
   * Loads the modules that a config needs and that are not loaded yet.
   *
   * @returns where they are found.
   * @throws ConfigError, with a fault for each module that cannot be run.
   */
  async prepare(loaded: Loaded, settings: Settings): Promise<PluginModule[]> {
    if (settings.plugins.length === 0 && this.#supervisor === undefined) return [];
    const named = pluginModules(settings);
    const texts = await bundles(loaded, named);
    const addresses = await Promise.all(texts.map((text) => this.#folder.write(identityOf(text), text)));
    this.#next = new Map(addresses.map((address, i) => [address, named[i]?.module ?? '']));
    this.#supervisor ??= this.#open();
    const answer = await this.#supervisor.ask({ type: 'prepare', modules: this.#next });
    if (answer?.type !== 'prepared') {
      if (answer === undefined) this.#supervisor.post({ type: 'abandon' });
      const late = {
        module: 0,
        why: `it did not load within ${PATIENCE_MS / 1000} s, or its thread died`,
        where: undefined,
      };
      const { module, why, where } = answer ?? late;
      const at = named[addresses.indexOf([...this.#next.keys()][module] ?? '')]?.path ?? '';
      const told = where === undefined ? why : `${where}: ${why}`;
      throw loaded.error([moduleFault(at, told, 'mend the module')]);
    }
    return named.map(({ module }, i) => ({ module, address: addresses[i] ?? '' }));
  }

  /** What was prepared is in force for this gateway. */
  commit(gateway: number): void {
    this.#gateway = gateway;
    this.#modules = this.#next;
    this.#supervisor?.post({ type: 'commit', gateway });
  }

  /** What was prepared is not wanted. */
  abandon(): void {
    this.#next = this.#modules;
    this.#supervisor?.post({ type: 'abandon' });
  }

  /** Ends all threads. */
  async close(): Promise<void> {
    const supervisor = this.#supervisor;
    this.#supervisor = undefined;
    await supervisor?.end({ type: 'close' });
    await this.#folder.close();
  }

  #open(): Thread<ToSupervisor, FromSupervisor> {
    return new Thread<ToSupervisor, FromSupervisor>(new URL('./supervisor.js', import.meta.url), {
      name: 'ironsluice-plugins',
      log: this.#log,
      again: { afterMs: AGAIN_MS, greet: (supervisor) => this.#greet(supervisor) },
    });
  }

  /** Meanwhile calls wait, up to their deadlines. */
  async #greet(supervisor: Thread<ToSupervisor, FromSupervisor>): Promise<void> {
    const answer = await supervisor.ask({ type: 'prepare', modules: this.#modules });
    if (this.#supervisor !== supervisor) return; // closed
    if (answer?.type === 'prepared' && this.#gateway !== undefined) {
      supervisor.post({ type: 'commit', gateway: this.#gateway });
    } else {
      const why = wrap(new Error(answer?.type === 'failed' ? answer.why : 'no answer'));
      this.#log.error({ err: why }, 'plugins do not come back: reload the config');
    }
  }
}

const AGAIN_MS = 100;
