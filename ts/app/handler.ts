/**
 * handler: what an app's module exports, and what its functions are handed.
 *
 * ```ts
 * import { defineApp } from 'ironsluice';
 *
 * export default defineApp((request, ctx) => `hello ${ctx.client}, this is ${request.path}\n`);
 * ```
 */
import type { AppRequest } from './request.js';
import { checkWebSocket, type WebSocketHandlers } from './websocket.js';

/** Answers one request. A rejection is answered with 500, and the log says why. */
export type AppHandler = (request: AppRequest, ctx: AppContext) => ReplyLike | Promise<ReplyLike>;

/** An app with more than a handler. `C` is the context of its WebSockets. */
export interface AppObject<C = undefined> {
  /** Answers requests. */
  fetch: AppHandler;
  /** Takes WebSockets. Without it a request for one is a request like any other. */
  websocket?: WebSocketHandlers<C>;
}

/** What a module exports by default: a function, or an object with one. */
export type App<C = undefined> = AppHandler | AppObject<C>;

/**
 * An answer. A string is text, bytes are bytes, nothing is 204, a `Response` is what it says. An object with no other
 * keys than `status`, `headers` and `body` is taken apart; any other object or array is sent as JSON.
 */
export type ReplyLike = string | Uint8Array | Response | ReplyParts | Forwarded | object | undefined | null;

/** Says that an upstream answers; made by {@link AppContext.forward}. */
export class Forwarded {}

/** An answer by its parts. */
export interface ReplyParts {
  /** 200 to 599; default 200, or 204 without a body. */
  status?: number;
  /** Names and values; a list sends the field once for each. */
  headers?: Record<string, string | readonly string[]> | Headers;
  /** A string, bytes, a stream of bytes or strings, or an object to send as JSON. */
  body?: BodyLike;
}

/** A body: a stream is read as fast as the client takes it. */
export type BodyLike =
  | string
  | Uint8Array
  | ReadableStream<Uint8Array>
  | AsyncIterable<Uint8Array | string>
  | object
  | undefined
  | null;

/** What the core knows of a request, and what workers share. */
export interface AppContext {
  /** The app's name in the config. */
  readonly app: string;
  /** Which of the app's workers this is, from 0. */
  readonly worker: number;
  /** The client's address, as far as it is proved (see the `client_ip` filter). */
  readonly client: string;
  /** Whose the request is, as a filter such as `api_key` proved it; `undefined` if the route has none. */
  readonly consumer: string | undefined;
  /** The name of the route that led here. */
  readonly route: string;
  /** The `traceparent` of the request, if it has one. */
  readonly trace: string | undefined;
  /** By when an answer must have begun, in milliseconds of `performance.now()`; later ones nobody sees. */
  readonly deadline: number;
  /** Aborted when the client goes away or the deadline passes before the answer began. */
  readonly signal: AbortSignal;
  /**
   * Sends the request on to an upstream of the config, whose answer goes to the client: return what this returns. Only at
   * `door: app`, and before the body was read.
   *
   * @throws GateError `not_direct` behind the edge, `unknown_upstream`; TypeError when it is too late.
   */
  forward(upstream: string): Forwarded;
  /** A number that all workers of this app share, by its name. At most 4096 in a process. */
  counter(name: string): SharedCounter;
  /**
   * Publishes a message to all WebSockets of the app, in all its workers, that subscribed to the topic.
   *
   * @param topic 1 to 256 characters.
   * @param message a string arrives as text, bytes as bytes.
   * @returns false when a worker lags so far behind that it will not get the message (16 MiB wait for it).
   */
  publish(topic: string, message: string | Uint8Array): boolean;
}

/** A number that all workers of an app share; it starts at 0 with the process. */
export interface SharedCounter {
  /** Adds `n`, a whole number, and returns the sum. */
  add(n: number): number;
  /** The sum so far. */
  readonly value: number;
}

/**
 * Gives an app its type, for completion in editors; it is handed back as it is.
 *
 * @throws TypeError or RangeError for options of `websocket` that are none; a start or reload then fails, with the place.
 */
export function defineApp<T extends AppHandler>(app: T): T;
export function defineApp<C = undefined>(app: AppObject<C>): AppObject<C>;
export function defineApp<C>(app: App<C>): App<C> {
  checkApp(app);
  return app;
}

/** @throws TypeError or RangeError for what is no app. */
export function checkApp(app: unknown): asserts app is App<unknown> {
  if (typeof app === 'function') return;
  const { fetch, websocket } = (app ?? {}) as { fetch?: unknown; websocket?: unknown };
  if (typeof fetch !== 'function') {
    throw new TypeError('it exports no app: export default defineApp((request, ctx) => …)');
  }
  if (websocket !== undefined) checkWebSocket(websocket);
}
