/**
 * admin: starts the thread of the admin listener, and speaks with it.
 *
 * A worker that dies is started again after {@link RESTART_MS}; traffic does not depend on it.
 * Errors: `admin_bind_failed`.
 */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { Reloaded } from './admin-routes.js';
import type { FromWorker, Settings, Start, ToWorker } from './admin-worker.js';
import { ConfigError, GateError, wrap } from './errors.js';
import { prepareUws } from './http/load.js';
import type { Log } from './log.js';
import type { Bind } from './server.js';

/** What an admin listener is opened with. */
export interface AdminOptions {
  /** The gateway's number in the addon. */
  id: number;
  /** `IP:port`. */
  bind: string;
  settings: Settings;
  /** Numbers of the store; see `store/figures.ts`. */
  store: SharedArrayBuffer;
  log: Log;
  /** Reloads from the source, or from `json`; resolves with the revision. `by` is for the history. */
  onReload(json: string | undefined, by: string): Promise<number>;
  /** Publishes a config of the history again; resolves with the revision. */
  onRollback(number: number, by: string): Promise<number>;
}

/** The admin listener of one gateway. */
export class Admin {
  /** As configured, `IP:port`. */
  readonly bind: string;
  /** As bound, `IP:port`; the port is known here even if `bind` says 0. */
  address = '';
  readonly #options: AdminOptions;
  #settings: Settings;
  #worker: Worker | undefined;
  #restart: NodeJS.Timeout | undefined;
  #closed = false;

  private constructor(options: AdminOptions) {
    this.#options = options;
    this.#settings = options.settings;
    this.bind = options.bind;
  }

  /** Resolves when it listens. */
  static async open(options: AdminOptions): Promise<Admin> {
    const admin = new Admin(options);
    await admin.#start(parse(options.bind));
    return admin;
  }

  /** What `/config` shows, and who may ask, from now on. */
  update(settings: Settings): void {
    this.#settings = settings;
    this.#send({ type: 'settings', settings });
  }

  /** Ends answers in progress, then the thread. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#restart);
    const worker = this.#worker;
    if (worker === undefined) return;
    worker.ref();
    const ended = once(worker, 'exit');
    this.#send({ type: 'close' });
    await ended;
  }

  async #start(bind: Bind): Promise<void> {
    const { id, store } = this.#options;
    prepareUws();
    const worker = new Worker(new URL('./admin-worker.js', import.meta.url), {
      name: 'ironsluice-admin',
      workerData: { id, bind, settings: this.#settings, store } satisfies Start,
      execArgv: [], // flags of the program, such as a test runner's, are not for this thread
      resourceLimits: { maxOldGenerationSizeMb: 256 },
    });
    this.#worker = worker;
    await new Promise<void>((resolve, reject) => {
      worker.on('message', (message: FromWorker) => {
        if (message.type === 'listening') {
          this.address = message.address;
          this.#options.log.info(message.served, 'the admin listener is served');
          worker.unref();
          resolve();
        } else if (message.type === 'failed') reject(this.#cannotBind(message.why));
        else void this.#reload(message);
      });
      worker.on('error', (error) => {
        this.#options.log.error({ err: wrap(error) }, 'the admin thread failed');
        reject(wrap(error));
      });
      worker.once('exit', () => {
        reject(this.#cannotBind('its thread ended'));
        if (this.#worker === worker) this.#worker = undefined;
        if (this.address !== '' && !this.#closed) this.#again();
      });
    });
  }

  /** Not at once, so that a thread that always fails does not spin. */
  #again(): void {
    this.#restart = setTimeout(() => {
      this.#start(parse(this.address)).catch((error) => {
        this.#options.log.error({ err: wrap(error) }, 'the admin listener does not come back');
      });
    }, RESTART_MS);
    this.#restart.unref();
  }

  async #reload({ call, what }: Extract<FromWorker, { type: 'reload' }>): Promise<void> {
    const { onReload, onRollback } = this.#options;
    let done: Reloaded;
    try {
      const { by, json, number } = what;
      const published = number === undefined ? onReload(json, by) : onRollback(number, by);
      done = { ok: true, revision: await published };
    } catch (error) {
      const { code, message } = wrap(error);
      done = { ok: false, code, message };
      if (error instanceof ConfigError) done.faults = error.faults;
    }
    this.#send({ type: 'reloaded', call, done });
  }

  #send(message: ToWorker): void {
    this.#worker?.postMessage(message);
  }

  #cannotBind(why: string): GateError {
    const reason = why === 'EADDRINUSE' ? 'the address is in use' : why;
    return new GateError(
      'admin_bind_failed',
      `the admin listener cannot bind ${this.bind}: ${reason}`,
      'stop what uses it, or set admin.bind; 127.0.0.1:0 takes any free port',
    );
  }
}

function parse(bind: string): Bind {
  const at = bind.lastIndexOf(':');
  return { host: bind.slice(0, at).replace(/^\[(.*)\]$/, '$1'), port: Number(bind.slice(at + 1)) };
}

const RESTART_MS = 1_000;
