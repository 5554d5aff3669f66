/**
 * websocket: WebSockets of an app: what its module says of them, checked, and its way onto the server.
 *
 * Bounds: {@link WebSocketOptions}; {@link MOST_TOPICS} topics a socket. What a handler throws, or rejects with, is logged and
 * closes its socket with 1011; others go on.
 */

import {
  type AppServer,
  type Chunk,
  type Exchange,
  type Sent,
  SOCKET_DEFAULTS,
  type Socket,
  type SocketOptions,
} from '../http/server-types.js';
import type { AppContext, ReplyLike } from './handler.js';
import type { AppRequest } from './request.js';
import type { Runtime } from './runtime.js';
import { attempt, type Place, send } from './serve.js';
import { checkMessage, checkTopic } from './topics.js';

/** What {@link WebSocketHandlers.upgrade} decides: a socket, or a refusal with an answer. Nothing accepts, without context. */
export type UpgradeDecision<C> =
  | {
      /** What the socket carries; any value. */
      context: C;
      /** One of those that the client offers in `Sec-WebSocket-Protocol`. */
      protocol?: string | undefined;
    }
  | {
      /** The answer, as a handler would return it. */
      reply: ReplyLike;
    }
  | undefined;

/** What a socket carries: what `upgrade` gives where it accepts; the compiler adds `undefined` where it refuses. */
export type ContextOf<C> = [C] extends [undefined] ? undefined : Exclude<C, undefined>;

/** Limits of an app's WebSockets. */
export interface WebSocketOptions {
  /** Bytes of the largest message that is taken, 1 to 128 MiB; a larger one closes. Default 64 KiB. */
  maxPayload?: number;
  /** Bytes that may wait for a client before further messages to it are dropped, 1 KiB to 1 GiB. Default 1 MiB. */
  maxBackpressure?: number;
  /**
   * Seconds after which a client that says nothing, not even to pings, is closed: 8 to 960, or 0 for never. Default 120.
   * Pings are sent by the server and keep a silent client's socket open.
   */
  idleTimeout?: number;
  /** Whether messages are compressed where a client can (permessage-deflate, no memory between messages). Default false. */
  compression?: boolean;
}

/** How an app serves WebSockets. `C` is the context that `upgrade` gives. */
export interface WebSocketHandlers<C = undefined> extends WebSocketOptions {
  /**
   * Accepts or refuses; what it throws is answered with 500. Default: accepts. It stands before the others, for their types
   * come from what it returns.
   */
  upgrade?(request: AppRequest, ctx: AppContext): UpgradeDecision<C> | Promise<UpgradeDecision<C>>;
  /** A socket is open. */
  open?(socket: AppSocket<ContextOf<C>>): void | Promise<void>;
  /** A message: text as a string, bytes as bytes. One that is handled with `await` does not hold back the next. */
  message?(socket: AppSocket<ContextOf<C>>, message: string | Uint8Array): void | Promise<void>;
  /** Nothing waits any more after a `send` that said `queued` or `dropped`. */
  drain?(socket: AppSocket<ContextOf<C>>): void | Promise<void>;
  /**
   * It is closed, for whatever reason; called once. 1001 when the worker goes (a reload, a stop), 1005 when the client gave
   * no code, 1006 when the connection broke.
   */
  close?(socket: AppSocket<ContextOf<C>>, code: number, reason: string): void | Promise<void>;
}

/** One WebSocket. After its close every call but {@link AppSocket.publish} does nothing. */
export interface AppSocket<C = undefined> {
  /** What `upgrade` gave. */
  readonly context: C;
  /** The client's address, as far as it is proved. */
  readonly client: string;
  /** Whose the request was, as a filter such as `api_key` proved it; `undefined` if the route has none. */
  readonly consumer: string | undefined;
  /** The name of the route that led here. */
  readonly route: string;
  /** The path of the upgrade, not decoded. */
  readonly path: string;
  /** The subprotocol that was agreed on; empty if none was. */
  readonly protocol: string;
  /** Bytes that wait to be sent. */
  readonly buffered: number;
  /** Sends a message: `sent` to the system, `queued` for a client that is slow, or `dropped` because too much waits. */
  send(message: string | Uint8Array): Sent;
  /** From now on it gets what is published to the topic: 1 to 256 characters, at most 1024 topics a socket. */
  subscribe(topic: string): void;
  /** It gets no more of the topic. */
  unsubscribe(topic: string): void;
  /** Publishes to all subscribers, in all workers, but this one; false as `ctx.publish`. */
  publish(topic: string, message: string | Uint8Array): boolean;
  /** Closes with 1000 to 1003, 1007 to 1014 or 3000 to 4999, and at most 123 bytes of reason. */
  close(code?: number, reason?: string): void;
}

