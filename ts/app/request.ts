/**
 * request: a request as an app sees it: the Fetch API's names, made only when they are asked for.
 *
 * Bounds: a body that is collected has at most {@link MAX_BODY} bytes unless the caller says more; a longer one rejects with
 * {@link BodyError} (status 413). A body that is streamed is read as fast as the app takes it.
 */

import type { Exchange } from '../http/server-types.js';
import type { Gone } from './gone.js';

/** Why a body could not be had; thrown by a handler it becomes the answer. */
export class BodyError extends Error {
  override readonly name = 'BodyError';
  /** 413 for one that is too long, 400 for one that is no JSON or broke off. */
  readonly status: number;

  constructor(status: number, why: string) {
    super(why);
    this.status = status;
  }
}

/** A request. The body can be read once. */
export class AppRequest {
  readonly #exchange: Exchange;
  readonly #there: { readonly gone: Gone };
  #headers: Headers | undefined;
  #body: ReadableStream<Uint8Array> | undefined;
  #used = false;

  /** Made by the server; see `AppHandler`. */
  constructor(exchange: Exchange, there: { readonly gone: Gone }) {
    this.#exchange = exchange;
    this.#there = there;
  }

  /** As sent: `GET`, `POST`, … */
  get method(): string {
    return this.#exchange.method;
  }

  /** The path, normalised by the core, not decoded. */
  get path(): string {
    return this.#exchange.path;
  }

  /** What stands behind the `?`, not decoded; empty if nothing does. */
  get query(): string {
    return this.#exchange.query ?? '';
  }

  /** The whole address: scheme and host as the client's, as far as trusted hops say. */
  get url(): string {
    const scheme = this.header('x-forwarded-proto') ?? 'http';
    const host = this.header('x-forwarded-host') ?? this.header('host') ?? 'localhost';
    return `${scheme}://${host}${this.path}${this.query === '' ? '' : `?${this.query}`}`;
  }

  /** A field's value by its name in lower case; several are joined by commas. */
  header(name: string): string | undefined {
    return this.#exchange.header(name);
  }

  /** All fields. */
  get headers(): Headers {
    if (this.#headers === undefined) {
      const all = new Headers();
      this.#exchange.headers((name, value) => all.append(name, value));
      this.#headers = all;
    }
    return this.#headers;
  }

  /** The query's parameters. */
  get searchParams(): URLSearchParams {
    return new URLSearchParams(this.query);
  }

  /** The body as a stream, which stops the client when nobody reads. */
  get body(): ReadableStream<Uint8Array> {
    this.#body ??= this.#stream();
    return this.#body;
  }

  /** The whole body. */
  async bytes(max: number = MAX_BODY): Promise<Uint8Array> {
    const declared = Number(this.header('content-length') ?? 0);
    if (declared > max) throw tooLong(max);
    this.#use();
    const parts: Uint8Array[] = [];
    let size = 0;
    await new Promise<void>((resolve, reject) => {
      this.#there.gone.on(() => reject(new BodyError(400, 'the client went away')));
      this.#exchange.onBody((chunk, last) => {
        size += chunk.length;
        if (size > max) reject(tooLong(max));
        else if (chunk.length > 0) parts.push(chunk.slice()); // it is lent for this call only
        if (last) resolve();
      });
    });
    return Buffer.concat(parts);
  }

  /** The whole body, as UTF-8. */
  async text(max?: number): Promise<string> {
    return new TextDecoder().decode(await this.bytes(max));
  }

  /** The whole body, as JSON. */
  async json(max?: number): Promise<unknown> {
    const text = await this.text(max);
    try {
      return JSON.parse(text);
    } catch {
      throw new BodyError(400, 'the body is no JSON');
    }
  }

  #use(): void {
    if (this.#used) throw new TypeError('the body was read before');
    this.#used = true;
  }

  #stream(): ReadableStream<Uint8Array> {
    this.#use();
    const [exchange, { gone }] = [this.#exchange, this.#there];
    let over = false;
    return new ReadableStream<Uint8Array>(
      {
        start(to) {
          gone.on(() => {
            if (!over) to.error(new BodyError(400, 'the client went away'));
            over = true;
          });
          exchange.onBody((chunk, last) => {
            if (over) return;
            if (chunk.length > 0) to.enqueue(chunk.slice());
            over = last;
            if (last) to.close();
            else if ((to.desiredSize ?? 0) <= 0) exchange.pause();
          });
        },
        pull() {
          exchange.resume();
        },
        cancel() {
          over = true;
          exchange.resume(); // what nobody wants is read away
        },
      },
      new ByteLengthQueuingStrategy({ highWaterMark: BUFFERED }),
    );
  }
}

function tooLong(max: number): BodyError {
  return new BodyError(413, `the body is longer than ${max} bytes`);
}

/** 1 MiB. */
const MAX_BODY = 1 << 20;
/** Bytes of a streamed body that wait for the app. */
const BUFFERED = 256 << 10;
