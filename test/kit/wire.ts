/**
 * wire: one request over a connection of its own, as bytes: clients of libraries would not send some of what tests must.
 */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { raw } from './raw.js';

/** What is asked for, and what must be answered, by whichever door. */
export interface Case {
  name: string;
  method?: string;
  path: string;
  headers?: Record<string, string>;
  body?: string;
  status: number;
  /** Of the answer: a string is the whole, an expression must match. */
  answer?: string | RegExp;
  /** Fields of the answer; `null` for one that must not be there. */
  fields?: Record<string, string | null>;
}

/** What came back. */
export interface Answer {
  status: number;
  body: string;
  field(name: string): string | undefined;
}

/** Sends what a case says and reads until the close. */
export async function wire(t: TestContext, port: number, one: Case): Promise<Answer> {
  const lines = [`${one.method ?? 'GET'} ${one.path} HTTP/1.1`, 'host: h.example', 'connection: close'];
  for (const [name, value] of Object.entries(one.headers ?? {})) lines.push(`${name}: ${value}`);
  const body = Buffer.from(one.body ?? '', 'utf8');
  const isChunked = one.headers?.['transfer-encoding'] === 'chunked';
  const isFramed =
    isChunked ||
    Object.keys(one.headers ?? {}).some((name) => /^(content-length|transfer-encoding)$/i.test(name));
  if (one.body !== undefined && !isFramed) lines.push(`content-length: ${body.length}`);
  const client = await raw(t, port);
  await client.send(`${lines.join('\r\n')}\r\n\r\n`);
  if (isChunked && body.length > 0)
    await client.send(`${body.length.toString(16)}\r\n${body.toString('latin1')}\r\n0\r\n\r\n`);
  else await client.send(isChunked ? '0\r\n\r\n' : body);
  if (one.status !== 0) return parse(await client.waitForClose(), one.method === 'HEAD');
  // Silence is seen by another request that came later and has its answer.
  await wire(t, port, { name: 'another', path: '/a', status: 200 });
  return { status: client.received.length, body: client.received, field: () => undefined };
}

function parse(text: string, isHead: boolean): Answer {
  const end = text.indexOf('\r\n\r\n');
  const [first = '', ...lines] = text.slice(0, end).split('\r\n');
  const fields = lines.map((line) => [
    line.slice(0, line.indexOf(':')).toLowerCase(),
    line.slice(line.indexOf(':') + 1).trim(),
  ]);
  const field = (name: string): string | undefined => {
    const found = fields.filter(([key]) => key === name).map(([, value]) => value);
    return found.length === 0 ? undefined : found.join('|');
  };
  let body = text.slice(end + 4);
  if (field('transfer-encoding') === 'chunked') {
    let whole = '';
    for (let at = 0; ; ) {
      const line = body.indexOf('\r\n', at);
      const size = Number.parseInt(body.slice(at, line), 16);
      assert.ok(size >= 0, `a chunk's size in ${JSON.stringify(body.slice(at, at + 20))}`);
      if (size === 0) break;
      whole += body.slice(line + 2, line + 2 + size);
      at = line + 2 + size + 2;
    }
    body = whole;
  } else if (!isHead && field('content-length') !== undefined) {
    assert.equal(body.length, Number(field('content-length')), 'the length that was announced');
  }
  return { status: Number(first.split(' ')[1]), body: Buffer.from(body, 'latin1').toString('utf8'), field };
}
