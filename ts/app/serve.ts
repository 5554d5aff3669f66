/**
 * serve: one request through an app's handler, from the server's exchange to the last byte of the answer.
 *
 * What a handler throws becomes 500 and a line in the log; a {@link BodyError} becomes
 * its own status. Nothing of the inside is told to the client.
 */
import { counter } from '#bindings';
import { GateError } from '../errors.js';
import { Gone } from './gone.js';
import { type AppContext, type AppHandler, Forwarded, type SharedCounter } from './handler.js';
import { Cut, send } from './reply.js';
import { AppRequest, BodyError } from './request.js';
import type { Exchange } from './server-types.js';

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

/** Answers an exchange; never rejects. */
export async function serve(exchange: Exchange, place: Place): Promise<void> {
  const gone = new Gone(exchange);
  const context = new Context(exchange, gone, place);
  try {
    await send(exchange, gone, await place.handler(new AppRequest(exchange, gone), context));
  } catch (error) {
    if (exchange.aborted && !(error instanceof Cut)) return;
    if (error instanceof BodyError) return refuse(exchange, error.status, error.message);
    place.fault(error instanceof Cut ? error.cause : error, `${exchange.method} ${exchange.path}`);
    if (!(error instanceof Cut)) refuse(exchange, 500, '');
  } finally {
    context.end();
  }
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

class Context implements AppContext {
  readonly app: string;
  readonly worker: number;
  readonly #exchange: Exchange;
  readonly #gone: Gone;
  readonly #started = performance.now();
  #abort: AbortController | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(exchange: Exchange, gone: Gone, { app, worker }: Place) {
    this.app = app;
    this.worker = worker;
    this.#exchange = exchange;
    this.#gone = gone;
  }

  get client(): string {
    return this.#exchange.header('ironsluice-client') ?? this.#exchange.remoteAddress;
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
      this.#gone.on(() => abort.abort());
      const left = Math.max(0, this.deadline - performance.now());
      this.#timer = setTimeout(() => abort.abort(new DOMException('too late', 'TimeoutError')), left);
    }
    return this.#abort.signal;
  }

  forward(upstream: string): Forwarded {
    if (this.#exchange.forward === undefined) {
      const fix = 'answer through a route that leads to the upstream, or give the listener door: app';
      throw new GateError('not_direct', 'a request that came through the edge cannot be forwarded by an app', fix);
    }
    this.#exchange.forward(upstream);
    return new Forwarded();
  }

  counter(name: string): SharedCounter {
    return counterOf(this.app, name);
  }

  end(): void {
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
