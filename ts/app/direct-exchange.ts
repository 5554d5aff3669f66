/**
 * direct-exchange: one request at a direct door, between the client's side, the core, and the app.
 *
 * The head is the core's, asked for when the app looks. A plain request is answered straight to the client, and the core is
 * told how it ended; else the answer passes the core, whose filters see it.
 */
import { fieldOf, type Head, outOf, statusLine, visitFields } from '../http/head.js';
import { bytesOf, type Chunk, type DoorExchange, type Fields, type Inner } from '../http/server-types.js';
import { type Listener, type Reactor, SAID, type Word } from './reactor.js';

/** See {@link Inner}. */
export class DirectExchange implements Inner, Listener {
  key = 0;
  hasBody = false;
  /** The core knows whose it is. */
  isNamed = false;
  aborted = false;
  readonly #reactor: Reactor;
  readonly #x: DoorExchange;
  readonly #answer: (inner: Inner) => void;
  /** The app answers, without the core. */
  #isPlain = false;
  /** The client's side is listened to. */
  #isHeard = false;
  /** Nothing more is to be done, by the core or the app. */
  #isOver = false;
  #isFed = false;
  #isHeld = false;
  #head: Head | undefined;
  #status = 0;
  #sent = 0;
  #received = 0;
  #onAbort: (() => void) | undefined;
  #onDrain: (() => void) | undefined;
  #take: ((chunk: Uint8Array, last: boolean) => void) | undefined;
  /** Came before {@link onBody}. */
  #early: Uint8Array[] | undefined;
  #isRead = false;

  constructor(reactor: Reactor, x: DoorExchange, answer: (inner: Inner) => void) {
    this.#reactor = reactor;
    this.#x = x;
    this.#answer = answer;
  }

  // The client's side.

  /** The app answers; `isPlain`: without the core. */
  answer(isPlain: boolean): void {
    this.#isPlain = isPlain;
    this.#answer(this);
    if (!this.#isOver) this.#hearClient();
  }

  /** Hands the request's body to the core, as fast as it takes it. */
  feed(): void {
    if (this.#isFed || this.#isOver) return;
    this.#isFed = true;
    this.#hearClient();
    if (!this.hasBody) return;
    this.#x.onBody((chunk, last) => {
      if (this.#isOver) return;
      if (this.#reactor.native.push(this.key, chunk, last) > HELD) {
        this.#isHeld = true;
        this.#x.pause();
      }
      this.#reactor.take();
    });
  }

  /** What the core says. */
  hear(word: Word): void {
    const { said } = word;
    if (this.#isOver) return;
    if ((said & SAID.push) !== 0 && this.#isHeld) {
      this.#isHeld = false;
      this.#x.resume();
    }
    if ((said & SAID.late) !== 0) this.#gone();
    if ((said & SAID.local) !== 0) {
      const isPlain = (said & SAID.plain) !== 0;
      if (!isPlain) this.feed();
      this.answer(isPlain);
    }
    if ((said & SAID.answer) !== 0) this.#onDrain?.();
    if ((said & SAID.request) !== 0) this.#part(word.body, (said & SAID.requestEnd) !== 0);
    else this.#pass(word);
  }

  #pass({ said, head, body, length }: Word): void {
    const x = this.#x;
    const isCut = (said & SAID.cut) !== 0;
    const isLast = isCut || (said & SAID.end) !== 0;
    if (isLast) this.#isOver = true;
    if ((said & SAID.head) !== 0) {
      const block = {
        block: head,
        length: (said & SAID.length) !== 0 ? length : undefined,
        hasBody: (said & SAID.bodiless) === 0,
        close: (said & SAID.close) !== 0,
      };
      if (isLast && !isCut) {
        x.respondBlock(block, body);
        return;
      }
      x.beginBlock(block);
    }
    if (body.length > 0 && !x.write(body.slice())) {
      this.#reactor.native.setWritable(this.key, false);
      x.onDrain(() => this.#drained());
    }
    if (isCut) x.abort();
    else if (isLast) x.end();
  }

  #drained(): void {
    if (this.#isOver) return;
    this.#reactor.native.setWritable(this.key, true);
    this.#reactor.take();
  }

  #hearClient(): void {
    if (this.#isHeard) return;
    this.#isHeard = true;
    if (this.#isPlain) this.#reactor.listen(this); // a deadline may pass
    this.#x.onAbort(() => {
      const wasOver = this.#isOver;
      this.#gone();
      if (wasOver) return;
      this.#reactor.forget(this.key);
      this.#reactor.native.abort(this.key);
    });
  }

  /** Nobody waits for the app any more. */
  #gone(): void {
    this.aborted = true;
    this.#onAbort?.();
    this.#onAbort = undefined;
    if (this.#isPlain) this.#isOver = true;
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
    return this.#x.remoteAddress;
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
    if (this.#isPlain) {
      this.#take = take;
      this.#x.onBody((chunk, last) => {
        this.#received += chunk.length;
        take(chunk, last);
      });
      return;
    }
    queueMicrotask(() => {
      const early = this.#early ?? [];
      this.#early = undefined;
      this.#take = take;
      for (const chunk of early) take(chunk, false);
      if (this.#isRead) take(NOTHING, true);
      else this.resume();
    });
  }

