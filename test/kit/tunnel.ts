/**
 * tunnel: asks for a WebSocket with bytes of its own, over clear HTTP/1.1, inside of TLS, or by an extended CONNECT of HTTP/2.
 */

import * as http2 from 'node:http2';
import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TestContext } from 'node:test';
import * as tls from 'node:tls';

/** What a WebSocket may be asked for over. */
export const CARRIERS = ['http1', 'tls', 'http2'] as const;
export type Carrier = (typeof CARRIERS)[number];

/** What was answered: a tunnel's stream if `status` is that of the carrier's yes, 101 or 200. */
export interface Tunnel {
  readonly status: number;
  readonly isOpen: boolean;
  readonly headers: Record<string, string>;
  /** What came behind the head of an open one. */
  readonly early: Buffer;
  /** Of an answer that is none. */
  readonly body: string;
  readonly stream: Duplex;
  /** Ends it without a word. */
  cut(): void;
}

/** Asks for one at `port` of loopback; the connection is gone when the test ends. */
export async function tunnel(
  t: TestContext,
  carrier: Carrier,
  port: number,
  path = '/',
  fields: Record<string, string> = {},
): Promise<Tunnel> {
  const stream = carrier === 'http2' ? undefined : await opened(t, carrier, port);
  return stream === undefined ? byConnect(t, port, path, fields) : byUpgrade(stream, port, path, fields);
}

async function opened(t: TestContext, carrier: Carrier, port: number): Promise<Duplex> {
  const at = { host: '127.0.0.1', port };
  const socket =
    carrier === 'tls'
      ? tls.connect({
          ...at,
          servername: 'localhost',
          rejectUnauthorized: false,
          ALPNProtocols: ['http/1.1'],
        })
      : connect({ ...at, noDelay: true });
  t.after(() => socket.destroy());
  await new Promise((resolve, reject) => {
    socket.once(carrier === 'tls' ? 'secureConnect' : 'connect', resolve).once('error', reject);
  });
  socket.on('error', () => {}); // seen as an end
  return socket;
}

async function byUpgrade(
  stream: Duplex,
  port: number,
  path: string,
  more: Record<string, string>,
): Promise<Tunnel> {
  const fields = {
    Host: `127.0.0.1:${port}`,
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': KEY,
    ...more,
  };
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`);
  stream.write(`GET ${path} HTTP/1.1\r\n${lines.join('')}\r\n`);
  let all = Buffer.alloc(0);
  for (;;) {
    const end = all.indexOf('\r\n\r\n');
    const answer = end < 0 ? undefined : headOf(all.toString('latin1', 0, end));
    const rest = all.subarray(end + 4);
    const isOpen = answer?.status === 101;
    if (answer !== undefined && isOpen && answer.headers['sec-websocket-accept'] !== ACCEPT)
      throw new Error('no proof');
    const isWhole = isOpen || rest.length >= Number(answer?.headers['content-length'] ?? 0);
    if (answer !== undefined && isWhole) {
      const [early, body] = isOpen ? [rest, ''] : [Buffer.alloc(0), rest.toString('utf8')];
      return { ...answer, isOpen, early, body, stream, cut: () => stream.destroy() };
    }
    const part = await piece(stream);
    if (part === undefined) throw new Error(`closed before an answer: ${all.toString('latin1')}`);
    all = Buffer.concat([all, part]);
  }
}

/** The next bytes; none when there are no more. Between two calls the stream is paused. */
function piece(stream: Duplex): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    const done = (part?: Buffer): void => {
      stream.pause();
      stream.off('data', done).off('end', done).off('close', done);
      resolve(part);
    };
    stream.on('data', done).on('end', done).on('close', done);
    stream.resume();
  });
}

function headOf(text: string): { status: number; headers: Record<string, string> } {
  const [first = '', ...lines] = text.split('\r\n');
  const headers = Object.fromEntries(
    lines.map((line) => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    }),
  );
  return { status: Number(first.split(' ')[1]), headers };
}

async function byConnect(
  t: TestContext,
  port: number,
  path: string,
  fields: Record<string, string>,
): Promise<Tunnel> {
  const session = http2.connect(`http://127.0.0.1:${port}`);
  t.after(() => session.destroy());
  session.on('error', () => {});
  await new Promise<void>((resolve, reject) => {
    session.once('error', reject).once('remoteSettings', (settings) => {
      if (settings.enableConnectProtocol === true) resolve();
      else reject(new Error('no extended CONNECT'));
    });
  });
  const stream = session.request(
    {
      ':method': 'CONNECT',
      ':protocol': 'websocket',
      ':path': path,
      ':scheme': 'http',
      ':authority': `127.0.0.1:${port}`,
      'sec-websocket-version': '13',
      ...fields,
    },
    { endStream: false },
  );
  stream.on('error', () => {}); // seen as an end
  const got = await new Promise<http2.IncomingHttpHeaders & http2.IncomingHttpStatusHeader>(
    (resolve, reject) => {
      stream.once('response', resolve).once('close', () => reject(new Error('no answer')));
    },
  );
  const status = Number(got[':status']);
  const headers = got as Record<string, string>;
  const isOpen = status === 200;
  let body = '';
  for (let part = isOpen ? undefined : await piece(stream); part !== undefined; part = await piece(stream)) {
    body += part.toString('utf8');
  }
  // The connection goes with its only stream.
  stream.once('close', () => session.close());
  return {
    status,
    isOpen,
    headers,
    early: Buffer.alloc(0),
    body,
    stream,
    cut: () => stream.close(http2.constants.NGHTTP2_CANCEL),
  };
}

/** The example of RFC 6455 section 1.3. */
export const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
export const ACCEPT = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=';
