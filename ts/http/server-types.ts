/**
 * server-types: what a server is asked and what it says, whichever engine it runs on.
 */
import type { Engine } from './load.js';

/** Names and values in turn: `['content-type', 'text/plain', 'vary', 'accept']`. */
export type Fields = readonly string[];

/** What a body is made of; bytes belong to the server from then on. */
export type Chunk = string | Uint8Array;

/** An answer, whole. */
export interface Answer {
  status: number;
  headers: Fields;
  body?: Chunk | undefined;
}

/**
 * A request and the way to answer it. All of the head was copied: it can be read at any time.
 * After an abort, and after the end of the answer, every call does nothing.
 */
export interface Exchange {
  /** As sent. */
  readonly method: string;
  /** The path, not decoded. */
  readonly path: string;
  /** What follows the `?`, not decoded; `undefined` if there is none. */
  readonly query: string | undefined;
  /** The peer's IP address; empty on a Unix socket. */
  readonly remoteAddress: string;
  /** True when the client went away before the answer was whole. */
  readonly aborted: boolean;
  /** A field's value by its name in lower case; that of a repeated one is joined with `, `. */
  header(name: string): string | undefined;
  /** All fields in their order, names in lower case, values as Latin-1. */
  headers(visit: (name: string, value: string) => void): void;
  /** Says when the client went away; at once if it did. */
  onAbort(then: () => void): void;
  /** Hands over the body; the bytes are valid during the call only. The last call may bring none. */
  onBody(take: (chunk: Uint8Array, last: boolean) => void): void;
  /** Stops reading the body; what was read already (512 KiB at most) may still come. */
  pause(): void;
  /** Reads on. */
  resume(): void;
  /** Answers as a whole. `content-length` is set here; it may be given for HEAD. */
  respond(status: number, headers: Fields, body?: Chunk): void;
  /** Begins an answer in parts; with a `content-length` it has that many bytes, else it is chunked. */
  begin(status: number, headers: Fields): void;
  /** Sends a part; false when more than 64 KiB wait, then {@link onDrain} says when to go on. */
  write(chunk: Chunk): boolean;
  /** Called each time nothing waits any more after a `write` that said false. */
  onDrain(then: () => void): void;
  /** Ends the answer. One with fewer or more bytes than its `content-length` is cut off. */
  end(chunk?: Chunk): void;
  /** Closes the connection without more. */
  abort(): void;
  /** Sends the request on to an upstream, where that can be done. */
  forward?(upstream: string): void;
}

/** How a message went: to the system, to the queue, or nowhere because the queue was full or the peer is gone. */
export type Sent = 'sent' | 'queued' | 'dropped';

/** A WebSocket connection. After its close every call does nothing. */
export interface Socket<C> {
  /** What the upgrade decided. */
  readonly context: C;
  /** The peer's IP address; empty on a Unix socket. */
  readonly remoteAddress: string;
  /** Bytes that wait to be sent. */
  readonly buffered: number;
  /** A string is sent as text, bytes as binary. */
  send(message: Chunk): Sent;
  subscribe(topic: string): void;
  unsubscribe(topic: string): void;
  /** To all subscribers of this server but this one; those whose queue is full are left out. */
  publish(topic: string, message: Chunk): void;
  /** Says goodbye and closes. */
  close(code?: number, reason?: string): void;
}

/** What becomes of a request for an upgrade; `answered`: the exchange was, or will be, answered by who decided. */
export type Upgrade<C> = { accept: C; protocol?: string } | { reply: Answer } | 'answered';

/** How WebSockets are served. */
export interface SocketOptions<C> {
  /** Decides; the exchange is for reading only, unless the decision is `answered`. */
  upgrade(x: Exchange): Upgrade<C> | Promise<Upgrade<C>>;
  open?(socket: Socket<C>): void;
  /** The bytes are valid during the call only; text is UTF-8. */
  message?(socket: Socket<C>, message: Uint8Array, binary: boolean): void;
  /** Nothing waits any more after a `send` that said `queued` or `dropped`. */
  drain?(socket: Socket<C>): void;
  /**
   * It is closed: what the peer said, or at once what {@link Socket.close} said; 1005 when the peer said no code, 1006
   * when the connection broke.
   */
  close?(socket: Socket<C>, code: number, reason: string): void;
  /** Bytes of the largest message that is taken; a larger one closes. Default 64 KiB. */
  maxPayload?: number;
  /** Bytes that may wait before messages are dropped. Default 1 MiB. */
  maxBackpressure?: number;
  /** A peer that says nothing for so long, not even to pings, is closed; 0 never, else 8 to 960. Default 120. */
  idleTimeoutSecs?: number;
  /** Default `off`. */
  compression?: 'off' | 'shared';
}

/** Where a server listens. */
export type Listen = { unix: string } | { host: string; port: number };

/** How a server is opened. */
export interface ServerOptions<C = unknown> {
  listen: Listen;
  /** Answers a request; what it throws is answered with 500. */
  handler(x: Exchange): void;
  /** Heads are sound: nobody but the core's edge can write here. */
  trusted?: boolean;
  websocket?: SocketOptions<C>;
  /** Default: what {@link choose} finds. */
  engine?: Engine;
  /** Further connections are closed at once. Default: no limit. */
  maxConnections?: number;
  /** Told what a handler or a callback threw. */
  onError?(error: unknown): void;
}

/** A server that listens. */
export interface AppServer {
  /** `IP:port` as bound, or the path. */
  readonly address: string;
  readonly engine: Engine;
  /** Open connections, WebSockets included. */
  readonly connections: number;
  /** A message to all subscribers of a topic. */
  publish(topic: string, message: Chunk): void;
  /** Closes all WebSockets with 1001 and takes no further one: 503. Other requests are answered as before. */
  goodbye(): void;
  /**
   * Takes no more, lets answers in progress end within `patienceMs`, then closes everything. WebSockets are said
   * {@link goodbye} to at once, unless `keepSockets`: then they are waited for as well.
   */
  close(patienceMs: number, keepSockets?: boolean): Promise<void>;
}

/** A chunk as bytes. */
export function bytesOf(chunk: Chunk): Uint8Array {
  return typeof chunk === 'string' ? Buffer.from(chunk, 'utf8') : chunk;
}

/** The defaults of {@link SocketOptions}. */
export const SOCKET_DEFAULTS = { maxPayload: 64 << 10, maxBackpressure: 1 << 20, idleTimeoutSecs: 120 };
/** How long peers get to answer the close of their WebSocket. */
export const LINGER_MS = 250;
/** {@link Exchange.write} says false above this. */
export const HIGH_WATER = 64 << 10;
