/**
 * inject: a request without a client's socket, on the path of every other: identity, routes, filters, limits, upstreams.
 *
 * For tests and for programs that embed a gateway. It runs in the thread that asks; apps answer in their workers.
 * Errors: `cut` when the answer broke off, `usage` for what makes no request, `closed`; what a stub throws.
 * Bounds: {@link MAX_BODY} bytes of an answer.
 */

import { Door } from './app/door.js';
import type { AppHandler } from './app/handler.js';
import { Reactor } from './app/reactor.js';
import { serve } from './app/serve.js';
import { GateError } from './errors.js';
import { addressBytes } from './http/address.js';
import { fieldsOfBlock } from './http/head.js';
import type { Block, Chunk, DoorExchange, Fields } from './http/server-types.js';

/** A request to inject. */
export interface InjectRequest {
  /** Default `GET`, or `POST` with a body. */
  method?: string;
  /** A path with its query, or a whole address, whose host becomes the Host field. */
  url: string;
  headers?: Record<string, string | readonly string[]>;
  /** A string is sent as UTF-8. */
  body?: string | Uint8Array;
  /** By which listener it comes in. Default: the first. */
  listener?: string;
  /** The IP address it comes from. Default 127.0.0.1. */
  client?: string;
  /** Answers in the stead of all upstreams and apps. Default: they are really called. */
  stub?: AppHandler;
}

/** The answer to an injected request. */
export interface Injected {
  status: number;
  /** Names in lower case; a repeated field's values are joined by commas, but for `set-cookie`. */
  headers: Headers;
  body: Uint8Array;
  /** The body, as UTF-8. */
  text(): string;
  /** The body, as JSON. */
  json(): unknown;
}

/** Injects requests into one gateway. */
export class Injector {
  readonly #gateway: number;
  readonly #doors = new Map<string, Door>();
  #reactor: Reactor | undefined;

  constructor(gateway: number) {
    this.#gateway = gateway;
  }

  async inject(request: InjectRequest, listener: string): Promise<Injected> {
    const bytes = typeof request.body === 'string' ? Buffer.from(request.body, 'utf8') : request.body;
    const head = headOf(request, bytes);
    const peer = addressOf(request.client ?? '127.0.0.1');
    // A program that waits for nothing but this must not end.
    const alive = setInterval(() => {}, 2 ** 30);
    try {
      return await new Promise<Injected>((resolve, reject) => {
        const x = new Collector(head, peer, bytes, resolve, reject);
        const place = { app: 'stub', worker: 0, handler: request.stub ?? noStub, served() {}, fault: reject };
        this.#door(listener, request.stub !== undefined).arrive(x, '', (inner) => serve(inner, place));
      });
    } finally {
      clearInterval(alive);
    }
  }

  close(): void {
    this.#reactor?.close();
    this.#reactor = undefined;
    this.#doors.clear();
  }

  #door(listener: string, isStubbed: boolean): Door {
    this.#reactor ??= new Reactor(this.#gateway);
    const key = `${listener} ${isStubbed}`;
    let door = this.#doors.get(key);
    if (door === undefined) {
      door = new Door(this.#reactor, listener, () => {}, isStubbed ? 'all' : 'none');
      this.#doors.set(key, door);
    }
    return door;
  }
}

/** The client's side: it has the request's body, and gathers the answer. */
class Collector implements DoorExchange {
  readonly method = 'GET'; // whatever it was: the core says which answers have no body
  readonly path = '';
  readonly query = undefined;
  readonly remoteAddress = '';
  aborted = false;
  hasBody = false;
  readonly #head: Uint8Array;
  readonly #peer: Uint8Array;
  readonly #body: Uint8Array | undefined;
  readonly #resolve: (answer: Injected) => void;
  readonly #reject: (error: unknown) => void;
  readonly #parts: Uint8Array[] = [];
  #size = 0;
  #status = 0;
  #fields: Fields = [];
  #onAbort: (() => void) | undefined;
  #isPaused = false;
  #rest: (() => void) | undefined;

