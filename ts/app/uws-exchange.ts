/**
 * uws-exchange: one request of uWebSockets.js.
 *
 * A body that comes before somebody asks for it is copied (what one read brought, 512 KiB at most) and the
 * connection is paused.
 */
import { fieldOf, type Head, hasBody, internal, outOf } from './head.js';
import type { Answer, Block, Chunk, DoorExchange, Fields } from './server-types.js';
import type { Lever } from './uws-lever.js';
import { Parts, PIECE, writeFields, writeHead } from './uws-parts.js';
import type { UwsResponse } from './uws-types.js';

/** The server, as its requests see it. */
export interface Owner {
  /** True once the server was told to close. */
  readonly isClosing: boolean;
  /** Answers in progress. */
  inFlight: number;
  readonly lever: Lever;
  /** Those that may be quiet for long. */
  readonly kept: Set<UwsExchange>;
  /** An answer is whole, or its client is gone. */
  done(): void;
  failed(error: unknown): void;
}

/** See {@link DoorExchange}. */
export class UwsExchange implements DoorExchange {
  readonly method: string;
  readonly path: string;
  readonly query: string | undefined;
  aborted = false;
  readonly #owner: Owner;
  readonly #res: UwsResponse;
  readonly #fields: string[];
  /** No call may reach the library any more. */
  #isOver = false;
  #parts: Parts | undefined;
  /** An answer without a body has begun. */
  #bodiless: (() => void) | undefined;
  #onAbort: (() => void) | undefined;
  #onDrain: (() => void) | undefined;
  #take: ((chunk: Uint8Array, last: boolean) => void) | undefined;
  /** Came before {@link onBody}. */
  #early: Uint8Array[] | undefined;
  #peer: string | undefined;
  #isRead: boolean;
  #isPaused = false;

