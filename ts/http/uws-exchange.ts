/**
 * uws-exchange: one request of uWebSockets.js.
 *
 * A body that comes before somebody asks for it is copied (what one read brought, 512 KiB at most) and the
 * connection is paused.
 */
import { fieldOf, type Head, hasBody, internal, type Out, outOf, visitFields } from './head.js';
import { type Answer, bytesOf, type Chunk, type Exchange, type Fields } from './server-types.js';
import type { Lever } from './uws-lever.js';
import { Parts, PIECE, writeFields, writeHead } from './uws-parts.js';
import type { UwsRequest, UwsResponse } from './uws-types.js';

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

/** See {@link Exchange}. */
export class UwsExchange implements Exchange {
  aborted = false;
  readonly #owner: Owner;
  readonly #res: UwsResponse;
  /** The library's, as long as it runs the handler. */
  #req: UwsRequest | undefined;
  #head: Head | undefined;
  #method: string | undefined;
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
  #isRead = false;
  #isPaused = false;

  /** To be {@link settle}d before the library's handler returns. */
  constructor(owner: Owner, res: UwsResponse, req: UwsRequest, method?: string) {
    this.#owner = owner;
    this.#res = res;
    this.#req = req;
    this.#method = method;
    owner.inFlight += 1;
    // Before anything of the user's runs: a thread that is ended within its handler has it attached.
    res.onAborted(() => {
      if (this.#isOver) return;
      this.aborted = true;
      this.#finish();
      this.guard(this.#onAbort);
    });
  }

  /** The library's handler returns: what was not answered goes on without its request. */
  settle(): void {
    const req = this.#req;
    if (req === undefined) return;
    if (!this.#isOver) {
      this.#method ??= req.getCaseSensitiveMethod();
      this.#isRead = !hasBody(this.#seen().fields);
      if (!this.#isRead) this.#res.onData((chunk, last) => this.#data(new Uint8Array(chunk), last));
    }
    this.#req = undefined;
  }

  get method(): string {
    this.#method ??= this.#req?.getCaseSensitiveMethod() ?? '';
    return this.#method;
  }

  get path(): string {
    return this.#seen().path;
  }

  get query(): string | undefined {
    return this.#seen().query;
  }

  /** The head, copied. */
  #seen(): Head {
    if (this.#head === undefined) {
      if (this.#req === undefined) throw new TypeError(UNREAD);
      this.#head = headOf(this.#req);
    }
    return this.#head;
  }

  get remoteAddress(): string {
    if (this.#peer === undefined && !this.#isOver) {
      this.#peer = Buffer.from(this.#res.getRemoteAddressAsText()).toString('latin1');
    }
    return this.#peer ?? '';
  }

  header(name: string): string | undefined {
    return fieldOf(this.#seen().fields, name);
  }

  headers(visit: (name: string, value: string) => void): void {
    visitFields(this.#seen().fields, visit);
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
    if (out.hasBody && typeof body === 'string' && body.length <= PIECE / 3) {
      this.#endWith(out, body);
      return;
    }
    const bytes = bytesOf(body);
    if (!out.hasBody) {
      if (status !== 204 && status !== 304) out.length ??= bytes.length;
      this.#endBodiless(() => writeHead(this.#res, out), out.length);
    } else if (bytes.length > PIECE) {
      this.#parts = this.#newParts({ ...out, length: bytes.length });
      this.#parts.end(bytes);
    } else {
      this.#endWith(out, bytes);
    }
  }

  #endWith(out: Out, body: string | Uint8Array): void {
    this.resume(); // the rest of the request is thrown away
    this.#together(() => {
      writeFields(this.#res, out);
      this.#res.end(body, out.close);
    });
    this.#finish();
  }

  /** In one packet: within its handler the library sees to that. */
  #together(write: () => void): void {
    if (this.#req !== undefined) write();
    else this.#res.cork(write);
  }

  begin(status: number, headers: Fields): void {
    if (this.#isOver || this.#hasBegun()) return;
    this.#begin(outOf(this.method, status, headers, this.#owner.isClosing));
  }

  #begin(out: Out): void {
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
    this.#together(() => accept(this.#res));
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

/** Copies the head. Values come decoded as UTF-8 and are turned back into the bytes they were. */
export function headOf(req: UwsRequest): Head {
  const fields: string[] = [];
  const seen = (name: string, value: string): void => {
    if (ASCII.test(value)) {
      fields.push(name, value);
      return;
    }
    // What is not UTF-8 can be had by name only, and then only the first of that name: else it is a fault.
    const isFirst = !fields.some((field, i) => i % 2 === 0 && field === name);
    const bytes = (): string => Buffer.from(value, 'utf8').toString('latin1');
    fields.push(name, isFirst ? req.getHeader(name) : value.includes('\ufffd') ? '\0' : bytes());
  };
  req.forEach(seen);
  return { method: req.getCaseSensitiveMethod(), path: req.getUrl(), query: req.getQuery(), fields };
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: all of ASCII
const ASCII = /^[\x00-\x7f]*$/;
const UNREAD = 'the request was answered before its head was read: read it before the handler returns';
const NOTHING = new Uint8Array(0);
