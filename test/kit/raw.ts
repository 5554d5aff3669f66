/**
 * raw: a TCP client that sends bytes as they are, for what a well-behaved client would never send.
 */
import { connect, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { until } from './until.js';

/** A connection, and all that came back on it. */
export interface Raw {
  /** The socket, for what is missing here. */
  readonly socket: Socket;
  /** All bytes so far, as Latin-1: one character a byte. */
  readonly received: string;
  /** True when the other side has closed, in either way. */
  readonly closed: boolean;
  /** True when the close was a reset. */
  readonly reset: boolean;
  /** Sends `text`, Latin-1; resolves when the system has it. */
  send(text: string | Uint8Array): Promise<void>;
  /** Sends each byte in a segment of its own. */
  trickle(text: string): Promise<void>;
  /** Says that no more will be sent; still receives. */
  end(): void;
  /** Resolves with {@link received} when it matches. */
  waitFor(pattern: RegExp): Promise<string>;
  /** Resolves with {@link received} when the other side has closed. */
  waitForClose(): Promise<string>;
}

/** Connects to `port` of `host`; the connection is destroyed when the test ends. */
export async function raw(t: TestContext, port: number, host = '127.0.0.1'): Promise<Raw> {
  const socket = connect({ port, host, noDelay: true, allowHalfOpen: true });
  const parts: string[] = [];
  let closed = false;
  let reset = false;
  socket.on('data', (part) => parts.push(part.toString('latin1')));
  socket.on('end', () => {
    closed = true;
  });
  socket.on('close', () => {
    closed = true;
  });
  t.after(() => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.off('error', reject);
      resolve();
    });
  });
  socket.on('error', (error: NodeJS.ErrnoException) => {
    reset ||= error.code === 'ECONNRESET' || error.code === 'EPIPE';
  });
  const received = (): string => parts.join('');
  const send = (text: string | Uint8Array): Promise<void> =>
    new Promise((resolve) => {
      // An error is seen as `closed` and `reset`: the answer may have come before it.
      socket.write(typeof text === 'string' ? Buffer.from(text, 'latin1') : text, () => resolve());
    });
  return {
    socket,
    get received() {
      return received();
    },
    get closed() {
      return closed;
    },
    get reset() {
      return reset;
    },
    send,
    async trickle(text) {
      for (const byte of text) await send(byte);
    },
    end: () => socket.end(),
    async waitFor(pattern) {
      await until(() => pattern.test(received()) || closed, `${pattern} in ${JSON.stringify(received())}`);
      if (!pattern.test(received()))
        throw new Error(`closed before ${pattern}: ${JSON.stringify(received())}`);
      return received();
    },
    async waitForClose() {
      await until(() => closed, `a close after ${JSON.stringify(received())}`);
      return received();
    },
  };
}
