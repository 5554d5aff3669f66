/**
 * serve: one request through an app's handler, from the server's exchange to the last byte of the answer.
 *
 * What a handler throws becomes 500 and a line in the log; a {@link BodyError} becomes
 * its own status. Nothing of the inside is told to the client.
 */
import { counter } from '#bindings';
import { GateError } from '../errors.js';
import type { Exchange } from '../http/server-types.js';
import { Gone } from './gone.js';
import {
  type AppContext,
  type AppHandler,
  Forwarded,
  type ReplyLike,
  type SharedCounter,
} from './handler.js';
import { Cut, sendStream, sendWhole } from './reply.js';
import { AppRequest, BodyError } from './request.js';
import { publish } from './runtime.js';

/** What a handler runs in. */
export interface Place {
  app: string;
  worker: number;
  handler: AppHandler;
  /** Counts a request. */
  served(): void;
  /** Says what a handler threw. */
  fault(error: unknown, request: string): void;
}

/** Answers an exchange; never throws. A handler that returns its answer at once is not waited for. */
export function serve(exchange: Exchange, place: Place): void {
  const context = new Context(exchange, place);
  try {
    const reply = place.handler(new AppRequest(exchange, context), context);
    if (reply instanceof Promise) {
      void guarded(exchange, place, context, async () => send(exchange, context, await reply));
      return;
    }
    context.begin();
    const stream = sendWhole(exchange, reply);
    if (stream !== undefined) {
      void guarded(exchange, place, context, () => sendStream(exchange, context.gone, stream));
    }
  } catch (error) {
    failed(exchange, place, error);
    context.begin();
  }
}

/** Sends what a handler returned: the answer begins. */
export async function send(exchange: Exchange, context: Context, reply: ReplyLike): Promise<void> {
  context.begin();
  const stream = sendWhole(exchange, reply);
  if (stream !== undefined) await sendStream(exchange, context.gone, stream);
}

/** Runs what may fail for an exchange, and then answers it: with what was thrown, or 500. Never rejects. */
async function guarded<T>(
  exchange: Exchange,
  place: Place,
  context: Context,
  run: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await run();
  } catch (error) {
    failed(exchange, place, error);
    return undefined;
  } finally {
    context.begin();
  }
}

/** Answers with what was thrown, or 500. */
function failed(exchange: Exchange, place: Place, error: unknown): void {
  if (exchange.aborted && !(error instanceof Cut)) return;
  if (error instanceof BodyError) {
    refuse(exchange, error.status, error.message);
    return;
  }
  place.fault(error instanceof Cut ? error.cause : error, requestOf(exchange));
  if (!(error instanceof Cut)) refuse(exchange, 500, '');
}

function requestOf(exchange: Exchange): string {
  try {
    return `${exchange.method} ${exchange.path}`;
  } catch {
    return 'a request that was answered'; // its head is gone
  }
}

/** Runs what an app says of a request before it answers; what it throws is the answer. Never rejects. */
export function attempt<T>(
  exchange: Exchange,
  place: Place,
  run: (request: AppRequest, context: Context) => Promise<T>,
): Promise<T | undefined> {
  const context = new Context(exchange, place);
  return guarded(exchange, place, context, () => run(new AppRequest(exchange, context), context));
}

function refuse(exchange: Exchange, status: number, detail: string): void {
  const body = JSON.stringify({
    type: 'about:blank',
    title: status === 500 ? 'Internal Server Error' : 'Bad Request',
    status,
    code: status === 500 ? 'internal' : status === 413 ? 'body_too_large' : 'bad_body',
    ...(detail === '' ? {} : { detail }),
  });
  exchange.respond(status, ['content-type', 'application/problem+json'], body);
}

/** See {@link AppContext}. */
export class Context implements AppContext {
  readonly app: string;
  readonly worker: number;
  readonly #exchange: Exchange;
  #gone: Gone | undefined;
  readonly #started = performance.now();
  #abort: AbortController | undefined;
  #timer: NodeJS.Timeout | undefined;
  #hasBegun = false;

  constructor(exchange: Exchange, { app, worker }: Place) {
    this.app = app;
    this.worker = worker;
    this.#exchange = exchange;
  }

  /** Whether the client is still there. */
  get gone(): Gone {
    this.#gone ??= new Gone(this.#exchange);
    return this.#gone;
  }

  get client(): string {
    return this.#exchange.header('ironsluice-client') ?? this.#exchange.remoteAddress;
  }

  get consumer(): string | undefined {
    return this.#exchange.header('ironsluice-consumer');
  }

  get route(): string {
    return this.#exchange.header('ironsluice-route') ?? '';
  }

  get trace(): string | undefined {
    return this.#exchange.header('traceparent');
  }

  get deadline(): number {
    return this.#started + Number(this.#exchange.header('ironsluice-timeout') ?? 15_000);
  }

  get signal(): AbortSignal {
    if (this.#abort === undefined) {
      const abort = new AbortController();
      this.#abort = abort;
      if (this.#exchange.aborted) abort.abort();
      this.gone.on(() => abort.abort());
      const left = Math.max(0, this.deadline - performance.now());
      if (!this.#hasBegun) {
        this.#timer = setTimeout(() => abort.abort(new DOMException('too late', 'TimeoutError')), left);
      }
    }
    return this.#abort.signal;
  }

  forward(upstream: string): Forwarded {
    if (this.#exchange.forward === undefined) {
      const fix = 'answer through a route that leads to the upstream, or give the listener door: app';
      throw new GateError(
        'not_direct',
        'a request that came through the edge cannot be forwarded by an app',
        fix,
      );
    }
    this.#exchange.forward(upstream);
    return new Forwarded();
  }

  counter(name: string): SharedCounter {
    return counterOf(this.app, name);
  }

  publish(topic: string, message: string | Uint8Array): boolean {
    return publish(topic, message);
  }

  /** The answer begins: the deadline is met. */
  begin(): void {
    this.#hasBegun = true;
    clearTimeout(this.#timer);
  }
}

const counters = new Map<string, SharedCounter>();

function counterOf(app: string, name: string): SharedCounter {
  let found = counters.get(name);
  if (found === undefined) {
    found = counter(app, name);
    counters.set(name, found);
  }
  return found;
}
