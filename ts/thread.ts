/**
 * thread: a thread of this package that owns others, seen from the thread that started it.
 *
 * It is asked one thing at a time, and logs through whoever started it. It does not keep the program up, but
 * while something is asked of it. One that dies can be started again, after a while, so that a thread that always fails does
 * not spin. Bounds: {@link PATIENCE_MS} for an answer.
 */
import { type TransferListItem, Worker } from 'node:worker_threads';
import { wrap } from './errors.js';

/** A line for the log, as such a thread sends it. */
export interface LogLine {
  type: 'log';
  level: 'info' | 'warn' | 'error';
  fields: Record<string, unknown>;
  message: string;
}

/** Where such lines go. */
export type LineLog = Record<LogLine['level'], (fields: Record<string, unknown>, message: string) => void>;

/** How a thread is started. */
export interface ThreadOptions<To, From extends { type: string }> {
  /** What tools call it. */
  name: string;
  /** Its `workerData`. */
  data?: unknown;
  log: LineLog;
  /** Takes a message that answers nothing; false if it does not know it. */
  onNews?(message: From): boolean;
  /** It ended without being told to. */
  onDeath?(): void;
  /** How it is started again when it has died. Default: it is not. */
  again?: {
    /** How long that waits. */
    afterMs: number;
    /** Tells the new one what the old one knew. */
    greet(thread: Thread<To, From>): void | Promise<void>;
  };
}

/** A thread that takes messages `To` and says `From`. */
export class Thread<To, From extends { type: string }> {
  readonly #file: URL;
  readonly #options: ThreadOptions<To, From>;
  #worker: Worker | undefined;
  #exit: Promise<unknown> = Promise.resolve();
  #answer: ((message: From | undefined) => void) | undefined;
  #isEnding = false;
  #again: NodeJS.Timeout | undefined;

  constructor(file: URL, options: ThreadOptions<To, From>) {
    this.#file = file;
    this.#options = options;
    this.#start();
  }

  /** Tells it something; nobody hears it while it is dead. */
  post(message: To, transfer: TransferListItem[] = []): void {
    this.#worker?.postMessage(message, transfer);
  }

  /** Its answer, or nothing if it is dead, dies, or does not answer in time. */
  async ask(message: To): Promise<From | undefined> {
    const worker = this.#worker;
    if (worker === undefined) return undefined;
    worker.ref(); // a program that only waits for this must not end
    let timer: NodeJS.Timeout | undefined;
    try {
      return await new Promise<From | undefined>((resolve) => {
        timer = setTimeout(() => resolve(undefined), PATIENCE_MS);
        this.#answer = resolve;
        worker.postMessage(message);
      });
    } finally {
      clearTimeout(timer);
      this.#answer = undefined;
      worker.unref();
    }
  }

  /** Tells it to end; resolves when it has. */
  async end(message: To): Promise<void> {
    this.#isEnding = true;
    clearTimeout(this.#again);
    this.#worker?.ref();
    this.#worker?.postMessage(message);
    await this.#exit;
  }

  #start(): void {
    const { name, data, log, onNews, onDeath } = this.#options;
    const worker = new Worker(this.#file, { name, workerData: data, execArgv: [] });
    worker.on('message', (message: From | LogLine) => {
      if (isLine(message)) log[message.level](message.fields, message.message);
      else if (onNews?.(message) !== true) this.#answer?.(message);
    });
    worker.on('error', (error) => log.error({ err: wrap(error), thread: name }, 'a thread failed'));
    this.#exit = new Promise((resolve) => worker.once('exit', resolve));
    worker.once('exit', () => {
      this.#worker = undefined;
      this.#answer?.(undefined);
      if (this.#isEnding) return;
      onDeath?.();
      this.#revive();
    });
    worker.unref();
    this.#worker = worker;
  }

  #revive(): void {
    const { again } = this.#options;
    if (again === undefined) return;
    this.#again = setTimeout(() => {
      this.#start();
      void again.greet(this);
    }, again.afterMs).unref();
  }
}

function isLine(message: { type: string }): message is LogLine {
  return message.type === 'log';
}

/** How long an answer may take. */
export const PATIENCE_MS = 30_000;
