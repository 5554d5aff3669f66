/** node-exchange: one request of `node:http`. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { fieldOf, type Head, hasBody, internal, type Out, outOf, visitFields } from './head.js';
import { type Answer, type Chunk, type Exchange, type Fields, HIGH_WATER } from './server-types.js';

/** The server, as its requests see it. */
export interface Owner {
  /** True once the server was told to close. */
  readonly isClosing: boolean;
  failed(error: unknown): void;
}

/** See {@link Exchange}. */
export class NodeExchange implements Exchange {
  readonly method: string;
  readonly path: string;
  readonly query: string | undefined;
  readonly remoteAddress: string;
  aborted = false;
  readonly #owner: Owner;
  readonly #incoming: IncomingMessage;
  readonly #outgoing: ServerResponse;
  readonly #fields: string[];
  #out: Out | undefined;
  #written = 0;
  #isOver = false;
  #onAbort: (() => void) | undefined;
  #onDrain: (() => void) | undefined;

  constructor(owner: Owner, incoming: IncomingMessage, outgoing: ServerResponse, head: Head) {
    this.#owner = owner;
    this.#incoming = incoming;
    this.#outgoing = outgoing;
    this.#fields = head.fields;
    this.method = head.method;
    this.path = head.path;
    this.query = head.query;
    this.remoteAddress = incoming.socket.remoteAddress ?? '';
    incoming.on('error', () => {}); // it is seen as the close of the answer
    outgoing.on('error', () => {});
    outgoing.on('close', () => {
      if (outgoing.writableFinished) return;
      this.#isOver = true;
      this.aborted = true;
      this.guard(this.#onAbort);
    });
    outgoing.on('drain', () => {
      if (!this.#isOver) this.guard(this.#onDrain);
    });
  }

  header(name: string): string | undefined {
    return fieldOf(this.#fields, name);
  }

  headers(visit: (name: string, value: string) => void): void {
    visitFields(this.#fields, visit);
  }

  onAbort(then: () => void): void {
    this.#onAbort = then;
    if (this.aborted) queueMicrotask(() => this.guard(then));
  }

  onBody(take: (chunk: Uint8Array, last: boolean) => void): void {
    this.#incoming.on('data', (chunk: Buffer) => {
      if (!this.#isOver) this.guard(() => take(chunk, false));
    });
    this.#incoming.on('end', () => {
      if (!this.#isOver) this.guard(() => take(NOTHING, true));
    });
  }

  pause(): void {
    this.#incoming.pause();
  }

  resume(): void {
    this.#incoming.resume();
  }

  respond(status: number, headers: Fields, body: Chunk = ''): void {
    if (this.#isOver || this.#out !== undefined) return;
    const out = this.#begin(status, headers);
    const length = typeof body === 'string' ? Buffer.byteLength(body) : body.length;
    if (out.hasBody) out.length = length;
    else if (status !== 204 && status !== 304) out.length ??= length;
    this.#writeHead(out);
    this.#isOver = true;
    this.#outgoing.end(out.hasBody ? body : undefined);
  }

  begin(status: number, headers: Fields): void {
    if (!this.#isOver && this.#out === undefined) this.#writeHead(this.#begin(status, headers));
  }

  write(chunk: Chunk): boolean {
    if (this.#isOver || this.#out?.hasBody !== true || this.#isBroken(chunk, false)) return true;
    if (chunk.length === 0) return true;
    this.#outgoing.write(chunk);
    return this.#outgoing.writableLength <= HIGH_WATER;
  }

  onDrain(then: () => void): void {
    this.#onDrain = then;
  }

  end(chunk: Chunk = ''): void {
    if (this.#isOver || this.#out === undefined) return;
    if (this.#out.hasBody && this.#isBroken(chunk, true)) return;
    this.#isOver = true;
    this.#outgoing.end(this.#out.hasBody && chunk.length > 0 ? chunk : undefined);
  }

  abort(): void {
    if (!this.#isOver) this.#outgoing.destroy();
  }

  /** Answers, unless an answer has begun: then the connection is closed. */
  refuse({ status, headers, body }: Answer): void {
    if (this.#out !== undefined) this.abort();
    else this.respond(status, [...headers, 'connection', 'close'], body);
  }

  /** Runs what is not ours. */
  guard(run: (() => void) | undefined): void {
    try {
      run?.();
    } catch (error) {
      this.#owner.failed(error);
      this.refuse(internal());
    }
  }

  #begin(status: number, headers: Fields): Out {
    const out = outOf(this.method, status, headers, this.#owner.isClosing);
    this.#out = out;
    // A body that nobody read would be taken for the next request.
    out.close ||= !this.#incoming.complete && hasBody(this.#fields);
    return out;
  }

  #writeHead({ status, fields, length, close }: Out): void {
    const all = [...fields];
    if (length !== undefined) all.push('content-length', String(length));
    if (close) all.push('connection', 'close');
    this.#outgoing.writeHead(status, all);
  }

  /** Bytes beyond the length that was announced would be taken for the next answer. */
  #isBroken(chunk: Chunk, isLast: boolean): boolean {
    const length = this.#out?.length;
    this.#written += typeof chunk === 'string' ? Buffer.byteLength(chunk) : chunk.length;
    if (length === undefined || this.#written === length || (this.#written < length && !isLast)) return false;
    const word = this.#written > length ? 'more' : 'fewer';
    this.#owner.failed(new RangeError(`the answer has ${word} than the ${length} bytes it announced`));
    this.abort();
    return true;
  }
}

const NOTHING = new Uint8Array(0);