/** @throws TypeError or RangeError that names what is wrong with `websocket` of an app. */
export function checkWebSocket(websocket: unknown): void {
  if (typeof websocket !== 'object' || websocket === null) {
    throw new TypeError(`websocket is an object of handlers and options, not ${typeName(websocket)}`);
  }
  for (const [key, value] of Object.entries(websocket)) {
    if (value === undefined) continue;
    if (HANDLERS.includes(key)) {
      if (typeof value !== 'function')
        throw new TypeError(`websocket.${key} is a function, not ${typeName(value)}`);
    } else if (key === 'compression') {
      if (typeof value !== 'boolean')
        throw new TypeError(`websocket.compression is true or false, not ${typeName(value)}`);
    } else if (Object.hasOwn(RANGES, key)) {
      const { least, most, unit, zero } = RANGES[key as keyof typeof RANGES];
      if (typeof value !== 'number')
        throw new TypeError(`websocket.${key} is a number of ${unit}, not ${typeName(value)}`);
      if (!(zero && value === 0) && !(Number.isInteger(value) && value >= least && value <= most)) {
        const or = zero ? '0 or ' : '';
        throw new RangeError(
          `websocket.${key} is ${or}a whole number of ${unit} from ${least} to ${most}, not ${value}`,
        );
      }
    } else {
      const known = [...HANDLERS, ...Object.keys(RANGES), 'compression'].join(', ');
      throw new TypeError(`websocket.${key} is not known; there are ${known}`);
    }
  }
}

/** Where a server's WebSockets are. */
export interface Home {
  readonly runtime: Runtime;
  /** The server, once it is open. */
  server?: AppServer;
}

/** What the server is told of an app's WebSockets. */
export function socketOptions<C>(
  handlers: WebSocketHandlers<C>,
  place: Place,
  home: Home,
): SocketOptions<Facts<C>> {
  const run = (
    { context: { socket, path } }: Socket<Facts<C>>,
    name: string,
    call: (socket: AppSocket<ContextOf<C>>) => void | Promise<void> | undefined,
  ): void => {
    if (socket === undefined) return;
    const failed = (error: unknown): void => {
      place.fault(error, `${name} of the WebSocket ${path}`);
      socket.close(INTERNAL);
    };
    try {
      const result = call(socket as AppSocket<ContextOf<C>>);
      if (result instanceof Promise) result.catch(failed);
    } catch (error) {
      failed(error);
    }
  };
  return {
    ...limits(handlers),
    async upgrade(exchange) {
      const accepted = await attempt(exchange, place, async (request, ctx) => {
        const decision = (await handlers.upgrade?.(request, ctx)) ?? { context: undefined as C };
        if ('reply' in decision) {
          await send(exchange, ctx, decision.reply);
          return undefined;
        }
        const protocol = agreed(exchange, decision.protocol);
        const { client, consumer, route } = ctx;
        const { context } = decision;
        const facts: Facts<C> = { context, client, consumer, route, path: exchange.path, protocol };
        return { accept: facts, ...(protocol === '' ? {} : { protocol }) };
      });
      return accepted ?? 'answered';
    },
    open(raw) {
      raw.context.socket = new WorkerSocket(raw, home);
      run(raw, 'open', (socket) => handlers.open?.(socket));
    },
    message(raw, message, binary) {
      if (handlers.message === undefined) return;
      // Copied: the memory is the server's own.
      const own = binary
        ? new Uint8Array(message)
        : Buffer.from(message.buffer, message.byteOffset, message.byteLength).toString('utf8');
      run(raw, 'message', (socket) => handlers.message?.(socket, own));
    },
    drain(raw) {
      run(raw, 'drain', (socket) => handlers.drain?.(socket));
    },
    close(raw, code, reason) {
      if (raw.context.socket !== undefined) raw.context.socket.hasClosed = true;
      run(raw, 'close', (socket) => handlers.close?.(socket, code, reason));
    },
  };
}

