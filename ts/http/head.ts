/**
 * head: what either engine checks again: that a request's head has one meaning, and that an answer's can
 * be sent as it is.
 *
 * Source: RFC 9112 sections 3.2 (target, Host) and 6 (framing), RFC 9110 sections 5.5 and 5.6.2 (fields).
 */
import { STATUS_CODES } from 'node:http';
import { MAX_HEAD } from './load.js';
import type { Answer, Fields } from './server-types.js';

/** A request's head, copied. */
export interface Head {
  method: string;
  path: string;
  query: string | undefined;
  /** Names in lower case. */
  fields: string[];
}

/** What a head that is not sound is answered with; `undefined` if it is. */
export function headFault({ method, path, query, fields }: Head): Answer | undefined {
  if (!TOKEN.test(method)) return refusal('the method is no token');
  if (!path.startsWith('/') || !TARGET.test(path) || (query !== undefined && !TARGET.test(query))) {
    return refusal('the target is not a path');
  }
  let size = path.length + (query?.length ?? 0);
  let hosts = 0;
  let length: string | undefined;
  let coding: string | undefined;
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] ?? '';
    const value = fields[i + 1] ?? '';
    size += name.length + value.length + FRAME;
    if (!VALUE.test(value)) return refusal('a field has a character that is not allowed');
    if (name === 'host') hosts += 1;
    if (name === 'content-length') {
      if (length !== undefined || !/^\d{1,15}$/.test(value))
        return refusal('the length of the body is unclear');
      length = value;
    }
    if (name === 'transfer-encoding') {
      if (coding !== undefined || value.toLowerCase() !== 'chunked') {
        return refusal('the only coding of a body is chunked');
      }
      coding = value;
    }
  }
  if (size > MAX_HEAD || fields.length > 2 * MAX_FIELDS) {
    return problem(431, 'head_too_large', `at most ${MAX_HEAD} bytes and ${MAX_FIELDS} fields are taken`);
  }
  if (hosts !== 1) return refusal('there is not one Host');
  if (length !== undefined && coding !== undefined) return refusal('the length of the body is unclear');
  return undefined;
}

/** The lines of a block, as fields: names and values in turn; the status is told apart. */
export function fieldsOfBlock(block: Uint8Array): { status: number; fields: string[] } {
  const [first = '', ...lines] = Buffer.from(block).toString('latin1').split('\r\n');
  const fields = lines.flatMap((line) => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon), line.slice(colon + 1).trim()];
  });
  return { status: Number(first.slice(0, 3)), fields };
}

/** True if a body follows. */
export function hasBody(fields: Fields): boolean {
  return (
    (fieldOf(fields, 'content-length') ?? '0') !== '0' || fieldOf(fields, 'transfer-encoding') !== undefined
  );
}

/** The value of `name`, all of them joined if it is repeated. */
export function fieldOf(fields: Fields, name: string): string | undefined {
  let found: string | undefined;
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i] === name) found = found === undefined ? fields[i + 1] : `${found}, ${fields[i + 1]}`;
  }
  return found;
}

/** All fields in their order. */
export function visitFields(fields: Fields, visit: (name: string, value: string) => void): void {
  for (let i = 0; i < fields.length; i += 2) visit(fields[i] ?? '', fields[i + 1] ?? '');
}

/** True for a request that asks for a WebSocket. */
export function asksForSocket({ method, fields }: Head): boolean {
  return (
    method === 'GET' &&
    fieldOf(fields, 'upgrade')?.toLowerCase() === 'websocket' &&
    /(^|[\s,])upgrade($|[\s,])/i.test(fieldOf(fields, 'connection') ?? '')
  );
}

/** Why it cannot have one; `undefined` if it can. */
export function handshakeFault({ fields }: Head): Answer | undefined {
  if (fieldOf(fields, 'sec-websocket-version') !== '13') {
    return { status: 426, headers: ['sec-websocket-version', '13', 'upgrade', 'websocket'] };
  }
  const key = fieldOf(fields, 'sec-websocket-key') ?? '';
  return /^[+/0-9A-Za-z]{22}==$/.test(key) ? undefined : refusal('the key of the WebSocket is not valid');
}

