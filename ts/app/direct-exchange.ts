/**
 * direct-exchange: a request at a direct door that the app answers, as its handler sees it.
 *
 * The head is the core's, asked for when somebody looks. A plain one is answered straight to the client, and the core is
 * told how it ended; else the answer passes the core, whose filters see it.
 */
import type { Guest } from './door.js';
import { fieldOf, type Head, outOf, statusLine } from './head.js';
import type { Chunk, Exchange, Fields } from './server-types.js';
import { bytesOf } from './uws-exchange.js';

/** See {@link Exchange}. */
export class DirectExchange implements Exchange {
  aborted = false;
  readonly #guest: Guest;
  readonly #isPlain: boolean;
  #head: Head | undefined;
  #isOver = false;
  #status = 0;
  #sent = 0;
  #received = 0;
  #onAbort: (() => void) | undefined;
  #onDrain: (() => void) | undefined;
  #take: ((chunk: Uint8Array, last: boolean) => void) | undefined;
  #early: Uint8Array[] = [];
  #isRead = false;

  constructor(guest: Guest, isPlain: boolean) {
    this.#guest = guest;
    this.#isPlain = isPlain;
  }

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
    return this.#guest.x.remoteAddress;
  }

  header(name: string): string | undefined {
    return fieldOf(this.#seen().fields, name);
  }

  headers(visit: (name: string, value: string) => void): void {
    const { fields } = this.#seen();
    for (let i = 0; i < fields.length; i += 2) visit(fields[i] ?? '', fields[i + 1] ?? '');
  }

  onAbort(then: () => void): void {
    this.#onAbort = then;
    if (this.aborted) queueMicrotask(then);
  }

  onBody(take: (chunk: Uint8Array, last: boolean) => void): void {
    if (this.#isPlain) {
      this.#guest.x.onBody((chunk, last) => {
        this.#received += chunk.length;
        take(chunk, last);
      });
      return;
    }
    queueMicrotask(() => {
      const early = this.#early;
      this.#early = [];
      this.#take = take;
      for (const chunk of early) take(chunk, false);
      if (this.#isRead) take(NOTHING, true);
      else this.resume();
    });
  }

  pause(): void {
    if (this.#isPlain) this.#guest.x.pause();
    else this.#native.setDeaf(this.#guest.key, true);
  }

  resume(): void {
    if (this.#isOver) return;
    if (this.#isPlain) this.#guest.x.resume();
    else {
      this.#native.setDeaf(this.#guest.key, false);
      this.#guest.reactor.take();
    }
  }

  /** A part of the body that passed the core; its bytes are valid during the call only. */
  part(chunk: Uint8Array, last: boolean): void {
    this.#isRead = last;
    if (this.#take !== undefined) this.#take(chunk, last);
    else {
      this.#early.push(chunk.slice());
      if (!last) this.pause();
    }
  }

  respond(status: number, headers: Fields, body: Chunk = ''): void {
    if (this.#isOver || this.#status !== 0) return;
    if (this.#isPlain) {
      this.#guest.over();
      this.#status = status;
      this.#sent = typeof body === 'string' ? Buffer.byteLength(body) : body.length;
      this.#guest.x.respond(status, headers, body);
      this.#told(true);
      return;
    }
    const bytes = bytesOf(body);
    this.#begin(status, headers, bytes.length);
    this.end(bytes);
  }

  begin(status: number, headers: Fields): void {
    if (this.#isOver || this.#status !== 0) return;
    if (!this.#isPlain) {
      this.#begin(status, headers, undefined);
      return;
    }
    this.#guest.x.begin(status, headers);
    this.#status = status;
  }

  write(chunk: Chunk): boolean {
    if (this.#isOver) return true;
    const bytes = bytesOf(chunk);
    this.#sent += bytes.length;
    if (this.#isPlain) return this.#guest.x.write(bytes);
    const waits = this.#native.answer(this.#guest.key, bytes, false);
    this.#guest.reactor.take();
    return waits <= HELD;
  }

  onDrain(then: () => void): void {
    this.#onDrain = then;
    if (this.#isPlain) this.#guest.x.onDrain(then);
  }

  end(chunk: Chunk = ''): void {
    if (this.#isOver) return;
    const bytes = bytesOf(chunk);
    this.#sent += bytes.length;
    if (!this.#isPlain) {
      this.#native.answer(this.#guest.key, bytes, true);
      this.#guest.reactor.take();
      return;
    }
    this.#guest.over();
    this.#guest.x.end(bytes);
    this.#told(true);
  }

  abort(): void {
    this.#guest.x.abort();
  }

  /**
   * Sends the request to an upstream instead; its answer goes to the client.
   *
   * @throws `unknown_upstream`; `TypeError` when it is too late.
   */
  forward(upstream: string): void {
    const begun = this.#isOver || this.#status !== 0 || this.#take !== undefined || this.#received > 0;
    if (begun || !this.#native.forward(this.#guest.key, upstream)) {
      throw new TypeError('too late to forward: an answer has begun, or the body was read');
    }
    this.#isOver = true;
    this.#guest.feed();
    this.#guest.reactor.take();
  }

  /** The client took what waited. */
  drained(): void {
    this.#onDrain?.();
  }

  /** Somebody else has answered. */
  late(): void {
    this.#isOver = true;
    this.aborted = true;
    this.#onAbort?.();
  }

  /** All was handed over. */
  done(): void {
    this.#isOver = true;
  }

  /** The client went away. */
  gone(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.aborted = true;
    this.#onAbort?.();
  }

  get #native(): Guest['reactor']['native'] {
    return this.#guest.reactor.native;
  }

  #begin(status: number, headers: Fields, length: number | undefined): void {
    const out = outOf(this.method, status, headers, false);
    out.length = out.hasBody ? (length ?? out.length) : out.length;
    let text = `HTTP/1.1 ${statusLine(status)}\r\n`;
    for (let i = 0; i < out.fields.length; i += 2) text += `${out.fields[i]}: ${out.fields[i + 1]}\r\n`;
    if (out.length !== undefined) text += `content-length: ${out.length}\r\n`;
    else if (out.hasBody) text += 'transfer-encoding: chunked\r\n';
    if (out.close) text += 'connection: close\r\n';
    this.#status = status;
    this.#native.respond(this.#guest.key, Buffer.from(`${text}\r\n`, 'latin1'));
    this.#guest.reactor.take();
  }

  #told(complete: boolean): void {
    this.#isOver = true;
    this.#native.answered(this.#guest.key, this.#status, this.#sent, this.#received, complete);
  }

  #seen(): Head {
    this.#head ??= read(this.#native.head(this.#guest.key));
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
/** Bytes that may wait for the client. */
const HELD = 64 << 10;
