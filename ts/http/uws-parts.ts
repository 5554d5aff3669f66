/**
 * uws-parts: an answer in parts on uWebSockets.js, with an honest count of what waits.
 *
 * The library counts a small write as taken whatever becomes of it, so what it holds for a reader that
 * stopped would grow without a bound. Here at most {@link CREDIT} bytes go out on trust; the next are
 * written by the {@link Lever}, which tells the truth. While the system has no room the rest waits here,
 * and one byte is tried now and then: when that is taken, all before it was.
 * Bounds: a reader that takes nothing for {@link STALL_MS} is closed.
 */
import { type Out, statusLine } from './head.js';
import { HIGH_WATER } from './server-types.js';
import type { Lever } from './uws-lever.js';
import type { UwsResponse } from './uws-types.js';

/** What the exchange of an answer does for it. */
export interface PartsOwner {
  readonly lever: Lever;
  /** The library has it all; it must not be called any more. */
  finished(): void;
  /** The answer cannot go on: close. */
  broken(error: Error | undefined): void;
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
  #trusted = 0;
  #isHeadSent = false;
  #isEnding = false;
  #isOver = false;
  #wantsDrain = false;
  /** Since when the system has no room. */
  #blockedAt: number | undefined;
  #delayMs = 0;
  #soon: NodeJS.Immediate | undefined;
  #later: NodeJS.Timeout | undefined;

  constructor(res: UwsResponse, out: Out, owner: PartsOwner) {
    this.#res = res;
    this.#out = out;
    this.#owner = owner;
  }

  /** True while the reader takes nothing. */
  get isBlocked(): boolean {
    return this.#blockedAt !== undefined;
  }

