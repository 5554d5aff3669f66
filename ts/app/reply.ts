/**
 * reply: what a handler returned, as a status, fields and a body; and its way to the client.
 *
 * Errors: what makes no answer (a status out of range, a field with a line end) is a TypeError, which the caller answers
 * with 500. A stream that fails after the head cuts the answer, visibly.
 */

import { sound } from '../http/head.js';
import type { Exchange, Fields } from '../http/server-types.js';
import type { Gone } from './gone.js';
import { type BodyLike, Forwarded, type ReplyLike, type ReplyParts } from './handler.js';

/** A stream that has this method is told how to cut the connection, for a client that is too slow. */
export const CUT = Symbol('cut');

/** A field of an answer. */
type Field = [name: string, value: string];

/** The answer broke off after its head was sent. */
export class Cut extends Error {
  override readonly name = 'Cut';
}

interface Answer {
  status: number;
  fields: Field[];
  /** Whole, or a stream. */
  body: string | Uint8Array | AsyncIterable<Uint8Array | string> | undefined;
}

/** An answer whose body is a stream. */
export interface Streamed extends Answer {
  body: AsyncIterable<Uint8Array | string>;
}

/** Sends what a handler returned, if it is whole; else it is what {@link sendStream} takes, and nothing was sent. */
export function sendWhole(exchange: Exchange, reply: ReplyLike): Streamed | undefined {
  if (typeof reply === 'string') {
    exchange.respond(200, TEXT_FIELDS, reply);
    return undefined;
  }
  if (reply instanceof Forwarded) return undefined;
  const answer = answerOf(reply);
  const { status, fields, body } = answer;
  if (body !== undefined && typeof body !== 'string' && !(body instanceof Uint8Array)) {
    return answer as Streamed;
  }
  exchange.respond(status, fields.flat(), body);
  return undefined;
}

/** Sends an answer in parts; resolves when the last byte is handed over, or the client has gone. */
export async function sendStream(
  exchange: Exchange,
  gone: Gone,
  { status, fields, body }: Streamed,
): Promise<void> {
  exchange.begin(status, fields.flat());
  if (exchange.method === 'HEAD') {
    exchange.end();
    await cancel(body);
    return;
  }
  const turn = new Turn(exchange, gone);
  (body as { [CUT]?(cut: () => void): void })[CUT]?.(() => exchange.abort());
  try {
    for await (const chunk of body) {
      if (exchange.aborted) return; // leaving the loop cancels the stream
      if (!exchange.write(chunk)) await turn.next();
    }
  } catch (error) {
    exchange.abort();
    throw new Cut('a stream failed', { cause: error });
  }
  exchange.end();
}

function answerOf(reply: ReplyLike): Answer {
  if (typeof reply === 'string') return { status: 200, fields: [TEXT], body: reply };
  if (reply instanceof Uint8Array) return { status: 200, fields: [BYTES], body: reply };
  if (reply === undefined || reply === null) return { status: 204, fields: [], body: undefined };
  if (reply instanceof Response) {
    return checked({
      status: reply.status,
      fields: fieldsOf(reply.headers),
      body: (reply.body as AsyncIterable<Uint8Array> | null) ?? undefined,
    });
  }
  if (isParts(reply)) {
    const fields = fieldsOf(reply.headers ?? {});
    const [type, body] = bodyOf(reply.body);
    if (type !== undefined && !fields.some(([name]) => name.toLowerCase() === 'content-type'))
      fields.push(type);
    return checked({ status: reply.status ?? (body === undefined ? 204 : 200), fields, body });
  }
  return { status: 200, fields: [JSON_TYPE], body: JSON.stringify(reply) };
}

function bodyOf(body: BodyLike): [Field | undefined, Answer['body']] {
  if (body === undefined || body === null) return [undefined, undefined];
  if (typeof body === 'string') return [TEXT, body];
  if (body instanceof Uint8Array) return [BYTES, body];
  if (Symbol.asyncIterator in body) return [BYTES, body as AsyncIterable<Uint8Array | string>];
  return [JSON_TYPE, JSON.stringify(body)];
}

function isParts(reply: object): reply is ReplyParts {
  const keys = Object.keys(reply);
  return keys.length > 0 && keys.every((key) => key === 'status' || key === 'headers' || key === 'body');
}

function fieldsOf(headers: NonNullable<ReplyParts['headers']>): Field[] {
  if (headers instanceof Headers) return [...headers];
  return Object.entries(headers).flatMap(([name, value]) =>
    typeof value === 'string' ? [[name, value]] : value.map((one): Field => [name, one]),
  ) as Field[];
}

function checked(answer: Answer): Answer {
  const { status, fields } = answer;
  if (!Number.isInteger(status) || status < 200 || status > 599) {
    throw new TypeError(`${status} is no status of an answer: 200 to 599`);
  }
  for (const [name, value] of fields) {
    if (!NAME.test(name)) throw new TypeError(`${JSON.stringify(name)} is no field's name`);
    if (!VALUE.test(value)) throw new TypeError(`the value of ${name} has a control character`);
  }
  answer.fields = fields.filter(([name]) => !FRAMING.has(name.toLowerCase()));
  return answer;
}

/** Waits until the client has taken what waits, or has gone. */
class Turn {
  #go = (): void => {};

  constructor(exchange: Exchange, gone: Gone) {
    exchange.onDrain(() => this.#go());
    gone.on(() => this.#go());
  }

  next(): Promise<void> {
    return new Promise((resolve) => {
      this.#go = resolve;
    });
  }
}

async function cancel(body: AsyncIterable<unknown>): Promise<void> {
  await body[Symbol.asyncIterator]().return?.();
}

const TEXT: Field = ['content-type', 'text/plain; charset=utf-8'];
const TEXT_FIELDS: Fields = sound(TEXT);
const BYTES: Field = ['content-type', 'application/octet-stream'];
const JSON_TYPE: Field = ['content-type', 'application/json'];
/** RFC 9110 sections 5.1 and 5.5. */
const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const VALUE = /^[^\u0000-\u0008\u000a-\u001f\u007f\u0100-\uffff]*$/;
/** The server's own to say: a length that is wrong would be read as another answer. */
const FRAMING = new Set(['connection', 'content-length', 'keep-alive', 'transfer-encoding', 'upgrade']);
