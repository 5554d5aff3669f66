/**
 * plugin supervisor: the thread that owns the pools of plugins, and takes their calls from the core.
 *
 * It is not the program's main thread, which a user's code may keep busy. The core wakes it once for all calls that
 * wait; answers that come within one turn go back together. Each set of modules has a pool of its own, and a call says
 * which module it means: so requests that began under another config keep theirs. A pool that no request can want any
 * more is closed, at the latest {@link DRAIN_MS} after another took its place.
 * Errors: a call that fails is answered so, and logged: at most {@link LINES} lines a second.
 */
import { type MessagePort, parentPort } from 'node:worker_threads';
import { attach, type PluginAnswer, type PluginAsk, PluginAsks } from '#bindings';
import type { LogLine } from '../thread.js';
import { Pool } from './pool.js';
import type { LoadFault } from './task.js';

/** What the main thread says. */
export type ToSupervisor =
  /** Load what is new; nothing that runs is touched. */
  | { type: 'prepare'; modules: Map<string, string> }
  /** What was prepared is in force. */
  | { type: 'commit'; gateway: number }
  /** What was prepared is not wanted. */
  | { type: 'abandon' }
  | { type: 'close' };

/** What the supervisor says. */
export type FromSupervisor = { type: 'prepared' } | ({ type: 'failed' } & LoadFault);

class Supervisor {
  readonly #port: MessagePort;
  #pool: Pool | undefined;
  #next: Pool | undefined;
  /** Pools of configs before, and until when they stay at the latest. */
  #old: { pool: Pool; until: number }[] = [];
  #gateway: number | undefined;
  #asks: PluginAsks | undefined;
  #answers: { ask: PluginAsk; answer: PluginAnswer }[] = [];
  #lines = 0;
  readonly #timer: NodeJS.Timeout;

  constructor(port: MessagePort) {
    this.#port = port;
    port.on('message', (message: ToSupervisor) => void this.#hear(message));
    this.#timer = setInterval(() => {
      this.#lines = 0;
      this.#sweep();
    }, 1_000);
  }

  async #hear(message: ToSupervisor): Promise<void> {
    if (message.type === 'prepare') await this.#prepare(message.modules);
    else if (message.type === 'commit') this.#commit(message.gateway);
    else if (message.type === 'abandon') this.#abandon();
    else await this.#close();
  }

  async #prepare(modules: Map<string, string>): Promise<void> {
    if (this.#pool !== undefined && same(this.#pool.modules, modules)) {
      this.#next = this.#pool;
    } else if (modules.size === 0) {
      this.#next = undefined;
    } else {
      const pool = new Pool(modules, (level, fields, message) => this.#log(level, fields, message));
      this.#next = pool;
      const fault = await pool.load();
      if (this.#next !== pool) return; // abandoned meanwhile
      if (fault !== undefined) {
        await pool.close();
        this.#next = this.#pool;
        this.#say({ type: 'failed', ...fault });
        return;
      }
    }
    this.#say({ type: 'prepared' });
  }

  #commit(gateway: number): void {
    const before = this.#pool;
    this.#pool = this.#next;
    if (before !== undefined && before !== this.#pool) {
      this.#old.push({ pool: before, until: performance.now() + DRAIN_MS });
    }
    if (this.#asks !== undefined) return;
    this.#gateway = gateway;
    try {
      this.#asks = new PluginAsks(gateway, () => this.#take());
    } catch {
      // The gateway is closing: there is nobody to answer.
    }
  }

  #abandon(): void {
    const unwanted = this.#next;
    this.#next = this.#pool;
    if (unwanted !== this.#pool) void unwanted?.close();
  }

  async #close(): Promise<void> {
    clearInterval(this.#timer);
    this.#asks?.close();
    const pools = new Set([this.#pool, this.#next, ...this.#old.map(({ pool }) => pool)]);
    await Promise.all([...pools].map((pool) => pool?.close()));
    process.exit(0); // of this thread: whatever is left ends with it
  }

  #take(): void {
    const asked = this.#asks?.take() ?? [];
    for (const ask of asked) void this.#call(ask);
  }

  async #call(ask: PluginAsk): Promise<void> {
    const { number, module, told, body, until } = ask;
    const pool = this.#poolOf(module);
    const done =
      pool === undefined
        ? ({ type: 'failed', why: 'the config that names it is gone' } as const)
        : await pool.call({ type: 'call', module, told, body, until });
    if (done.type === 'said') {
      const { verdict, body: reply } = done;
      const answer: PluginAnswer = { number, verdict };
      if (reply !== undefined) answer.body = Buffer.from(reply.buffer, reply.byteOffset, reply.byteLength);
      this.#answer(ask, answer);
      return;
    }
    const why = done.type === 'failed' ? done.why : 'it was not called';
    this.#failed(ask, why === undefined ? 'it gave no verdict in time' : `a call failed: ${why}`);
    this.#answer(ask, { number, late: why === undefined });
  }

  /** The newest pool that has it. */
  #poolOf(module: string): Pool | undefined {
    const all = [this.#next, this.#pool, ...this.#old.map(({ pool }) => pool).reverse()];
    return all.find((pool) => pool?.modules.has(module));
  }

  #answer(ask: PluginAsk, answer: PluginAnswer): void {
    this.#answers.push({ ask, answer });
    if (this.#answers.length === 1) setImmediate(() => this.#flush());
  }

  #flush(): void {
    const batch = this.#answers;
    this.#answers = [];
    const faults = this.#asks?.answer(batch.map(({ answer }) => answer)) ?? [];
    for (const { number, why } of faults) {
      const ask = batch.find(({ answer }) => answer.number === number)?.ask;
      if (ask !== undefined) this.#failed(ask, `its verdict is none: ${why}`);
    }
  }

  #failed({ module, told }: PluginAsk, why: string): void {
    this.#lines += 1;
    if (this.#lines > LINES) return;
    const { method, path, route } = JSON.parse(told) as Record<string, string>;
    const name = this.#poolOf(module)?.modules.get(module);
    this.#log('error', { module: name, route, request: `${method} ${path}` }, `a plugin: ${why}`);
  }

  /** Closes pools that nobody wants any more. */
  #sweep(): void {
    if (this.#old.length === 0) return;
    const wanted = this.#wanted();
    const here = this.#pool?.modules ?? new Map<string, string>();
    this.#old = this.#old.filter(({ pool, until }) => {
      const isNamed = [...pool.modules.keys()].some((module) => wanted.has(module) && !here.has(module));
      const isWanted = pool.busy > 0 || isNamed;
      if (isWanted && performance.now() < until) return true;
      void pool.close();
      return false;
    });
  }

  /** Modules that requests may still name. */
  #wanted(): Set<string> {
    try {
      return new Set(this.#gateway === undefined ? [] : attach(this.#gateway).pluginModules());
    } catch {
      return new Set(); // the gateway is closed
    }
  }

  #log(level: LogLine['level'], fields: Record<string, unknown>, message: string): void {
    this.#say({ type: 'log', level, fields, message });
  }

  #say(message: FromSupervisor | LogLine): void {
    this.#port.postMessage(message);
  }
}

function same(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): boolean {
  return a.size === b.size && [...a.keys()].every((module) => b.has(module));
}

const DRAIN_MS = 30_000;
const LINES = 10;

if (parentPort !== null) new Supervisor(parentPort);
