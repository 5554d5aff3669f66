/**
 * pool: the threads that run one set of plugins, by piscina.
 *
 * A thread whose heart stands still is stuck: the log gets the stack of its code, and it is ended; piscina starts
 * another. What it had in hand has failed. Bounds: {@link CALLS} calls at a time in a thread, {@link MEMORY_MIB} of heap,
 * {@link STUCK_MS} without a beat.
 */
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { Worker } from 'node:worker_threads';
import { Piscina } from 'piscina';
import { stackOf } from '../app/stuck.js';
import type { LogLine } from '../thread.js';
import { type Done, type LoadFault, placeIn, type Task, type ThreadData } from './task.js';

/** Says something to the log. */
export type Say = (level: LogLine['level'], fields: Record<string, unknown>, message: string) => void;

/** Threads that have loaded the same modules. */
export class Pool {
  /** Its modules: their addresses, and what the config calls each. */
  readonly modules: ReadonlyMap<string, string>;
  /** Calls that are not answered yet. */
  busy = 0;
  readonly #piscina: Piscina<Task, Done>;
  readonly #say: Say;
  readonly #loading = new SharedArrayBuffer(4);
  readonly #beats = new BigInt64Array(new SharedArrayBuffer(PLACES * 8));
  readonly #watch: NodeJS.Timeout;
  #looked = now();
  readonly #known = new WeakSet<Worker>();
  /** Threads that are being ended because they are stuck. */
  readonly #endings = new Set<Promise<void>>();

  constructor(modules: ReadonlyMap<string, string>, say: Say) {
    const threads = Math.min(MOST_THREADS, Math.max(LEAST_THREADS, availableParallelism()));
    this.modules = modules;
    this.#say = say;
    this.#piscina = new Piscina({
      filename: fileURLToPath(new URL('./thread.js', import.meta.url)),
      minThreads: threads,
      maxThreads: threads,
      concurrentTasksPerWorker: CALLS,
      // The core bounds what is on its way; here nothing is refused that it let out.
      maxQueue: Number.POSITIVE_INFINITY,
      // With them a thread that has no call would not run the plugin's own timers.
      atomics: 'disabled',
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: MEMORY_MIB },
      workerData: {
        modules: [...modules.keys()],
        beats: this.#beats.buffer as SharedArrayBuffer,
        loading: this.#loading,
      } satisfies ThreadData,
    });
    // A thread that died between two calls.
    this.#piscina.on('error', (error: Error) =>
      say('error', {}, `a thread of plugins died: ${error.stack ?? error.message}`),
    );
    this.#watch = setInterval(() => this.#look(), LOOK_MS);
  }

  /** Loads the modules in all threads; what is wrong with the first that does not load. */
  async load(): Promise<LoadFault | undefined> {
    try {
      const all = this.#piscina.threads.map(() => this.#piscina.run({ type: 'load' }));
      for (const done of await Promise.all(all)) if (done.type === 'loaded' && done.fault) return done.fault;
      return undefined;
    } catch (error) {
      const module = Atomics.load(new Int32Array(this.#loading), 0);
      return { module, why: `its thread ended: ${(error as Error).message}`, where: undefined };
    }
  }

  /** Calls a plugin; never rejects. */
  async call(task: Task & { type: 'call' }): Promise<Done> {
    this.busy += 1;
    try {
      return await this.#piscina.run(task);
    } catch (error) {
      return { type: 'failed', why: (error as Error).message };
    } finally {
      this.busy -= 1;
    }
  }

  /** Ends all threads, whatever they do. */
  async close(): Promise<void> {
    clearInterval(this.#watch);
    await Promise.all(this.#endings); // one whose stack is being read is paused, and cannot be ended meanwhile
    await this.#piscina.destroy();
  }

  #look(): void {
    const at = now();
    // A machine that stood still makes all hearts look still.
    const late = at - this.#looked > BigInt(LOOK_MS * 3);
    this.#looked = at;
    for (const thread of this.#piscina.threads) {
      const place = placeIn(this.#beats, thread.threadId);
      if (!this.#known.has(thread)) {
        this.#known.add(thread);
        thread.once('exit', () => Atomics.store(this.#beats, place, 0n));
      }
      const beat = Atomics.load(this.#beats, place);
      if (late || beat === 0n || at - beat < BigInt(STUCK_MS)) continue;
      Atomics.store(this.#beats, place, at + 60_000n); // not looked at again while its stack is read
      const ending = this.#end(thread, Number(at - beat)).finally(() => this.#endings.delete(ending));
      this.#endings.add(ending);
    }
  }

  async #end(thread: Worker, stuckMs: number): Promise<void> {
    const stack = await stackOf(thread.threadId);
    this.#say('error', { stuck_ms: stuckMs, stack }, 'a thread of plugins is stuck and is replaced');
    await thread.terminate();
  }
}

/** Milliseconds of a clock that all threads of the process share and nobody sets. */
function now(): bigint {
  return process.hrtime.bigint() / 1_000_000n;
}

const LEAST_THREADS = 2;
const MOST_THREADS = 8;
const CALLS = 64;
const MEMORY_MIB = 256;
const STUCK_MS = 1_000;
const LOOK_MS = 200;
const PLACES = 1024;
