/**
 * inject: a request without a client's socket, on the path of every other: identity, routes, filters, limits, upstreams.
 *
 * For tests and for programs that embed a gateway. It runs in the thread that asks; apps answer in their workers.
 * Errors: `cut` when the answer broke off, `usage` for what makes no request, `closed`; what a stub throws.
 * Bounds: {@link MAX_BODY} bytes of an answer.
 */

import type { AppHandler } from './app/handler.js';
import type { LocalExchange } from './app/local-exchange.js';
import { type Guest, Reactor, SAID, type Word } from './app/reactor.js';
import { type Place, serve } from './app/serve.js';
import { GateError } from './errors.js';
import { addressBytes } from './http/address.js';
import { fieldsOfBlock } from './http/head.js';

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
  #reactor: Reactor | undefined;

  constructor(gateway: number) {
    this.#gateway = gateway;
  }

  async inject(request: InjectRequest, listener: string): Promise<Injected> {
    const body = typeof request.body === 'string' ? Buffer.from(request.body, 'utf8') : request.body;
    const head = headOf(request, body);
    const peer = addressOf(request.client ?? '127.0.0.1');
    const { stub } = request;
    this.#reactor ??= new Reactor(this.#gateway, () => {}); // it opens no door
    const reactor = this.#reactor;
    // A program that waits for nothing but this must not end.
    const alive = setInterval(() => {}, 2 ** 30);
    try {
      return await new Promise<Injected>((resolve, reject) => {
        const place = stub && { app: 'stub', worker: 0, handler: stub, served() {}, fault: reject };
        const client = new Client(reactor, body, place, resolve, reject);
        if (!reactor.arrive(listener, peer, head, stub !== undefined, client)) {
          reject(new GateError('closed', `listener ${JSON.stringify(listener)} is gone`));
          return;
        }
        client.push();
      });
    } finally {
      clearInterval(alive);
    }
  }

  close(): void {
    this.#reactor?.close();
    this.#reactor = undefined;
  }
}

/** The client's side: it has the request's body, and gathers the answer. */
class Client implements Guest {
  key = 0;
  hasBody = false;
  readonly #reactor: Reactor;
  readonly #body: Uint8Array;
  readonly #stub: Place | undefined;
  readonly #resolve: (answer: Injected) => void;
  readonly #reject: (error: unknown) => void;
  readonly #parts: Uint8Array[] = [];
  /** How much of the body was handed over; -1: all. */
  #at = 0;
  #size = 0;
  #status = 0;
  #fields: string[] = [];

  constructor(
    reactor: Reactor,
    body: Uint8Array | undefined,
    stub: Place | undefined,
    resolve: (answer: Injected) => void,
    reject: (error: unknown) => void,
  ) {
    this.#reactor = reactor;
    this.#body = body ?? new Uint8Array(0);
    this.#stub = stub;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  answer(exchange: LocalExchange): void {
    if (this.#stub !== undefined) serve(exchange, this.#stub);
  }

  /** Hands over the body, as far as it is taken. */
  push(): void {
    if (!this.hasBody) return;
    while (this.#at >= 0) {
      const chunk = this.#body.subarray(this.#at, this.#at + PIECE);
      this.#at += chunk.length;
      const isLast = this.#at >= this.#body.length;
      if (isLast) this.#at = -1;
      const waits = this.#reactor.native.push(this.key, chunk, isLast);
      this.#reactor.take();
      if (waits > PIECE) return; // until the core says that it wants more
    }
  }

  hear({ said, head, body, length }: Word): void {
    if ((said & SAID.push) !== 0) queueMicrotask(() => this.push());
    if ((said & SAID.head) !== 0) {
      const { status, fields } = fieldsOfBlock(head);
      if ((said & SAID.length) !== 0) fields.push('content-length', String(length));
      if ((said & SAID.close) !== 0) fields.push('connection', 'close');
      this.#status = status;
      this.#fields = fields;
    }
    this.#size += body.length;
    if (this.#size > MAX_BODY) {
      this.#reactor.forget(this);
      this.#reactor.native.abort(this.key);
      this.#reject(new GateError('cut', `the answer has more than ${MAX_BODY >> 20} MiB`));
      return;
    }
    if (body.length > 0) this.#parts.push(body.slice());
    if ((said & SAID.cut) !== 0) this.#reject(new GateError('cut', 'the answer broke off'));
    else if ((said & SAID.end) !== 0) this.#end();
  }

  #end(): void {
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
