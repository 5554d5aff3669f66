/**
 * swarm: thousands of WebSockets from a process of its own, each of which checks what it gets.
 *
 * The process runs this file; its parent speaks to it through {@link swarm}. A socket is a TCP connection and a few counters, no more,
 * so that ten thousand fit. What is checked: that messages are text `NUMBER FILLER`, and the numbers 0, 1, 2, … without a gap.
 */
import { spawn } from 'node:child_process';
import { connect, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { until } from './until.js';

/** What the process says. */
export interface Report {
  /** Sockets that are open. */
  open: number;
  /** Messages so far, of all. */
  messages: number;
  /** Messages that the socket with the fewest has. */
  least: number;
  /** Sockets that got another message than the next. */
  wrong: number;
  /** Sockets that were closed, by the code of the close frame, or `cut`. */
  closed: Record<string, number>;
  /** The first of what went wrong, if anything did. */
  fault: string | undefined;
}

/** Sockets in a process. */
export interface Swarm {
  /** The newest report; one comes every 50 ms. */
  readonly report: Report;
  /** Resolves when a report is as wanted; fails with the report when it does not come to it. */
  until(holds: (report: Report) => boolean, what: string, patienceMs: number): Promise<void>;
}

/** The descriptors that a process here may have, if it asks for them. */
export function mostDescriptors(): Promise<number> {
  return new Promise((resolve) => {
    const child = spawn('sh', ['-c', 'ulimit -Hn'], { stdio: ['ignore', 'pipe', 'ignore'] });
    let text = '';
    child.stdout.on('data', (part) => {
      text += part;
    });
    child.on('close', () => resolve(text.trim() === 'unlimited' ? Number.POSITIVE_INFINITY : Number(text)));
  });
}

/** A command with as many descriptors as it may have. */
export function roomy(words: readonly string[]): [file: string, words: string[]] {
  return ['sh', ['-c', 'ulimit -n "$(ulimit -Hn)" && exec "$@"', 'sh', ...words]];
}

/** Opens `count` sockets to `path` at `address`, `IP:port`, whatever listens there; they are gone when the test ends. */
export async function swarm(t: TestContext, address: string, count: number, path = '/'): Promise<Swarm> {
  const [file, words] = roomy([
    process.execPath,
    fileURLToPath(import.meta.url),
    address,
    String(count),
    path,
  ]);
  const child = spawn(file, words, { stdio: ['pipe', 'pipe', 'inherit'] });
  let report: Report = { open: 0, messages: 0, least: 0, wrong: 0, closed: {}, fault: undefined };
  let rest = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) report = JSON.parse(line) as Report;
  });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  t.after(async () => {
    child.stdin.end(); // it ends with its input
    await ended;
  });
  return {
    get report() {
      return report;
    },
    async until(holds, what, patienceMs) {
      const done = (): boolean => holds(report) || report.fault !== undefined || child.exitCode !== null;
      await until(done, what, patienceMs).catch(() => {});
      if (!holds(report)) throw new Error(`${what}: ${JSON.stringify(report)}`);
    },
  };
}

/** One socket: what is left of the bytes that came, and the number that is next. */
class Bee {
  next = 0;
  isOpen = false;
  #wasOpen = false;
  #rest: Buffer = Buffer.alloc(0);
  readonly #socket: Socket;

  constructor(address: string, path: string, opened: () => void) {
    const at = address.lastIndexOf(':');
    this.#socket = connect(Number(address.slice(at + 1)), address.slice(0, at));
    this.#socket.on('connect', () => {
      this.#socket.write(
        `GET ${path} HTTP/1.1\r\nHost: ${address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
          'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
      );
    });
    this.#socket.on('data', (part) => {
      this.#rest = this.#rest.length === 0 ? part : Buffer.concat([this.#rest, part]);
      if (!this.isOpen && !this.#handshake(opened)) return;
      while (this.#frame());
    });
    this.#socket.on('error', (error) => fail(error.message));
    this.#socket.on('close', () => {
      if (!this.#wasOpen) fail('closed before it was open');
      close('cut', this);
    });
  }

  #handshake(opened: () => void): boolean {
    const end = this.#rest.indexOf('\r\n\r\n');
    if (end < 0) return false;
    const head = this.#rest.toString('latin1', 0, end);
    if (!head.startsWith('HTTP/1.1 101 ')) fail(head.slice(0, 100));
    this.#rest = this.#rest.subarray(end + 4);
    this.isOpen = true;
    this.#wasOpen = true;
    opened();
    return true;
  }

  /** Takes one frame if it is whole. RFC 6455 section 5.2; a server's is not masked. */
  #frame(): boolean {
    const bytes = this.#rest;
    if (bytes.length < 2) return false;
    let length = (bytes[1] ?? 0) & 127;
    let from = 2;
    if (length === 126) {
      if (bytes.length < 4) return false;
      length = bytes.readUInt16BE(2);
      from = 4;
    } else if (length === 127) {
      if (bytes.length < 10) return false;
      length = Number(bytes.readBigUInt64BE(2));
      from = 10;
    }
    if (bytes.length < from + length) return false;
    const opcode = (bytes[0] ?? 0) & 15;
    if (opcode === 1) this.#text(bytes.toString('latin1', from, Math.min(from + 12, from + length)));
    else if (opcode === 8) {
      close(String(bytes.readUInt16BE(from)), this);
      this.#socket.end(GOODBYE);
    } else if (opcode !== 9) fail(`a frame with opcode ${opcode}`); // pings need no answer for so short a time
    this.#rest = bytes.subarray(from + length);
    return true;
  }

  #text(begin: string): void {
    report.messages += 1;
    if (Number.parseInt(begin, 10) !== this.next) report.wrong += 1;
    this.next += 1;
  }
}

/** Of this process, if it is the one with the sockets. */
const report: Report = { open: 0, messages: 0, least: 0, wrong: 0, closed: {}, fault: undefined };

function fail(why: string): void {
  report.fault ??= why;
}

function close(code: string, bee: Bee): void {
  if (!bee.isOpen) return;
  bee.isOpen = false;
  report.open -= 1;
  report.closed[code] = (report.closed[code] ?? 0) + 1;
}

/** Opens a few at a time, so that no queue of the system overflows. */
function run(address: string, count: number, path: string): void {
  const bees: Bee[] = [];
  const one = (): void => {
    if (bees.length >= count) return;
    bees.push(
      new Bee(address, path, () => {
        report.open += 1;
        one();
      }),
    );
  };
  for (let n = 0; n < AT_ONCE; n += 1) one();
  setInterval(() => {
    report.least = bees.reduce((least, { next }) => Math.min(least, next), Number.POSITIVE_INFINITY);
    process.stdout.write(`${JSON.stringify(report)}\n`);
  }, 50);
  process.stdin.resume().on('end', () => process.exit(0));
}

const AT_ONCE = 100;
/** A close with 1001, masked with zeros. */
const GOODBYE = Buffer.from([0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9]);

const [, self, address, count, path] = process.argv;
if (self === fileURLToPath(import.meta.url) && address !== undefined)
  run(address, Number(count), path ?? '/');
