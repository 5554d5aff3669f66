/**
 * app supervisor: the thread that owns the workers of apps.
 *
 * It is not the program's main thread, which a user's code may keep busy. A worker that dies is replaced: at once if it had
 * served, else after a delay that doubles up to {@link MOST_DELAY_MS}, so that a module that always fails does not spin. A worker whose heart
 * stands still is stuck: the log gets the stack of its code, and it is replaced. The edge is told of each socket that comes
 * or goes; a death never touches it. Messages are {@link ToSupervisor} and {@link FromSupervisor}.
 */
import { randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type MessagePort, parentPort, Worker, workerData } from 'node:worker_threads';
import { attach, noteWorker, quiet } from '#bindings';
import type { RedisSettings } from '../store/address.js';
import type { LogLine } from '../thread.js';
import type { DoorPlan } from './doors.js';
import type { LinkEnd } from './links.js';
import { type Member, Mesh } from './mesh.js';
import { stackOf } from './stuck.js';
import { Uplink } from './uplink.js';
import type { FromWorker, ToWorker, WorkerStart } from './worker.js';

/** One app as it shall run. */
export interface AppPlan {
  name: string;
  /** Address of the bundled module, `file:`. */
  module: string;
  /** Differs if and only if its workers must be new. */
  identity: string;
  workers: number;
  memoryMib: number;
  stuckTimeoutMs: number;
  drainTimeoutMs: number;
  /** Its topics go to all nodes with the same store. */
  hasGlobalTopics: boolean;
}

/** Where the workers of an app listen. */
export interface Sockets {
  app: string;
  sockets: string[];
}

/** What the main thread says. */
export type ToSupervisor =
  /** Start what is new; nothing that runs is touched. */
  | { type: 'prepare'; apps: AppPlan[] }
  /** What was prepared is in force: the rest is drained. `store` carries topics. */
  | { type: 'commit'; gateway: number; doors: DoorPlan[][]; store: RedisSettings | undefined }
  /** What was prepared is not wanted. */
  | { type: 'abandon' }
  /** Close the doors. */
  | { type: 'doors'; patienceMs: number }
  /** The gateway stops: WebSockets and event streams are closed. */
  | { type: 'goodbye' }
  | { type: 'close'; patienceMs: number };

/** What the supervisor says. */
export type FromSupervisor =
  | { type: 'prepared'; sockets: Sockets[] }
  /** The doors are open; or why one is not. */
  | { type: 'committed'; why: string | undefined }
  /** A link to a new worker of an app, to publish to it. */
  | { type: 'link'; app: string; end: LinkEnd }
  | { type: 'failed'; app: number; why: string; where: string | undefined };

interface Slot {
  readonly index: number;
  readonly beat: SharedArrayBuffer;
  worker: Worker | undefined;
  /** Its place in the mesh. */
  member: Member | undefined;
  socket: string;
  listening: boolean;
  served: boolean;
  /** It is on its way out, on purpose. */
  leaving: boolean;
  /** Deaths in a row without an answer in between. */
  failures: number;
  restart: NodeJS.Timeout | undefined;
}

/** The workers of one app with one module. */
class Crew {
  readonly plan: AppPlan;
  readonly #slots: Slot[] = [];
  readonly #place: Supervisor;
  #watch: NodeJS.Timeout | undefined;
  #looked = now();
  /** The gateway that they serve, once they do. */
  #gateway: number | undefined;
  #doors: DoorPlan[] = [];
  /** Called when a worker has opened its doors. */
  #opened = new Map<Slot, (why: string | undefined) => void>();
  #failed: ((fault: { why: string; where: string | undefined }) => void) | undefined;

  constructor(plan: AppPlan, place: Supervisor) {
    this.plan = plan;
    this.#place = place;
  }

  /** Starts all workers; resolves with nothing when all listen, or with why the first could not. */
  async start(): Promise<{ why: string; where: string | undefined } | undefined> {
    const every = Math.min(250, this.plan.stuckTimeoutMs / 4);
    this.#watch = setInterval(() => this.#look(every), every);
    const failed = new Promise<{ why: string; where: string | undefined }>((resolve) => {
      this.#failed = resolve;
    });
    const started = Array.from({ length: this.plan.workers }, (_, index) => this.#slot(index));
    const result = await Promise.race([failed, Promise.all(started).then(() => undefined)]);
    this.#failed = undefined;
    return result;
  }

  /** Paths of the sockets that answer. */
  sockets(): string[] {
    return this.#slots.filter(({ listening }) => listening).map(({ socket }) => socket);
  }

  /** From now on they serve this gateway, at these doors; resolves with why one is not open. */
  async commit(gateway: number, doors: DoorPlan[]): Promise<string | undefined> {
    this.#gateway = gateway;
    this.#doors = doors;
    this.#publish();
    const opened = this.#slots.map((slot) => {
      if (!slot.listening) return undefined; // it hears of it when it listens again
      const told = new Promise<string | undefined>((resolve) => this.#opened.set(slot, resolve));
      this.#serve(slot);
      return told;
    });
    return (await Promise.all(opened)).find((why) => why !== undefined);
  }

