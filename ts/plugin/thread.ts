/**
 * plugin thread: runs plugins, in a thread of the pool. Its heart beats into shared memory every {@link BEAT_MS}, where the
 * pool looks.
 *
 * Errors: none reject, so that what a plugin throws arrives as its own text. A module that does not load, where it did before,
 * ends the thread after {@link AGAIN_MS}: the next one tries again.
 */
import { threadId, workerData } from 'node:worker_threads';
import { placeOf } from '../app/source.js';
import { call, Late } from './call.js';
import type { Plugin } from './plugin.js';
import { type Done, type LoadFault, placeIn, type Task, type ThreadData } from './task.js';

/** Does one task. */
export default async function run(task: Task): Promise<Done> {
  if (task.type === 'load') {
    isChecked = true;
    return { type: 'loaded', fault };
  }
  const plugin = plugins.get(task.module);
  if (plugin === undefined) {
    if (!isChecked) setTimeout(() => process.exit(1), AGAIN_MS);
    return { type: 'failed', why: `its module did not load: ${fault?.why ?? 'it is not known'}` };
  }
  try {
    return { type: 'said', ...(await call(plugin, task.told, task.body, task.until)) };
  } catch (error) {
    if (error instanceof Late) return { type: 'failed', why: undefined };
    return { type: 'failed', why: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}

/** Loads all modules, up to the first that cannot be. */
async function load(): Promise<LoadFault | undefined> {
  for (const [module, address] of modules.entries()) {
    if (module > Atomics.load(place, 0)) Atomics.store(place, 0, module);
    try {
      plugins.set(address, pluginOf(await import(address)));
    } catch (error) {
      const { stack, message } = error as Error;
      return { module, why: message ?? String(error), where: placeOf(stack) };
    }
  }
  return undefined;
}

function pluginOf(module: { default?: unknown }): Plugin {
  if (typeof module.default === 'function') return module.default as Plugin;
  throw new Error('it exports no plugin: export default definePlugin((head, info) => …)');
}

function beat(): void {
  const heart = new BigInt64Array(beats);
  const once = (): void =>
    void Atomics.store(heart, placeIn(heart, threadId), process.hrtime.bigint() / 1_000_000n);
  once();
  setInterval(once, BEAT_MS);
}

const BEAT_MS = 50;
const AGAIN_MS = 1_000;

const { modules, beats, loading } = workerData as ThreadData;
const place = new Int32Array(loading);
const plugins = new Map<string, Plugin>();
/** It was there when the modules were first loaded, and told what came of it. */
let isChecked = false;
process.setSourceMapsEnabled(true);
const fault = await load();
beat();