  constructor(
    head: Uint8Array,
    peer: Uint8Array,
    body: Uint8Array | undefined,
    resolve: (answer: Injected) => void,
    reject: (error: unknown) => void,
  ) {
    this.#head = head;
    this.#peer = peer;
    this.#body = body;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  headBytes(): Uint8Array {
    return this.#head;
  }

  peerBytes(): Uint8Array {
    return this.#peer;
  }

  header(): undefined {
    return undefined;
  }

  headers(): void {}

  onAbort(then: () => void): void {
    this.#onAbort = then;
  }

  onBody(take: (chunk: Uint8Array, last: boolean) => void): void {
    const body = this.#body ?? new Uint8Array(0);
    let at = 0;
    this.#rest = () => {
      while (!this.#isPaused && at >= 0) {
        const chunk = body.subarray(at, at + PIECE);
        at += chunk.length;
        const isLast = at >= body.length;
        if (isLast) at = -1;
        take(chunk, isLast);
      }
    };
    queueMicrotask(this.#rest);
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    queueMicrotask(() => this.#rest?.());
  }

  respond(status: number, headers: Fields, body: Chunk = ''): void {
    this.begin(status, headers);
    this.end(body);
  }

  begin(status: number, headers: Fields): void {
    this.#status = status;
    this.#fields = headers;
  }

  respondBlock(block: Block, body: Uint8Array): void {
    this.beginBlock(block);
    this.end(body);
  }

  beginBlock({ block, length, close }: Block): void {
    const { status, fields } = fieldsOfBlock(block);
    if (length !== undefined) fields.push('content-length', String(length));
    if (close) fields.push('connection', 'close');
    this.begin(status, fields);
  }

  write(chunk: Chunk): boolean {
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk, 'utf8') : chunk.slice();
    this.#size += bytes.length;
    if (this.#size > MAX_BODY) {
      this.aborted = true;
      this.#onAbort?.();
      this.#reject(new GateError('cut', `the answer has more than ${MAX_BODY >> 20} MiB`));
    } else {
      this.#parts.push(bytes);
    }
    return true;
  }

  onDrain(): void {}

  end(chunk: Chunk = ''): void {
    this.write(chunk);
    const headers = new Headers();
    for (let i = 0; i < this.#fields.length; i += 2) {
      headers.append(this.#fields[i] ?? '', this.#fields[i + 1] ?? '');
    }
    const body = Buffer.concat(this.#parts);
    this.#resolve({
      status: this.#status,
      headers,
      body,
      text: () => body.toString('utf8'),
      json: () => JSON.parse(body.toString('utf8')),
    });
  }

  abort(): void {
    this.#reject(new GateError('cut', 'the answer broke off'));
  }
}

function noStub(): never {
  throw new Error('there is no stub');
}

function headOf({ method, url, headers = {} }: InjectRequest, body: Uint8Array | undefined): Uint8Array {
  const whole = /^https?:\/\/([^/?#]*)(.*)$/i.exec(url);
  const path = whole === null ? url : whole[2] || '/';
  const lines = [`${method ?? (body === undefined ? 'GET' : 'POST')} ${path} HTTP/1.1`];
  const names = new Set(Object.keys(headers).map((name) => name.toLowerCase()));
  if (!names.has('host')) lines.push(`host: ${whole?.[1] ?? 'localhost'}`);
  for (const [name, value] of Object.entries(headers)) {
    for (const one of typeof value === 'string' ? [value] : value) lines.push(`${name}: ${one}`);
  }
  const framed = names.has('content-length') || names.has('transfer-encoding');
  if (body !== undefined && !framed) lines.push(`content-length: ${body.length}`);
  if (lines.some((line) => /[\r\n]/.test(line))) {
    throw new GateError('usage', 'a method, url or header has a line end', 'remove it');
  }
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
}

function addressOf(text: string): Uint8Array {
  const bytes = addressBytes(text);
  if (bytes === undefined)
    throw new GateError('usage', `client is ${JSON.stringify(text)}`, 'write an IP address');
  return bytes;
}

/** 16 MiB. */
const MAX_BODY = 16 << 20;
/** Bytes of a body that are handed over at a time. */
const PIECE = 64 << 10;
