/**
 * admin-worker: the thread of the admin listener.
 *
 * It reads the core through its own view of the gateway, so that a main thread that is busy (in a program
 * that embeds us it is the user's) does not hide metrics and health. Only a reload asks the main thread,
 * with a deadline. Messages are {@link ToWorker} and {@link FromWorker}.
 * Bounds: {@link MAX_RELOADS} reloads at once; {@link RELOAD_MS} each.
 */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { adminHandler, type Reload, type Reloaded } from './admin-routes.js';
import { type Choice, choose } from './http/load.js';
import { attach } from './native.js';
import { type Bind, listen } from './server.js';
import { metricsOf, readFigures } from './store/figures.js';

/** What the worker is started with. */
export interface Start {
  /** The gateway's number in the addon. */
  id: number;
  bind: Bind;
  settings: Settings;
  /** Numbers of the store; see `store/figures.ts`. */
  store: SharedArrayBuffer;
}

/** What can change while it runs. */
export interface Settings {
  allowHosts: string[];
  /** The config as people may see it, JSON. */
  shown: string;
}

/** What the main thread says. */
export type ToWorker =
  | { type: 'settings'; settings: Settings }
  | { type: 'reloaded'; call: number; done: Reloaded }
  | { type: 'close' };

/** What the worker says. */
export type FromWorker =
  | { type: 'listening'; address: string; served: Pick<Choice, 'engine' | 'why'> }
  | { type: 'failed'; why: string }
  | { type: 'reload'; call: number; what: Reload };

async function run(port: MessagePort, start: Start): Promise<void> {
  const view = attach(start.id);
  const calls = new Map<number, (done: Reloaded) => void>();
  let { settings } = start;
  let lastCall = 0;
  const send = (message: FromWorker): void => port.postMessage(message);

  const reload = (what: Reload): Promise<Reloaded> => {
    if (calls.size >= MAX_RELOADS) {
      return Promise.resolve({ ok: false, code: 'busy', message: 'other reloads have not ended yet' });
    }
    lastCall += 1;
    const call = lastCall;
    return new Promise((resolve) => {
      const end = (done: Reloaded): void => {
        clearTimeout(timer);
        calls.delete(call);
        resolve(done);
      };
      const timer = setTimeout(
        () =>
          end({ ok: false, code: 'late', message: 'the main thread did not answer; it may still reload' }),
        RELOAD_MS,
      );
      calls.set(call, end);
      send({ type: 'reload', call, what });
    });
  };

  const handler = adminHandler({
    metrics: () => view.metrics(),
    quotas: () => view.quotas(),
    quotasOf: (consumer) => view.quotasOf(consumer),
    store: () => metricsOf(readFigures(start.store)),
    upstreams: () => view.upstreams(),
    revision: () => view.revision(),
    ready: () => view.ready(),
    shown: () => settings.shown,
    allowHosts: () => settings.allowHosts,
    reload,
  });

  try {
    const server = await listen(start.bind, handler);
    port.on('message', (message: ToWorker) => {
      if (message.type === 'settings') settings = message.settings;
      else if (message.type === 'reloaded') calls.get(message.call)?.(message.done);
      else void server.close(CLOSE_MS).then(() => port.close());
    });
    const { engine, why } = choose();
    send({ type: 'listening', address: server.address, served: { engine, why } });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    send({ type: 'failed', why: code ?? message });
    port.close();
  }
}

const MAX_RELOADS = 16;
const RELOAD_MS = 30_000;
const CLOSE_MS = 2_000;

if (parentPort !== null) await run(parentPort, workerData as Start);
