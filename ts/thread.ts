/**
 * thread: a thread of this package that owns others, seen from the thread that started it.
 *
 * It is asked one thing at a time, and logs through whoever started it. It does not keep the program up, but
 * while something is asked of it. Bounds: {@link PATIENCE_MS} for an answer.
 */
import { Worker } from 'node:worker_threads';
import { wrap } from './errors.js';
import type { Log } from './log.js';

/** A line for the log, as such a thread sends it. */
export interface LogLine {
  type: 'log';
  level: 'info' | 'warn' | 'error';
  fields: Record<string, unknown>;
  message: string;
}

/** How a thread is started. */
export interface ThreadOptions<From> {
  /** What tools call it. */
  name: string;
  /** Its `workerData`. */
  data?: unknown;
  log: Log;
  /** Takes a message that answers nothing; false if it does not know it. */
  onNews?(message: From): boolean;
  /** It ended without being told to. */
  onDeath?(): void;
}

/** A thread that takes messages `To` and says `From`. */
export class Thread<To, From extends { type: string }> {
  readonly #worker: Worker;
  readonly #exit: Promise<unknown>;
  #answer: ((message: From | undefined) => void) | undefined;
  #isEnding = false;

  constructor(file: URL, { name, data, log, onNews, onDeath }: ThreadOptions<From>) {
    const worker = new Worker(file, { name, workerData: data, execArgv: [] });
    worker.on('message', (message: From | LogLine) => {
      if (isLine(message)) log[message.level](message.fields, message.message);
      else if (onNews?.(message) !== true) this.#answer?.(message);
    });
    worker.on('error', (error) => log.error({ err: wrap(error), thread: name }, 'a thread failed'));
    this.#exit = new Promise((resolve) => worker.once('exit', resolve));
    worker.once('exit', () => {
      this.#answer?.(undefined);
      if (!this.#isEnding) onDeath?.();
    });
    worker.unref();
    this.#worker = worker;
  }

  /** Tells it something. */
  post(message: To): void {
    this.#worker.postMessage(message);
  }

  /** Its answer, or nothing if it has died or does not answer in time. */
  async ask(message: To): Promise<From | undefined> {
    this.#worker.ref(); // a program that only waits for this must not end
    let timer: NodeJS.Timeout | undefined;
    try {
      return await new Promise<From | undefined>((resolve) => {
        timer = setTimeout(() => resolve(undefined), PATIENCE_MS);
        this.#answer = resolve;
        this.#worker.postMessage(message);
      });
    } finally {
      clearTimeout(timer);
      this.#answer = undefined;
      this.#worker.unref();
    }
  }

  /** Tells it to end; resolves when it has. */
  async end(message: To): Promise<void> {
    this.#isEnding = true;
    this.#worker.ref();
    this.#worker.postMessage(message);
    await this.#exit;
  }
}

function isLine(message: { type: string }): message is LogLine {
  return message.type === 'log';
}

/** How long an answer may take. */
export const PATIENCE_MS = 30_000;
