/**
 * uws-parts: an answer in parts on uWebSockets.js.
 *
 * The library does not say truly whether a small write found room (it is kept in a buffer until the end of
 * the turn), and does not empty its own buffer while one waits to be told of room. So parts wait here: at
 * most {@link PIECE} bytes are handed over each time the system says that it has room, which then fit.
 * Bodies of a known length are offered whole; what the system does not take stays here too.
 */
import { type Out, statusLine } from './head.js';
import { HIGH_WATER } from './server.js';
import type { UwsResponse } from './uws-types.js';

/** What the exchange of an answer does for it. */
export interface PartsOwner {
  /** True while the request's body is not read. */
  isPaused(): boolean;
  /** The library has it all; it must not be called any more. */
  finished(): void;
  /** The answer cannot go on: close. */
  broken(error: Error): void;
  /** Nothing waits any more. */
  drained(): void;
}

/** An answer in parts. */
export class Parts {
  readonly #res: UwsResponse;
  readonly #out: Out;
  readonly #owner: PartsOwner;
  readonly #queue: Uint8Array[] = [];
  #queued = 0;
  #taken = 0;
  #isHeadSent = false;
  #isEnding = false;
  #isOver = false;
  /** The system will say when it has room. */
  #isWaiting = false;
  #wantsDrain = false;

  constructor(res: UwsResponse, out: Out, owner: PartsOwner) {
    this.#res = res;
    this.#out = out;
    this.#owner = owner;
  }

  /** False when more than {@link HIGH_WATER} bytes wait. */
  write(bytes: Uint8Array): boolean {
    if (this.#isEnding || this.#isOver) return true;
    this.#push(bytes);
    if (!this.#isWaiting) this.#pump();
    this.#wantsDrain ||= this.#queued > HIGH_WATER;
    return this.#queued <= HIGH_WATER;
  }

  /** The last part. */
  end(bytes: Uint8Array): void {
    if (this.#isEnding || this.#isOver) return;
    this.#isEnding = true;
    this.#push(bytes);
    if (!this.#isWaiting) this.#pump();
  }

  /** The system has room. */
  writable(): void {
    if (!this.#isWaiting || this.#isOver) return;
    this.#isWaiting = false;
    this.#pump();
    if (this.#queued > 0 || !this.#wantsDrain || this.#isOver) return;
    this.#wantsDrain = false;
    this.#owner.drained();
  }

  /** The client is gone. */
  drop(): void {
    this.#isOver = true;
    this.#queue.length = 0;
  }

  #push(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#queue.push(bytes);
    this.#queued += bytes.length;
  }

  /** Bytes beyond the length that was announced would be taken for the next answer. */
  #isBroken(): boolean {
    const { length } = this.#out;
    const size = this.#taken + this.#queued;
    if (length === undefined || (size <= length && (size === length || !this.#isEnding))) return false;
    const word = size > length ? 'more' : 'fewer';
    this.#owner.broken(new RangeError(`the answer has ${word} than the ${length} bytes it announced`));
    return true;
  }

  #pump(): void {
    if (this.#isBroken() || (this.#queued === 0 && !this.#isEnding)) return;
    this.#res.cork(() => {
      if (!this.#isHeadSent) writeHead(this.#res, this.#out);
      this.#isHeadSent = true;
      this.#isOver = this.#out.length === undefined ? this.#sendChunk() : this.#sendKnown(this.#out.length);
    });
    if (this.#isOver) {
      this.#owner.finished();
      return;
    }
    // Either call makes the library ask the system for room, and changes nothing else.
    this.#isWaiting = true;
    if (this.#owner.isPaused()) this.#res.pause();
    else this.#res.resume();
  }

  /** True when it was the end. */
  #sendChunk(): boolean {
    if (this.#queued > 0) this.#res.write(this.#piece());
    if (!this.#isEnding || this.#queued > 0) return false;
    this.#res.end();
    return true;
  }

  #sendKnown(length: number): boolean {
    const [first] = this.#queue;
    if (length === 0) this.#res.end('');
    if (first === undefined) return length === 0;
    const chunk = first.length >= PIECE ? first : this.#piece();
    const before = this.#res.getWriteOffset();
    const [, isDone] = this.#res.tryEnd(chunk, length);
    const taken = isDone ? chunk.length : this.#res.getWriteOffset() - before;
    if (chunk === first) this.#skip(taken);
    else if (taken < chunk.length) this.#putBack(chunk.subarray(taken));
    return isDone;
  }

  /** Takes up to {@link PIECE} bytes from the queue. */
  #piece(): Uint8Array {
    const parts: Uint8Array[] = [];
    let size = 0;
    for (let part = this.#queue[0]; part !== undefined && size < PIECE; part = this.#queue[0]) {
      const some = part.subarray(0, PIECE - size);
      parts.push(some);
      size += some.length;
      this.#skip(some.length);
    }
    return parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts);
  }

  #skip(bytes: number): void {
    const [first] = this.#queue;
    this.#queued -= bytes;
    this.#taken += bytes;
    if (first === undefined || first.length === bytes) this.#queue.shift();
    else this.#queue[0] = first.subarray(bytes);
  }

  #putBack(bytes: Uint8Array): void {
    this.#queue.unshift(bytes);
    this.#queued += bytes.length;
    this.#taken -= bytes.length;
  }
}

/** Writes the status and the fields, all but the length. */
export function writeHead(res: UwsResponse, { status, fields, close }: Out): void {
  writeFields(res, status, fields);
  if (close) res.writeHeader('connection', 'close');
}

/** As {@link writeHead}, where the library is told of the close and says it itself. */
export function writeFields(res: UwsResponse, status: number, fields: readonly string[]): void {
  res.writeStatus(statusLine(status));
  for (let i = 0; i < fields.length; i += 2) {
    const value = fields[i + 1] ?? '';
    // A string would be sent as UTF-8.
    res.writeHeader(fields[i] ?? '', ASCII.test(value) ? value : Buffer.from(value, 'latin1'));
  }
}

/** Fits, with a head or with what frames a chunk, into the library's buffer of 16 KiB. */
export const PIECE = 12 << 10;
const ASCII = /^[\t\x20-\x7e]*$/;