  pause(): void {
    if (this.#isPlain) this.#x.pause();
    else if (!this.#isOver) this.#reactor.native.setDeaf(this.key, true);
  }

  resume(): void {
    if (this.#isPlain) this.#x.resume();
    else if (!this.#isOver) {
      this.#reactor.native.setDeaf(this.key, false);
      this.#reactor.take();
    }
  }

  /** A part of the request's body that passed the core. */
  #part(chunk: Uint8Array, last: boolean): void {
    this.#isRead = last;
    if (this.#take !== undefined) this.#take(chunk, last);
    else {
      this.#early ??= [];
      this.#early.push(chunk.slice());
      if (!last) this.pause();
    }
  }

  respond(status: number, headers: Fields, body: Chunk = ''): void {
    if (this.#isOver || this.#status !== 0) return;
    if (!this.#isPlain) {
      const bytes = bytesOf(body);
      this.#begin(status, headers, bytes.length);
      this.end(bytes);
      return;
    }
    this.#x.respond(status, headers, body);
    this.#status = status;
    this.#sent = typeof body === 'string' ? Buffer.byteLength(body) : body.length;
    this.#answered();
  }

  begin(status: number, headers: Fields): void {
    if (this.#isOver || this.#status !== 0) return;
    if (this.#isPlain) {
      this.#x.begin(status, headers);
      this.#status = status;
      this.#reactor.native.begun(this.key);
    } else {
      this.#begin(status, headers, undefined);
    }
  }

  write(chunk: Chunk): boolean {
    if (this.#isOver) return true;
    const bytes = bytesOf(chunk);
    this.#sent += bytes.length;
    if (this.#isPlain) return this.#x.write(bytes);
    const waits = this.#reactor.native.answer(this.key, bytes, false);
    this.#reactor.take();
    return waits <= HELD;
  }

  onDrain(then: () => void): void {
    this.#onDrain = then;
    if (this.#isPlain) this.#x.onDrain(then);
  }

  end(chunk: Chunk = ''): void {
    if (this.#isOver || this.#status === 0) return;
    const bytes = bytesOf(chunk);
    this.#sent += bytes.length;
    if (this.#isPlain) {
      this.#x.end(bytes);
      this.#answered();
    } else {
      this.#reactor.native.answer(this.key, bytes, true);
      this.#reactor.take();
    }
  }

  abort(): void {
    this.#x.abort();
  }

  upgraded(): void {
    this.#status = 101;
    this.#answered();
  }

  /**
   * Sends the request to an upstream instead; its answer goes to the client.
   *
   * @throws GateError `unknown_upstream`; `TypeError` when it is too late.
   */
  forward(upstream: string): void {
    const begun = this.#isOver || this.#status !== 0 || this.#take !== undefined;
    const peer = this.isNamed || begun ? undefined : this.#x.peerBytes();
    if (begun || !this.#reactor.forward(this.key, upstream, peer)) {
      throw new TypeError('too late to forward: an answer has begun, or the body was read');
    }
    this.#isPlain = false;
    this.#status = FORWARDED;
    this.#reactor.listen(this);
    this.feed();
    this.#reactor.take();
  }

  #begin(status: number, headers: Fields, length: number | undefined): void {
    const out = outOf(this.method, status, headers, false);
    const isBare = status === 204 || status === 304;
    const size = out.hasBody ? (length ?? out.length) : isBare ? undefined : (out.length ?? length);
    let text = `HTTP/1.1 ${statusLine(status)}\r\n`;
    for (let i = 0; i < out.fields.length; i += 2) text += `${out.fields[i]}: ${out.fields[i + 1]}\r\n`;
    if (size !== undefined) text += `content-length: ${size}\r\n`;
    else if (out.hasBody) text += 'transfer-encoding: chunked\r\n';
    if (out.close) text += 'connection: close\r\n';
    this.#status = status;
    this.#reactor.native.respond(this.key, Buffer.from(`${text}\r\n`, 'latin1'));
    this.#reactor.take();
  }

  /** The app has answered by itself. */
  #answered(): void {
    this.#isOver = true;
    if (this.#isHeard) this.#reactor.forget(this.key);
    this.#reactor.answered(this.key, this.#status, this.#sent, this.#received);
  }

  #seen(): Head {
    if (this.#head === undefined) {
      if (this.#isOver) {
        throw new TypeError('the request was answered before its head was read: read it before you answer');
      }
      this.#name();
      this.#head = read(this.#reactor.native.head(this.key));
    }
    return this.#head;
  }

  #name(): void {
    if (this.isNamed) return;
    this.isNamed = true;
    this.#reactor.native.name(this.key, this.#x.peerBytes());
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
/** Bytes that may wait on either side. */
const HELD = 64 << 10;
/** No status of the app's. */
const FORWARDED = -1;
