/**
 * What is no sound request, with both engines. Where they differ, `ts/http/differences.ts` has the expectation.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BYTES, type Outcome } from '../../ts/http/differences.js';
import { app, ask, ENGINES } from '../kit/app.js';
import { raw } from '../kit/raw.js';

for (const engine of ENGINES) {
  test(`${engine}: bytes with two meanings are refused`, async (t) => {
    const { port } = await app(t, engine, (x) => {
      if (x.path !== '/slow') x.onBody((_, last) => last && x.respond(200, []));
      else setImmediate(() => x.respond(200, []));
    });
    const field = (text: string): string => `GET / HTTP/1.1\r\nHost: a\r\n${text}\r\n\r\n`;
    const post = (fields: string, body: string): string =>
      `POST / HTTP/1.1\r\nHost: a\r\n${fields}\r\n\r\n${body}`;
    const cases: [string, string, Outcome][] = [
      ['two lengths', post('Content-Length: 3\r\nContent-Length: 3', 'abc'), 400],
      ['a signed length', post('Content-Length: +3', 'abc'), 400],
      ['length and coding', post('Content-Length: 3\r\nTransfer-Encoding: chunked', '0\r\n\r\n'), 400],
      ['xchunked', post('Transfer-Encoding: xchunked', '0\r\n\r\n'), 400],
      ['gzip, chunked', post('Transfer-Encoding: gzip, chunked', '0\r\n\r\n'), 400],
      ['two hosts', field('Host: b'), 400],
      ['no token', 'G@T / HTTP/1.1\r\nHost: a\r\n\r\n', 400],
      ['a fragment', 'GET /#a HTTP/1.1\r\nHost: a\r\n\r\n', 400],
      ['not ASCII', 'GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n', 400],
      ['a large head', field(`X: ${'y'.repeat(40_000)}`), 431],
      ['a head of 20 KB', field(`X: ${'y'.repeat(20_000)}`), 200],
      ['chunked', post('Transfer-Encoding: Chunked', '3\r\nabc\r\n0\r\n\r\n'), 200],
      ...Object.entries(SENT).map(([name, text]): [string, string, Outcome] => {
        const row = BYTES[name as keyof typeof BYTES];
        return [row.what, text, row[engine]];
      }),
    ];
    await Promise.all(
      cases.map(async ([what, text, want]) => {
        const client = await raw(t, port);
        await client.send(text);
        if (want === 'silent') {
          // The library keeps it for 10 s; that another request is answered meanwhile is told apart by this.
          await ask({ port });
          assert.equal(client.received, '', what);
        } else if (want === 'closed') assert.equal(await client.waitForClose(), '', what);
        else assert.match(await client.waitFor(/\r\n\r\n/), new RegExp(`^HTTP/1.1 ${want} `), what);
        if (typeof want === 'number' && want >= 400) await client.waitForClose();
        client.socket.destroy();
      }),
    );
  });
}

/** What is sent for each row of the table. */
const SENT: Record<keyof typeof BYTES, string> = {
  http10: 'GET / HTTP/1.0\r\nHost: a\r\n\r\n',
  bareLf: 'GET / HTTP/1.1\nHost: a\n\n',
  absoluteForm: 'GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n',
  asterisk: 'OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n',
  connect: 'CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n',
  noHost: 'GET / HTTP/1.1\r\n\r\n',
  foldedField: 'GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n',
  spaceBeforeColon: 'GET / HTTP/1.1\r\nHost: a\r\nX : a\r\n\r\n',
  controlCharacter: 'GET / HTTP/1.1\r\nHost: a\r\nX: a\x01b\r\n\r\n',
  underscore: 'GET / HTTP/1.1\r\nHost: a\r\nX_A: a\r\n\r\n',
  manyFields: `GET / HTTP/1.1\r\nHost: a\r\n${'X: a\r\n'.repeat(110)}\r\n`,
  unknownMethod: 'FOO / HTTP/1.1\r\nHost: a\r\n\r\n',
  lowerCaseMethod: 'get / HTTP/1.1\r\nHost: a\r\n\r\n',
  trailers: 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: y\r\n\r\n',
  requestInBody:
    'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 27\r\n\r\nGET / HTTP/1.1\r\nHost: ab\r\n\r\n',
  proxyHeader:
    '\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x01\x02\x03\x04\x05\x06\x07\x08\0P\0QGET / HTTP/1.1\r\nHost: a\r\n\r\n',
  pipelined: 'GET /slow HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(2),
};
