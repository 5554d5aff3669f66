/**
 * frames-run: an app that echoes, a client of bytes that plays a case to it, and what is wrong with what came of it.
 */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { FRAMES, type FrameDifference } from '../../ts/http/differences.js';
import type { Engine } from '../../ts/http/load.js';
import { folder } from '../kit/binary.js';
import { closeFrame, Frames, OPCODE } from '../kit/frames.js';
import { portOf } from '../kit/gateway.js';
import { site } from '../kit/site.js';
import { type Carrier, type Tunnel, tunnel } from '../kit/tunnel.js';
import type { Case, Want } from './frames-cases.js';

/** Opens a WebSocket to the app. */
export type Open = (carrier: Carrier, fields?: Record<string, string>) => Promise<Tunnel>;

/** Options of the app; by default a message may be as large as any of group 9, and as much may wait. */
export interface EchoOptions {
  maxPayload?: number;
  maxBackpressure?: number;
  compression?: boolean;
}

/** A gateway before an app that sends each message back. */
export async function echo(t: TestContext, engine: Engine, options: EchoOptions = {}): Promise<Open> {
  const all = { maxPayload: MAX_PAYLOAD, maxBackpressure: 64 << 20, ...options };
  const module = `
    export default {
      fetch: () => 'no socket',
      websocket: { ...${JSON.stringify(all)}, message(socket, message) { socket.send(message); } },
    };`;
  const listeners = [
    { name: 'web', bind: '127.0.0.1:0', http2: { cleartext: true } },
    { name: 'tls', bind: '127.0.0.1:0', tls: 'dev' },
  ] as never;
  const running = await site(t, module, { engine, more: { listeners, state_dir: await folder(t) } });
  const secure = portOf(running.gateway, 'tls');
  return async (carrier, fields) => {
    const got = await tunnel(t, carrier, carrier === 'tls' ? secure : running.port, '/', fields);
    assert.ok(got.isOpen, `${carrier}: ${got.status} ${got.body}`);
    return got;
  };
}

/** Bytes of the largest message that the app takes. */
export const MAX_PAYLOAD = (16 << 20) + 1;

/** What became of a connection. */
export interface Result {
  got: Want[];
  /**
   * The code of the other side's close frame, `none` for one without, `cut` for an end without a close frame; `goes on` if more came than should,
   * or `hangs`.
   */
  end: number | 'none' | 'cut' | 'goes on' | 'hangs';
  /** It ended before the last piece was sent. */
  early: boolean;
}

/** Sends what the case says, and reads until the other side ends or does what it should not. */
export async function run(
  open: Tunnel,
  { send, chop, want, ends, isFast }: Omit<Case, 'id'>,
): Promise<Result> {
  const frames = new Frames(open.stream, open.early);
  const result: Result = { got: [], end: 'hangs', early: false };
  let isOver = false;
  const saysGoodbye = 'code' in ends && !closes(send);
  const read = (async () => {
    while (!isOver) {
      const f = await frames.next();
      if (f === undefined) result.end = 'cut';
      else if (f.opcode === OPCODE.close)
        result.end = f.payload.length >= 2 ? f.payload.readUInt16BE(0) : 'none';
      else {
        const kind = KINDS[f.opcode];
        if (kind === undefined || !f.fin || f.rsv !== 0) throw new Error(`a frame ${JSON.stringify(f)}`);
        result.got.push([kind, f.payload]);
        // A client that is done says goodbye, once it has what it waits for.
        if (saysGoodbye && result.got.length === want.length) open.stream.write(closeFrame(1000));
        if (result.got.length <= want.length) continue;
        result.end = 'goes on';
      }
      isOver = true;
    }
  })();
  for (const [n, piece] of send.entries()) {
    if (isFast === true && n === send.length - 1) {
      await soon(read, FAST_MS);
      result.early = isOver;
    }
    if (isOver) break;
    await write(open, piece, chop ?? piece.length);
  }
  if (saysGoodbye && want.length === 0) open.stream.write(closeFrame(1000));
  await soon(read, PATIENCE_MS);
  open.cut();
  return result;
}

const KINDS: Record<number, Want[0]> = { [OPCODE.text]: 't', [OPCODE.bytes]: 'b', [OPCODE.pong]: 'pong' };