  /** `hasBody`: a body follows. */
  constructor(owner: Owner, res: UwsResponse, head: Head, isRead = !hasBody(head.fields)) {
    this.#owner = owner;
    this.#res = res;
    this.#fields = head.fields;
    this.method = head.method;
    this.path = head.path;
    this.query = head.query;
    owner.inFlight += 1;
    res.onAborted(() => {
      if (this.#isOver) return;
      this.aborted = true;
      this.#finish();
      this.guard(this.#onAbort);
    });
    this.#isRead = isRead;
    if (!isRead) res.onData((chunk, last) => this.#data(new Uint8Array(chunk), last));
  }

  get remoteAddress(): string {
    if (this.#peer === undefined && !this.#isOver) {
      this.#peer = Buffer.from(this.#res.getRemoteAddressAsText()).toString('latin1');
    }
    return this.#peer ?? '';
  }

  header(name: string): string | undefined {
    return fieldOf(this.#fields, name);
  }

  headers(visit: (name: string, value: string) => void): void {
    for (let i = 0; i < this.#fields.length; i += 2) visit(this.#fields[i] ?? '', this.#fields[i + 1] ?? '');
  }

  onAbort(then: () => void): void {
    this.#onAbort = then;
    if (this.aborted) queueMicrotask(() => this.guard(then));
  }

  onBody(take: (chunk: Uint8Array, last: boolean) => void): void {
    queueMicrotask(() => {
      if (this.#isOver || this.#take !== undefined) return;
      this.#take = take;
      const early = this.#early ?? [];
      this.#early = undefined;
      for (const chunk of early) this.guard(() => take(chunk, false));
      if (this.#isRead) this.guard(() => take(NOTHING, true));
      else if (early.length > 0) this.resume();
    });
  }

  pause(): void {
    if (this.#isOver || this.#isRead) return;
    this.#isPaused = true;
    this.#owner.kept.add(this);
    this.#res.pause();
  }

  resume(): void {
    if (this.#isOver || !this.#isPaused) return;
    this.#isPaused = false;
    this.#res.resume();
  }

  /** The library closes what is quiet for 10 s; these calls wind its clock, and change nothing else. */
  keepAlive(): void {
    if (this.#isOver || this.#parts?.isBlocked === true) return;
    this.#res.resume();
    if (this.#isPaused) this.#res.pause();
  }

  respond(status: number, headers: Fields, body: Chunk = ''): void {
    if (this.#isOver || this.#hasBegun()) return;
    const out = outOf(this.method, status, headers, this.#owner.isClosing);
    const bytes = bytesOf(body);
    if (!out.hasBody) {
      if (status !== 204 && status !== 304) out.length ??= bytes.length;
      this.#endBodiless(() => writeHead(this.#res, out), out.length);
    } else if (bytes.length > PIECE) {
      this.#parts = this.#newParts({ ...out, length: bytes.length });
      this.#parts.end(bytes);
    } else {
      this.resume(); // the rest of the request is thrown away
      this.#res.cork(() => {
        writeFields(this.#res, status, out.fields);
        this.#res.end(bytes, out.close);
      });
      this.#finish();
    }
  }

  respondBlock(block: Block, body: Uint8Array): void {
    if (this.#isOver || this.#hasBegun()) return;
    const close = block.close || this.#owner.isClosing;
    if (!block.hasBody || body.length > PIECE) {
      this.beginBlock(block);
      this.end(body.slice());
      return;
    }
    this.resume();
    this.#res.cork(() => {
      this.#res.writeStatus(block.block);
      this.#res.end(body, close);
    });
    this.#finish();
  }

  beginBlock(block: Block): void {
    if (this.#isOver || this.#hasBegun()) return;
    const close = block.close || this.#owner.isClosing;
    // What is sent later is kept until then.
    const out = { ...block, block: block.block.slice(), status: 0, fields: [], close };
    if (out.hasBody) this.#parts = this.#newParts(out);
    else this.#bodiless = () => this.#endBodiless(() => writeHead(this.#res, out), out.length);
  }

  begin(status: number, headers: Fields): void {
    if (this.#isOver || this.#hasBegun()) return;
    const out = outOf(this.method, status, headers, this.#owner.isClosing);
    if (out.hasBody) this.#parts = this.#newParts(out);
    else this.#bodiless = () => this.#endBodiless(() => writeHead(this.#res, out), out.length);
  }

  write(chunk: Chunk): boolean {
    return this.#isOver || (this.#parts?.write(bytesOf(chunk)) ?? true);
  }

  onDrain(then: () => void): void {
    this.#onDrain = then;
  }

  end(chunk: Chunk = ''): void {
    if (this.#isOver) return;
    this.#bodiless?.();
    this.#parts?.end(bytesOf(chunk));
  }

  abort(): void {
    if (!this.#isOver) this.#res.close(); // the library then says `aborted`
  }

  /** Answers, unless an answer has begun: then the connection is closed. */
  refuse({ status, headers, body }: Answer): void {
    if (this.#hasBegun()) this.abort();
    else this.respond(status, [...headers, 'connection', 'close'], body);
  }

  /** Hands the connection over to a WebSocket. */
  upgrade(accept: (res: UwsResponse) => void): void {
    if (this.#isOver) return;
    this.#finish();
    this.#res.cork(() => accept(this.#res));
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

  #hasBegun(): boolean {
    return this.#parts !== undefined || this.#bodiless !== undefined;
  }

  #data(chunk: Uint8Array, last: boolean): void {
    this.#isRead = last;
    const take = this.#take;
    if (this.#isOver) return;
    if (take !== undefined) this.guard(() => take(chunk, last));
    else {
      this.#early ??= [];
      this.#early.push(chunk.slice());
      this.pause();
    }
  }

  #newParts(out: ConstructorParameters<typeof Parts>[1]): Parts {
    this.#owner.kept.add(this);
    return new Parts(this.#res, out, {
      lever: this.#owner.lever,
      finished: () => this.#finish(),
      broken: (error) => {
        if (error !== undefined) this.#owner.failed(error);
        this.abort();
      },
      drained: () => this.guard(this.#onDrain),
    });
  }

  /** The length is written as a field, for the library would wait for that many bytes. */
  #endBodiless(writeHead: () => void, length: number | undefined): void {
    this.resume();
    this.#res.cork(() => {
      writeHead();
      if (length !== undefined) this.#res.writeHeader('content-length', String(length));
      this.#res.endWithoutBody();
    });
    this.#finish();
  }

  #finish(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#parts?.drop();
    this.#early = undefined;
    this.#owner.kept.delete(this);
    this.#owner.done();
  }
}

/** A chunk as bytes. */
export function bytesOf(chunk: Chunk): Uint8Array {
  return typeof chunk === 'string' ? Buffer.from(chunk, 'utf8') : chunk;
}

const NOTHING = new Uint8Array(0);