  /** False when more than {@link HIGH_WATER} bytes wait. */
  write(bytes: Uint8Array): boolean {
    if (this.#isEnding || this.#isOver) return true;
    this.#push(bytes);
    this.#wantsDrain ||= this.#queued > HIGH_WATER;
    return this.#queued <= HIGH_WATER;
  }

  /** The last part. */
  end(bytes: Uint8Array): void {
    if (this.#isEnding || this.#isOver) return;
    this.#isEnding = true;
    this.#push(bytes);
  }

  /** The client is gone. */
  drop(): void {
    this.#isOver = true;
    this.#queue.length = 0;
    // Each by its own kind: Node takes a timer for an immediate, and then miscounts these.
    clearImmediate(this.#soon);
    clearTimeout(this.#later);
  }

  #push(bytes: Uint8Array): void {
    if (bytes.length > 0) this.#queue.push(bytes);
    this.#queued += bytes.length;
    if (this.#isBroken() || this.#soon !== undefined || this.#later !== undefined) return;
    if (this.#queued <= PIECE && this.#trusted + this.#queued <= CREDIT) this.#sendOnTrust();
    else this.#soon = setImmediate(() => this.#pump()); // not within a callback of the library
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

  /** At most {@link PIECE} bytes, in one packet with the head. */
  #sendOnTrust(): void {
    const piece = this.#piece(PIECE);
    if (piece.length === 0 && !this.#isEnding) return;
    this.#trusted += piece.length;
    this.#res.cork(() => {
      if (!this.#isHeadSent) writeHead(this.#res, this.#out);
      this.#isHeadSent = true;
      this.#send(piece);
      this.#endIfDone();
    });
    if (this.#isOver) this.#owner.finished();
  }

  #pump(): void {
    this.#soon = undefined;
    this.#later = undefined;
    if (!this.#isHeadSent) this.#sendOnTrust();
    if (this.#isOver) return;
    const before = this.#taken;
    let hasMoved = false;
    this.#owner.lever.uncorked(() => {
      while (this.#queued > 0 && this.#send(this.#nextPiece())) {
        this.#blockedAt = undefined;
        hasMoved = true;
      }
    });
    // Of a chunk that was not taken nothing is known; a known length says how much was.
    hasMoved ||= this.#out.length !== undefined && this.#taken > before;
    if (this.#isOver) this.#owner.finished();
    else if (this.#queued > 0) this.#tryAgain(hasMoved);
    else this.#emptied();
  }

  #emptied(): void {
    this.#trusted = this.isBlocked ? CREDIT : 0;
    this.#blockedAt = undefined;
    this.#delayMs = 0;
    if (this.#isEnding) this.#sendOnTrust();
    else if (this.#wantsDrain) {
      this.#wantsDrain = false;
      this.#owner.drained();
    }
  }

  #tryAgain(hasMoved: boolean): void {
    const now = performance.now();
    if (hasMoved || this.#blockedAt === undefined) this.#blockedAt = now;
    if (now - this.#blockedAt > STALL_MS) {
      this.#owner.broken(undefined);
      return;
    }
    this.#delayMs = hasMoved ? 1 : Math.min(Math.max(1, this.#delayMs * 2), MAX_DELAY_MS);
    this.#later = setTimeout(() => this.#pump(), this.#delayMs);
  }

  /** False when the system has no room. */
  #send(piece: Uint8Array): boolean {
    const { length } = this.#out;
    if (length === undefined) return piece.length === 0 || this.#sendChunk(piece);
    if (piece.length === 0) return true;
    const before = this.#res.getWriteOffset();
    const [, isDone] = this.#res.tryEnd(piece, length);
    this.#isOver = isDone;
    const taken = isDone ? piece.length : this.#res.getWriteOffset() - before;
    if (taken < piece.length) this.#putBack(piece.subarray(taken));
    return taken === piece.length;
  }

  #sendChunk(piece: Uint8Array): boolean {
    const isTaken = this.#res.write(piece);
    if (!isTaken) this.#blockedAt ??= performance.now();
    return isTaken;
  }

  #endIfDone(): void {
    if (this.#isOver || !this.#isEnding || this.#queued > 0) return;
    this.#isOver = true;
    if (this.#out.length === undefined) this.#res.end();
    else this.#res.end(''); // of length 0, else it was over before
  }

  /** Keeps the last byte of a chunked answer apart: when it is taken, all was. */
  #nextPiece(): Uint8Array {
    if (this.#out.length !== undefined) return this.#piece(Number.POSITIVE_INFINITY);
    return this.#piece(this.isBlocked ? 1 : Math.max(1, Math.min(PIECE, this.#queued - 1)));
  }

  /** Takes up to `max` bytes from the queue; of a large first chunk no copy is made. */
  #piece(max: number): Uint8Array {
    const parts: Uint8Array[] = [];
    let size = 0;
    for (
      let part = this.#queue[0];
      part !== undefined && size < Math.min(max, PIECE);
      part = this.#queue[0]
    ) {
      const some = part.subarray(0, max - size);
      parts.push(some);
      size += some.length;
      if (some.length === part.length) this.#queue.shift();
      else this.#queue[0] = part.subarray(some.length);
    }
    this.#queued -= size;
    this.#taken += size;
    return parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts);
  }

  #putBack(bytes: Uint8Array): void {
    this.#queue.unshift(bytes);
    this.#queued += bytes.length;
    this.#taken -= bytes.length;
  }
}

/** Writes the status and the fields, all but the length. */
export function writeHead(res: UwsResponse, out: Out): void {
  writeFields(res, out);
  if (out.close) res.writeHeader('connection', 'close');
}

/** As {@link writeHead}, where the library is told of the close and says it itself. */
export function writeFields(res: UwsResponse, { status, fields, block }: Out): void {
  if (block !== undefined) {
    // The library ends the status with a line's end and looks at nothing in it.
    res.writeStatus(block);
    return;
  }
  res.writeStatus(statusLine(status));
  for (let i = 0; i < fields.length; i += 2) {
    const value = fields[i + 1] ?? '';
    // A string would be sent as UTF-8.
    res.writeHeader(fields[i] ?? '', ASCII.test(value) ? value : Buffer.from(value, 'latin1'));
  }
}

/** Fits, with a head or with what frames a chunk, into the library's buffer of 16 KiB. */
export const PIECE = 12 << 10;
const CREDIT = 64 << 10;
const STALL_MS = 30_000;
const MAX_DELAY_MS = 32;
const ASCII = /^[\t\x20-\x7e]*$/;