  /** Leaves the doors; what is on its way there has so much time. */
  async closeDoors(patienceMs: number): Promise<void> {
    if (this.#doors.length === 0) return;
    this.#doors = [];
    const closed = this.#slots.map((slot) => {
      if (!slot.listening) return undefined;
      const told = new Promise<string | undefined>((resolve) => this.#opened.set(slot, resolve));
      this.#say(slot, { type: 'doors', patienceMs });
      return told;
    });
    await Promise.all(closed);
  }

  #serve(slot: Slot): void {
    if (this.#gateway !== undefined)
      this.#say(slot, { type: 'gateway', id: this.#gateway, doors: this.#doors });
  }

  /** Lets all workers finish within `patienceMs`, and ends them. */
  async leave(patienceMs: number): Promise<void> {
    clearInterval(this.#watch);
    this.#gateway = undefined; // those that took their place are published by their own crew
    await Promise.all(
      this.#slots.map(async (slot) => {
        slot.leaving = true;
        absent(slot);
        clearTimeout(slot.restart);
        const { worker } = slot;
        if (worker === undefined) return;
        const gone = new Promise((resolve) => worker.once('exit', resolve));
        if (slot.listening && patienceMs > 0) {
          this.#say(slot, { type: 'drain', patienceMs });
          const timer = setTimeout(() => {
            const about = { app: this.plan.name, worker: slot.index, patience_ms: patienceMs };
            this.#place.log('warn', about, 'a worker did not finish in time and is ended');
            void end(worker, slot.socket);
          }, patienceMs + GRACE_MS);
          await gone;
          clearTimeout(timer);
        } else {
          await end(worker, slot.socket);
        }
        await rm(slot.socket, { force: true });
      }),
    );
  }

  /** WebSockets and event streams are closed; requests are answered as before. */
  goodbye(): void {
    for (const slot of this.#slots) this.#say(slot, { type: 'goodbye' });
  }

  #slot(index: number): Promise<void> {
    const slot: Slot = {
      index,
      beat: new SharedArrayBuffer(8),
      worker: undefined,
      member: undefined,
      socket: '',
      listening: false,
      served: false,
      leaving: false,
      failures: 0,
      restart: undefined,
    };
    this.#slots.push(slot);
    return new Promise((resolve) => this.#run(slot, resolve));
  }

  #run(slot: Slot, listening: () => void): void {
    const { plan } = this;
    slot.socket = this.#place.socket();
    slot.served = false;
    Atomics.store(new BigInt64Array(slot.beat), 0, now());
    const mesh = this.#place.mesh(plan.name);
    const member: Member = {
      listening: false,
      takesEvents: true,
      link: (end) => worker.postMessage({ type: 'link', end } satisfies ToWorker, [end.port]),
    };
    slot.member = member;
    const links = mesh.join(member);
    const worker = new Worker(new URL('./worker.js', import.meta.url), {
      name: `${plan.name}-${slot.index}`,
      workerData: {
        app: plan.name,
        index: slot.index,
        module: plan.module,
        socket: slot.socket,
        beat: slot.beat,
        links,
        numbers: mesh.numbers,
        epoch: this.#place.epoch,
      } satisfies WorkerStart,
      transferList: links.map(({ port }) => port),
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: plan.memoryMib },
    });
    slot.worker = worker;
    const about = { app: plan.name, worker: slot.index };
    worker.on('message', (message: FromWorker) => {
      if (message.type === 'listening') {
        slot.listening = true;
        member.listening = true;
        this.#serve(slot);
        this.#publish();
        listening();
      } else if (message.type === 'served') {
        slot.served = true;
        slot.failures = 0;
      } else if (message.type === 'failed') {
        this.#place.log('error', { ...about, where: message.where }, `an app does not start: ${message.why}`);
        this.#failed?.(message);
      } else if (message.type === 'doors') {
        if (message.why !== undefined) this.#place.log('error', about, `a door is not open: ${message.why}`);
        this.#told(slot, message.why);
      } else {
        this.#place.log('error', { ...about, request: message.request }, `a handler failed: ${message.why}`);
      }
    });
    worker.on('error', (error: NodeJS.ErrnoException) => {
      const memory = error.code === 'ERR_WORKER_OUT_OF_MEMORY';
      const why = memory
        ? `it needs more than ${plan.memoryMib} MiB (apps[].memory)`
        : (error.stack ?? error.message);
      this.#place.log('error', about, `a worker died: ${why}`);
      this.#failed?.({ why, where: undefined });
    });
    worker.once('exit', (code) => {
      mesh.leave(member);
      this.#ended(slot, code);
    });
  }

  #ended(slot: Slot, code: number): void {
    const { plan } = this;
    const path = slot.socket;
    slot.listening = false;
    slot.worker = undefined;
    this.#told(slot, undefined); // the one that takes its place opens them
    this.#publish();
    void rm(path, { force: true });
    if (this.#gateway !== undefined) noteWorker(this.#gateway, plan.name, slot.index);
    if (slot.leaving) return;
    this.#failed?.({ why: `its worker ended with ${code}`, where: undefined });
    if (!slot.served) slot.failures += 1;
    const delay =
      slot.failures === 0 ? 0 : Math.min(MOST_DELAY_MS, LEAST_DELAY_MS * 2 ** (slot.failures - 1));
    this.#place.log(
      'warn',
      { app: plan.name, worker: slot.index, code, delay },
      'a worker ended and is replaced',
    );
    slot.restart = setTimeout(() => this.#run(slot, () => {}), delay);
  }

  #told(slot: Slot, why: string | undefined): void {
    this.#opened.get(slot)?.(why);
    this.#opened.delete(slot);
  }

  #look(every: number): void {
    const at = now();
    // A machine that stood still makes all hearts look still.
    const late = at - this.#looked > BigInt(Math.round(every * 3));
    this.#looked = at;
    if (late) return;
    for (const slot of this.#slots) {
      const beat = Atomics.load(new BigInt64Array(slot.beat), 0);
      if (slot.worker === undefined || at - beat < BigInt(this.plan.stuckTimeoutMs)) continue;
      void this.#replace(slot, slot.worker, Number(at - beat));
    }
  }

  async #replace(slot: Slot, worker: Worker, stuckMs: number): Promise<void> {
    absent(slot);
    // Not looked at again while its stack is read.
    Atomics.store(new BigInt64Array(slot.beat), 0, now() + 60_000n);
    const stack = await stackOf(worker.threadId);
    const about = { app: this.plan.name, worker: slot.index, stuck_ms: stuckMs, stack };
    this.#place.log('error', about, 'a worker is stuck and is replaced');
    await end(worker, slot.socket, true);
  }

  #publish(): void {
    if (this.#gateway === undefined) return;
    try {
      attach(this.#gateway).appSockets(this.plan.name, this.sockets());
    } catch {
      // The gateway is closing: there is nobody to tell.
    }
  }

  #say({ worker }: Slot, message: ToWorker): void {
    worker?.postMessage(message);
  }
}

