/**
 * app worker: a thread that runs one app's module behind a Unix socket.
 *
 * Messages are {@link ToWorker} and {@link FromWorker}. Its heart beats into shared memory every {@link BEAT_MS},
 * where the supervisor looks; a worker that is stuck is replaced from outside.
 */
import { monitorEventLoopDelay, PerformanceObserver } from 'node:perf_hooks';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { noteWorker } from '#bindings';
import { openServer } from '../http/server.js';
import { type AppServer, LINGER_MS } from '../http/server-types.js';
import { type DoorPlan, Doors } from './doors.js';
import { type App, type AppHandler, checkApp } from './handler.js';
import type { LinkEnd } from './links.js';
import { startRuntime } from './runtime.js';
import { type Place, serve } from './serve.js';
import { placeOf } from './source.js';
import { type Home, socketOptions } from './websocket.js';

/** What a worker is started with. */
export interface WorkerStart {
  app: string;
  index: number;
  /** Address of the bundled module, `file:`. */
  module: string;
  /** The Unix socket to listen at. */
  socket: string;
  /** Where its heart beats: one number, milliseconds of `process.hrtime`. */
  beat: SharedArrayBuffer;
  /** To the other threads of the app. */
  links: LinkEnd[];
  /** The last number that an event of the app was given. */
  numbers: SharedArrayBuffer;
  /** Differs between two runs of a gateway. */
  epoch: string;
}

/** What the supervisor says. */
export type ToWorker =
  /** The gateway that its numbers belong to, and the listeners at whose door it is. */
  | { type: 'gateway'; id: number; doors: DoorPlan[] }
  /** Leave all doors; what is on its way there has so much time. */
  | { type: 'doors'; patienceMs: number }
  /** A new thread of the app. */
  | { type: 'link'; end: LinkEnd }
  /** The process ends: WebSockets and event streams are closed. */
  | { type: 'goodbye' }
  /** Finish what is there within so long, and end. WebSockets and event streams stay until then. */
  | { type: 'drain'; patienceMs: number }
  /** End now. */
  | { type: 'exit' };

/** What a worker says. */
export type FromWorker =
  | { type: 'listening'; engine: string }
  /** It is at its doors, or why it is not. */
  | { type: 'doors'; why: string | undefined }
  | { type: 'failed'; why: string; where: string | undefined }
  /** It has answered its first request. */
  | { type: 'served' }
  | { type: 'fault'; why: string; request: string };

async function run(port: MessagePort, start: WorkerStart): Promise<void> {
  process.setSourceMapsEnabled(true);
  const say = (message: FromWorker): void => port.postMessage(message);
  beat(start.beat);
  const runtime = startRuntime(start);
  port.on('message', (message: ToWorker) => {
    if (message.type === 'link') runtime.link(message.end);
  });
  let app: App<unknown>;
  try {
    app = appOf(await import(start.module));
  } catch (error) {
    const { stack, message } = error as Error;
    say({ type: 'failed', why: message ?? String(error), where: placeOf(stack) });
    port.close();
    return;
  }
  let requests = 0;
  let lines = 0;
  const place: Place = {
    app: start.app,
    worker: start.index,
    handler: handlerOf(app),
    served() {
      requests += 1;
      if (requests === 1) say({ type: 'served' });
    },
    fault(error, request) {
      lines += 1;
      if (lines > LINES) return;
      say({
        type: 'fault',
        why: error instanceof Error ? (error.stack ?? error.message) : String(error),
        request,
      });
    },
  };
  const handlers = typeof app === 'object' ? app.websocket : undefined;
  const home: Home = { runtime };
  let server: AppServer;
  try {
    server = await openServer({
      listen: { unix: start.socket },
      handler(exchange) {
        place.served();
        serve(exchange, place);
      },
      trusted: true,
      ...(handlers === undefined ? {} : { websocket: socketOptions(handlers, place, home) }),
    });
    home.server = server;
  } catch (error) {
    say({
      type: 'failed',
      why: `its socket cannot be opened: ${(error as Error).message}`,
      where: undefined,
    });
    port.close();
    return;
  }
  const doors = new Doors(place, server.engine === 'uws' ? start.socket : undefined);
  const numbers = watch(start, () => requests);
  const seconds = setInterval(() => {
    lines = 0;
    numbers.tell();
  }, 1_000);
  port.on('message', (message: ToWorker) => {
    if (message.type === 'gateway') {
      numbers.gateway = message.id;
      numbers.tell();
      say({ type: 'doors', why: doors.open(message.id, message.doors) });
      return;
    }
    if (message.type === 'doors') {
      void doors.close(message.patienceMs).then(() => say({ type: 'doors', why: undefined }));
      return;
    }
    if (message.type === 'exit') process.exit(0);
    if (message.type === 'goodbye') runtime.goodbye();
    if (message.type !== 'drain') return;
    clearInterval(seconds);
    const { patienceMs } = message;
    setTimeout(() => runtime.goodbye(), patienceMs);
    const closed = [server.close(patienceMs + LINGER_MS, true), doors.close(patienceMs + LINGER_MS)];
    void Promise.all(closed).then(() => process.exit(0));
  });
  await runtime.open(server);
  say({ type: 'listening', engine: server.engine });
}

/** Says how this worker does, to whoever reads the metrics. */
function watch(
  { app, index }: WorkerStart,
  requests: () => number,
): { gateway: number | undefined; tell(): void } {
  const delay = monitorEventLoopDelay({ resolution: 10 });
  delay.enable();
  let gc = 0;
  const observer = new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) gc += duration / 1000;
  });
  observer.observe({ entryTypes: ['gc'] });
  return {
    gateway: undefined,
    tell() {
      if (this.gateway === undefined) return;
      const lag = Math.max(0, delay.max / 1e9 - 0.01);
      delay.reset();
      const heap = process.memoryUsage().heapUsed;
      noteWorker(this.gateway, app, index, {
        lag: Number.isFinite(lag) ? lag : 0,
        heap,
        gc,
        requests: requests(),
      });
    },
  };
}

function beat(memory: SharedArrayBuffer): void {
  const heart = new BigInt64Array(memory);
  const once = (): void => void Atomics.store(heart, 0, process.hrtime.bigint() / 1_000_000n);
  once();
  setInterval(once, BEAT_MS).unref(); // a worker that failed to start ends by itself
}

function appOf(module: { default?: unknown }): App<unknown> {
  const app = module.default;
  checkApp(app);
  return app;
}

function handlerOf(app: App<unknown>): AppHandler {
  return typeof app === 'function' ? app : (request, ctx) => app.fetch(request, ctx);
}

const BEAT_MS = 50;
/** Faults of handlers that are logged, a second and worker. */
const LINES = 10;

if (parentPort !== null) await run(parentPort, workerData as WorkerStart);