/** Waits until it has happened, for so many milliseconds at most; says whether it has. */
export async function soon(what: Promise<void>, atMost: number): Promise<boolean> {
  const late = new AbortController();
  const waited = pause(atMost, false, { signal: late.signal }).catch(() => false);
  const happened = what.then(() => true);
  return Promise.race([happened, waited]).finally(() => late.abort());
}

/** A close frame of the case's own is among what it sends. */
function closes(send: readonly Buffer[]): boolean {
  const last = send.at(-1);
  return last !== undefined && send.length <= 2 && last.length < 300 && hasClose(last);
}

function hasClose(piece: Buffer): boolean {
  for (let at = 0; at + 6 <= piece.length; at += 6 + ((piece[at + 1] ?? 0) & 127)) {
    if (((piece[at] ?? 0) & 15) === OPCODE.close) return true;
  }
  return false;
}

/** In writes of `chop` bytes, as fast as the other side takes them; ends early if that ends. */
export async function write({ stream }: Tunnel, piece: Buffer, chop = piece.length): Promise<void> {
  for (let at = 0; at < piece.length; at += chop) {
    if (stream.destroyed || stream.writableEnded) return;
    if (!stream.write(piece.subarray(at, at + chop))) await drained(stream);
    else if (at % (64 * chop) === 0) await new Promise(setImmediate);
  }
}

/** Resolves when more may be written, or no more can be. */
export function drained(stream: Tunnel['stream']): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      stream.off('drain', done).off('close', done);
      resolve();
    };
    stream.on('drain', done).on('close', done);
  });
}

/** A frame in a few words. */
export const text = ([kind, payload]: Want): string =>
  `${kind}:${payload.length > 40 ? `${payload.length} bytes, ${payload.subarray(0, 8)}…` : payload.toString('latin1')}`;

/** The same frame. */
export const same = (a: Want | undefined, b: Want | undefined): boolean =>
  a !== undefined && b !== undefined && a[0] === b[0] && a[1].equals(b[1]);

/** What is wrong with a result that is not as the suite, and {@link FRAMES}, say; nothing if it is. */
export function fault(engine: Engine, one: Case, result: Result): string | undefined {
  const why = against(engine, one, result);
  const known = engine === 'uws' ? SEEN.get(one.id) : undefined;
  return why === known ? undefined : `${one.id}: ${why ?? 'nothing is wrong any more'}`;
}

function against(
  engine: Engine,
  { want, ends, isFast }: Case,
  { got, end, early }: Result,
): string | undefined {
  const wrong = got.findIndex((one, n) => !same(one, want[n]));
  const shown = `${got.length} of ${want.length} frames, then ${end}`;
  if (wrong >= 0) return `${shown}; frame ${wrong} is ${text(got[wrong] as Want)}`;
  if (isFast === true && early) return `${shown}: it fails fast now, which FRAMES.lateUtf8 denies`;
  if ('code' in ends) {
    const code = ends.code ?? 'none';
    return got.length === want.length && end === code ? undefined : `${shown}, not ${code}`;
  }
  // FRAMES.reason, noCode and lostAnswers.
  const isEnd =
    engine === 'uws' ? end === (ends.isClose ? 'none' : 'cut') : ends.fails.includes(end as number);
  const isAll = engine === 'uws' || got.length === want.length;
  return isEnd && isAll ? undefined : `${shown}, not ${ends.fails.join(' or ')}`;
}

const SEEN = new Map<string, string>(
  Object.values<FrameDifference>(FRAMES).flatMap(({ seen }) => Object.entries(seen ?? {})),
);

/** Ids of {@link FRAMES}. */
export const KNOWN: readonly string[] = [...SEEN.keys()];

/** Runs all, some at a time. */
export async function eachOf<T>(all: readonly T[], run: (one: T) => Promise<void>): Promise<void> {
  const rest = [...all];
  const next = async (): Promise<void> => {
    for (let one = rest.shift(); one !== undefined; one = rest.shift()) await run(one);
  };
  await Promise.all(Array.from({ length: 8 }, next));
}

const PATIENCE_MS = 10_000;
/** As long as an endpoint that looks at each fragment gets to say so. */
const FAST_MS = 300;