function limits(options: WebSocketOptions): Omit<SocketOptions<never>, 'upgrade' | 'open' | 'message'> {
  const { maxPayload, maxBackpressure, idleTimeout, compression } = options;
  return {
    maxPayload: maxPayload ?? SOCKET_DEFAULTS.maxPayload,
    maxBackpressure: maxBackpressure ?? SOCKET_DEFAULTS.maxBackpressure,
    idleTimeoutSecs: idleTimeout ?? SOCKET_DEFAULTS.idleTimeoutSecs,
    compression: compression === true ? 'shared' : 'off',
  };
}

/** A browser fails a connection whose protocol it did not offer. */
function agreed(exchange: Exchange, protocol: string | undefined): string {
  if (protocol === undefined || protocol === '') return '';
  const offered = (exchange.header('sec-websocket-protocol') ?? '').split(',').map((word) => word.trim());
  if (offered.includes(protocol)) return protocol;
  throw new TypeError(
    `upgrade chose the protocol ${JSON.stringify(protocol)}, which the client does not offer`,
  );
}

/** What a socket is opened with. */
interface Facts<C> {
  context: C;
  client: string;
  consumer: string | undefined;
  route: string;
  path: string;
  protocol: string;
  socket?: WorkerSocket<C>;
}

class WorkerSocket<C> implements AppSocket<C> {
  readonly #raw: Socket<Facts<C>>;
  readonly #home: Home;
  #topics: Set<string> | undefined;
  hasClosed = false;

  constructor(raw: Socket<Facts<C>>, home: Home) {
    this.#raw = raw;
    this.#home = home;
  }

  get context(): C {
    return this.#raw.context.context;
  }

  get client(): string {
    return this.#raw.context.client;
  }

  get consumer(): string | undefined {
    return this.#raw.context.consumer;
  }

  get route(): string {
    return this.#raw.context.route;
  }

  get path(): string {
    return this.#raw.context.path;
  }

  get protocol(): string {
    return this.#raw.context.protocol;
  }

  get buffered(): number {
    return this.#raw.buffered;
  }

  send(message: Chunk): Sent {
    checkMessage(message);
    return this.#raw.send(message);
  }

  subscribe(topic: string): void {
    checkTopic(topic);
    this.#topics ??= new Set();
    if (this.#topics.size >= MOST_TOPICS && !this.#topics.has(topic)) {
      throw new RangeError(`a socket subscribes to at most ${MOST_TOPICS} topics`);
    }
    this.#topics.add(topic);
    this.#raw.subscribe(topic);
  }

  unsubscribe(topic: string): void {
    if (this.#topics?.delete(topic)) this.#raw.unsubscribe(topic);
  }

  publish(topic: string, message: Chunk): boolean {
    checkTopic(topic);
    checkMessage(message);
    const { runtime, server } = this.#home;
    if (this.hasClosed) return runtime.publish(topic, message); // the last word of a close handler
    this.#raw.publish(topic, message);
    return runtime.publish(topic, message, server);
  }

  close(code = 1000, reason = ''): void {
    if (!(CODES.includes(code) || (code >= 3000 && code <= 4999 && Number.isInteger(code)))) {
      throw new RangeError(`${code} is no code that a server may close with`);
    }
    if (Buffer.byteLength(reason) > MOST_REASON) {
      throw new RangeError(`a reason has at most ${MOST_REASON} bytes`);
    }
    this.#raw.close(code, reason);
  }
}

function typeName(value: unknown): string {
  return value === null ? 'null' : typeof value;
}

const HANDLERS: readonly string[] = ['upgrade', 'open', 'message', 'drain', 'close'];
const RANGES = {
  maxPayload: { least: 1, most: 128 << 20, unit: 'bytes', zero: false },
  maxBackpressure: { least: 1 << 10, most: 1 << 30, unit: 'bytes', zero: false },
  idleTimeout: { least: 8, most: 960, unit: 'seconds', zero: true },
} as const;
/** RFC 6455 section 7.4 and the registry of IANA, without those that are never sent. */
const CODES = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014];
const INTERNAL = 1011;
const MOST_REASON = 123;
const MOST_TOPICS = 1024;
