/**
 * local-exchange: one request at an app's door, between the core, which reads and writes it, and the app.
 *
 * The head is asked for when the app looks; nothing of a body is taken before the app wants it.
 */
import { blockOf, fieldOf, type Head, visitFields } from '../http/head.js';
import { bytesOf, type Chunk, type Exchange, type Fields, HIGH_WATER } from '../http/server-types.js';
import type { Reactor } from './reactor.js';

/** See {@link Exchange}. */
export class LocalExchange implements Exchange {
  /** Its name in the core. */
  readonly key: number;
  aborted = false;
  readonly #reactor: Reactor;
  readonly #hasBody: boolean;
  /** Nothing more is to be done. */
  #isOver = false;
  #hasBegun = false;
  #head: Head | undefined;
  #onAbort: (() => void) | undefined;
  #onDrain: (() => void) | undefined;
  #take: ((chunk: Uint8Array, last: boolean) => void) | undefined;

  constructor(reactor: Reactor, key: number, hasBody: boolean) {
    this.#reactor = reactor;
    this.key = key;
    this.#hasBody = hasBody;
  }

  // What the core says.

  /** Nobody waits for the answer any more. */
  gone(): void {
    this.#over();
    this.aborted = true;
    this.#onAbort?.();
    this.#onAbort = undefined;
  }

  /** What was written has gone out. */
  drained(): void {
    this.#onDrain?.();
  }

  /** A part of the request's body; valid during the call only. */
  part(chunk: Uint8Array, last: boolean): void {
    this.#take?.(chunk, last);
  }

  // The app's side.

  get method(): string {
    return this.#seen().method;
  }

  get path(): string {
    return this.#seen().path;
  }

  get query(): string | undefined {
    return this.#seen().query;
  }

  get remoteAddress(): string {
    return this.header('ironsluice-client') ?? '';
  }

  header(name: string): string | undefined {
    return fieldOf(this.#seen().fields, name);
  }

  headers(visit: (name: string, value: string) => void): void {
    visitFields(this.#seen().fields, visit);
  }

  onAbort(then: () => void): void {
    this.#onAbort = then;
    if (this.aborted) queueMicrotask(then);
  }

  onBody(take: (chunk: Uint8Array, last: boolean) => void): void {
    if (this.#take !== undefined) return;
    this.#take = take;
    queueMicrotask(() => {
      if (!this.#hasBody) take(NOTHING, true);
      else this.resume();
    });
  }

  pause(): void {
    if (this.#hasBody && !this.#isOver) this.#reactor.native.setDeaf(this.key, true);
  }

  resume(): void {
    if (!this.#hasBody || this.#isOver) return;
    this.#reactor.native.setDeaf(this.key, false);
    this.#reactor.take();
  }

  respond(status: number, headers: Fields, body: Chunk = ''): void {
    if (this.#isOver || this.#hasBegun) return;
    const { text, length } = blockOf(status, headers);
    this.#over();
    this.#reactor.reply(this.key, text, body, length ?? -1);
  }

  begin(status: number, headers: Fields): void {
    if (this.#isOver || this.#hasBegun) return;
    const { text, length } = blockOf(status, headers);
    const isBare = status === 204 || status === 304;
    let framing = '';
    if (length !== undefined) framing = `content-length: ${length}\r\n`;
    else if (!isBare) framing = 'transfer-encoding: chunked\r\n';
    this.#hasBegun = true;
    this.#reactor.native.respond(this.key, Buffer.from(`${text}${framing}\r\n`, 'latin1'));
    this.#reactor.take();
  }

  write(chunk: Chunk): boolean {
    if (this.#isOver) return true;
    const waits = this.#reactor.native.answer(this.key, bytesOf(chunk), false);
    this.#reactor.take();
    return waits <= HIGH_WATER;
  }

  onDrain(then: () => void): void {
    this.#onDrain = then;
  }

  end(chunk: Chunk = ''): void {
    if (this.#isOver || !this.#hasBegun) return;
    this.#over();
    this.#reactor.native.answer(this.key, bytesOf(chunk), true);
    this.#reactor.take();
  }

  abort(): void {
    if (this.#isOver) return;
    this.#over();
    this.#reactor.native.breakOff(this.key);
    this.#reactor.take();
  }

  /**
   * Sends the request to an upstream instead; its answer goes to the client.
   *
   * @throws GateError `unknown_upstream`; `TypeError` when it is too late.
   */
  forward(upstream: string): void {
    const isLate = this.#isOver || this.#hasBegun || this.#take !== undefined;
    if (isLate || !this.#reactor.forward(this.key, upstream)) {
      throw new TypeError('too late to forward: an answer has begun, or the body was read');
    }
    this.#over();
    this.#reactor.take();
  }

  #over(): void {
    this.#isOver = true;
    this.#reactor.release(this);
  }

  #seen(): Head {
    if (this.#head === undefined) {
      if (this.#isOver) {
        throw new TypeError('the request was answered before its head was read: read it before you answer');
      }
      this.#head = read(this.#reactor.head(this.key));
    }
    return this.#head;
  }
}

function read(text: string): Head {
  const lines = text.split('\r\n');
  const [method = '', target = ''] = (lines[0] ?? '').split(' ');
  const fields: string[] = [];
  for (let i = 1; i < lines.length - 2; i += 1) {
    const line = lines[i] ?? '';
    const colon = line.indexOf(':');
    fields.push(line.slice(0, colon).toLowerCase(), line.slice(colon + 2));
  }
  const at = target.indexOf('?');
  if (at < 0) return { method, path: target, query: undefined, fields };
  return { method, path: target.slice(0, at), query: target.slice(at + 1), fields };
}

const NOTHING = new Uint8Array(0);