/** What a request with a fault is answered with. */
export function refusal(why: string): Answer {
  return problem(400, 'bad_request', why);
}

/** What a handler that throws is answered with. */
export function internal(): Answer {
  return problem(500, 'internal', 'the handler failed');
}

function problem(status: number, code: string, detail: string): Answer {
  const title = STATUS_CODES[status];
  return {
    status,
    headers: ['content-type', 'application/problem+json'],
    body: `${JSON.stringify({ type: 'about:blank', title, status, code, detail })}\n`,
  };
}

/** What the fields of an answer say to the engine, and the rest of them. */
export interface Out {
  status: number;
  /** Without what the engine writes itself. */
  fields: Fields;
  length: number | undefined;
  close: boolean;
  /** False for answers that never have a body. */
  hasBody: boolean;
  /** Status, reason and fields, made once, instead of `status` and `fields`; see {@link sound}. */
  block?: Uint8Array;
}

/** Marks fields that need no look, for they are the program's own; with 200 they are one block, made once. */
export function sound(fields: Fields): Fields {
  let text = '200 OK';
  for (let i = 0; i < fields.length; i += 2) text += `\r\n${fields[i]}: ${fields[i + 1]}`;
  SOUND.set(fields, { block: Buffer.from(text, 'latin1'), text: `HTTP/1.1 ${text}\r\n` });
  return fields;
}

/** Reads an answer's head; throws for one that would break the framing. `close`: the server closes anyway. */
export function outOf(method: string, status: number, headers: Fields, close: boolean): Out {
  if (!Number.isInteger(status) || status < 200 || status > 599) {
    throw new RangeError(`${status} is no status of an answer`);
  }
  const out: Out = {
    status,
    fields: headers,
    length: undefined,
    close,
    hasBody: method !== 'HEAD' && status !== 204 && status !== 304,
  };
  const made = SOUND.get(headers);
  if (made !== undefined) {
    if (status === 200) out.block = made.block;
    return out;
  }
  const fields: string[] = [];
  out.fields = fields;
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] ?? '';
    const value = headers[i + 1] ?? '';
    if (!TOKEN.test(name)) throw new TypeError(`${JSON.stringify(name)} is no name of a field`);
    if (!VALUE.test(value)) throw new TypeError(`the value of ${name} has a character that is not allowed`);
    switch (name.toLowerCase()) {
      case 'content-length':
        if (!/^\d{1,15}$/.test(value)) throw new TypeError(`content-length is ${JSON.stringify(value)}`);
        out.length = Number(value);
        break;
      case 'connection':
        out.close ||= /(^|[\s,])close($|[\s,])/i.test(value);
        break;
      case 'transfer-encoding':
      case 'date': // both engines write one
        break;
      default:
        fields.push(name, value);
    }
  }
  return out;
}

/** `200 OK`. */
export function statusLine(status: number): string {
  return `${status} ${STATUS_CODES[status] ?? ''}`;
}

/** The head of an answer for the core: a status line and fields, without framing; and the length that they say. */
export function blockOf(status: number, headers: Fields): { text: string; length: number | undefined } {
  const text = status === 200 ? SOUND.get(headers)?.text : undefined;
  if (text !== undefined) return { text, length: undefined };
  const out = outOf('GET', status, headers, false);
  let lines = `HTTP/1.1 ${statusLine(status)}\r\n`;
  for (let i = 0; i < out.fields.length; i += 2) lines += `${out.fields[i]}: ${out.fields[i + 1]}\r\n`;
  return { text: lines, length: out.length };
}

const SOUND = new Map<Fields, { block: Uint8Array; text: string }>();
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const TARGET = /^[!"$-~]*$/;
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
/** uWebSockets.js takes no more. */
const MAX_FIELDS = 100;
/** `: ` and the end of the line. */
const FRAME = 4;
