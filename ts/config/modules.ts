/**
 * modules: the modules that a config names, bundled, and a folder of their own to import them from.
 *
 * Errors: `config_invalid`, with a fault where each module is named. Bounds: a folder has one file for each text that was
 * written to it, until it is closed.
 */
import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Fault } from '../errors.js';
import type { Settings } from '../native.js';
import { bundle } from './bundle.js';
import { folderOf, type Loaded } from './load.js';

/** A module, and where the config names it. */
export interface NamedModule {
  /** `apps[0].module`. */
  path: string;
  /** Its own path, as written: relative to the config's file. */
  module: string;
}

/** The modules of apps, in order. */
export function appModules(settings: Settings): NamedModule[] {
  return settings.apps.map(({ module }, at) => ({ path: `apps[${at}].module`, module }));
}

/** The modules of plugins, each once, where it is named first. */
export function pluginModules(settings: Settings): NamedModule[] {
  const first = new Map<string, NamedModule>();
  for (const named of settings.plugins) if (!first.has(named.module)) first.set(named.module, named);
  return [...first.values()];
}

/**
 * The bundled modules, in order.
 *
 * @throws ConfigError, with a fault for each that cannot be read or has an error.
 */
export async function bundles(loaded: Loaded, named: readonly NamedModule[]): Promise<string[]> {
  const base = folderOf(loaded);
  const faults: Fault[] = [];
  const texts = await Promise.all(
    named.map(async ({ path, module }) => {
      try {
        return await bundle(resolve(base, module), loaded.touched);
      } catch (error) {
        faults.push(moduleFault(path, (error as Error).message, 'mend the module, or name another'));
        return '';
      }
    }),
  );
  if (faults.length > 0) throw loaded.error(faults);
  return texts;
}

/** What is wrong with the module that is named at `path`. */
export function moduleFault(path: string, why: string, fix: string): Fault {
  return { path, onKey: false, why, fix };
}

/** Tells texts, and what belongs to them, apart. */
export function identityOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** A folder of this process alone (mode 0700), made when it is first wanted. */
export class ModuleFolder {
  #path: Promise<string> | undefined;
  readonly #written = new Set<string>();

  /** Where it is. */
  path(): Promise<string> {
    this.#path ??= mkdtemp(join(tmpdir(), 'ironsluice-'));
    return this.#path;
  }

  /** The address, `file:`, of the module of that identity; one that was written is not written again. */
  async write(identity: string, text: string): Promise<string> {
    const file = join(await this.path(), `${identity}.mjs`);
    if (!this.#written.has(identity)) await writeFile(file, text, { mode: 0o600 });
    this.#written.add(identity);
    return pathToFileURL(file).href;
  }

  /** Removes it with all that is in it. */
  async close(): Promise<void> {
    if (this.#path !== undefined) await rm(await this.#path, { recursive: true, force: true });
  }
}