class Supervisor {
  readonly #port: MessagePort;
  readonly #folder: string;
  readonly epoch = randomBytes(6).toString('hex');
  readonly #meshes = new Map<string, Mesh>();
  readonly #uplink: Uplink;
  #crews: Crew[] = [];
  #next: Crew[] = [];
  /** Those that were replaced and have not ended, oldest first. */
  readonly #leaving = new Set<Crew>();
  #sockets = 0;

  constructor(port: MessagePort, folder: string) {
    this.#port = port;
    this.#folder = folder;
    const say =
      (level: LogLine['level']) =>
      (fields: Record<string, unknown>, message: string): void =>
        this.log(level, fields, message);
    const log = { info: say('info'), warn: say('warn'), error: say('error') };
    this.#uplink = new Uplink((app) => this.mesh(app), log);
    port.on('message', (message: ToSupervisor) => void this.#hear(message));
  }

  /** A path that no socket has had. */
  socket(): string {
    this.#sockets += 1;
    return join(this.#folder, `${this.#sockets}.sock`);
  }

  /** The links between all workers of an app's name. */
  mesh(app: string): Mesh {
    const found = this.#meshes.get(app);
    if (found !== undefined) return found;
    const made = new Mesh((end) => this.#say({ type: 'link', app, end }, [end.port]));
    this.#meshes.set(app, made);
    return made;
  }

  log(level: 'info' | 'warn' | 'error', fields: Record<string, unknown>, message: string): void {
    this.#say({ type: 'log', level, fields, message });
  }

  async #hear(message: ToSupervisor): Promise<void> {
    if (message.type === 'prepare') await this.#prepare(message.apps);
    else if (message.type === 'commit') {
      const before = this.#crews.filter((crew) => !this.#next.includes(crew));
      this.#crews = this.#next;
      const global = this.#crews.filter(({ plan }) => plan.hasGlobalTopics);
      this.#uplink.use(
        message.store,
        global.map(({ plan }) => plan.name),
      );
      const opened = this.#crews.map((crew, at) => crew.commit(message.gateway, message.doors[at] ?? []));
      const why = (await Promise.all(opened)).find((fault) => fault !== undefined);
      this.#say({ type: 'committed', why });
      for (const crew of before) void this.#replaced(crew);
    } else if (message.type === 'doors') {
      await Promise.all(this.#crews.map((crew) => crew.closeDoors(message.patienceMs)));
      this.#say({ type: 'committed', why: undefined });
    } else if (message.type === 'abandon') {
      const unwanted = this.#next.filter((crew) => !this.#crews.includes(crew));
      await Promise.all(unwanted.map((crew) => crew.leave(0)));
    } else if (message.type === 'goodbye') {
      for (const crew of [...this.#leaving, ...this.#crews]) crew.goodbye();
    } else {
      await Promise.all(this.#crews.map((crew) => crew.leave(message.patienceMs)));
      await this.#uplink.close(message.patienceMs);
      this.#port.close();
    }
  }

  async #replaced(crew: Crew): Promise<void> {
    const same = [...this.#leaving].filter(({ plan }) => plan.name === crew.plan.name);
    // Sockets that stay keep their workers: frequent reloads must not pile these up.
    if (same.length >= MOST_LEAVING) same[0]?.goodbye();
    this.#leaving.add(crew);
    await crew.leave(crew.plan.drainTimeoutMs);
    this.#leaving.delete(crew);
  }

  async #prepare(apps: AppPlan[]): Promise<void> {
    this.#next = apps.map(
      (plan) => this.#crews.find((crew) => crew.plan.identity === plan.identity) ?? new Crew(plan, this),
    );
    const fresh = this.#next.filter((crew) => !this.#crews.includes(crew));
    const results = await Promise.all(fresh.map((crew) => crew.start()));
    const at = results.findIndex((fault) => fault !== undefined);
    const fault = results[at];
    if (fault !== undefined) {
      await Promise.all(fresh.map((crew) => crew.leave(0)));
      this.#next = this.#crews;
      this.#say({ type: 'failed', app: apps.indexOf(fresh[at]?.plan as AppPlan), ...fault });
      return;
    }
    const sockets = this.#next.map((crew) => ({ app: crew.plan.name, sockets: crew.sockets() }));
    this.#say({ type: 'prepared', sockets });
  }

  #say(message: FromSupervisor | LogLine, transfer: MessagePort[] = []): void {
    this.#port.postMessage(message, transfer);
  }
}

/** A new worker does not wait for this one to be greeted. */
function absent({ member }: Slot): void {
  if (member !== undefined) member.listening = false;
}

/**
 * Ends a worker. One that still runs ends itself; one that does not come to it is stuck, and ended from outside: its
 * sockets are taken away first, which nobody may do to a thread that uses them.
 */
async function end(worker: Worker, socket: string, isStuck = false): Promise<void> {
  if (!isStuck) {
    const gone = new Promise((resolve) => worker.once('exit', () => resolve(true)));
    worker.postMessage({ type: 'exit' } satisfies ToWorker);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise((resolve) => {
      timer = setTimeout(() => resolve(false), GRACE_MS);
    });
    const isGone = await Promise.race([gone, late]);
    clearTimeout(timer);
    if (isGone) return;
  }
  quiet(socket);
  await worker.terminate();
}

/** Milliseconds of a clock that all threads of the process share and nobody sets. */
function now(): bigint {
  return process.hrtime.bigint() / 1_000_000n;
}

const LEAST_DELAY_MS = 50;
const MOST_DELAY_MS = 5_000;
/** Generations of one app that still have WebSockets; with one more the oldest's are closed before their time. */
const MOST_LEAVING = 3;
/** What a worker gets beyond its patience to close in good order. */
const GRACE_MS = 1_000;

if (parentPort !== null) new Supervisor(parentPort, (workerData as { folder: string }).folder);
