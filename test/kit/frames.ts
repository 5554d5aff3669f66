/**
 * frames: WebSocket frames as bytes, right and wrong, over any stream. RFC 6455 section 5.2.
 */
import type { Duplex } from 'node:stream';

/** What a frame means. */
export const OPCODE = { more: 0, text: 1, bytes: 2, close: 8, ping: 9, pong: 10 } as const;

/** A frame that came. */
export interface Frame {
  fin: boolean;
  /** The three reserved bits, 0 to 7; 4 is RSV1. */
  rsv: number;
  opcode: number;
  payload: Buffer;
}

/** What a client's frame is not by itself: the last of its message, without reserved bits, masked, of its true length. */
export interface Shape {
  fin?: boolean;
  rsv?: number;
  masked?: boolean;
  /** What the header claims instead of the payload's length. */
  length?: bigint;
}

/** A client's frame. */
export function frame(opcode: number, payload: string | Uint8Array = '', shape: Shape = {}): Buffer {
  const { fin = true, rsv = 0, masked = true } = shape;
  const body = Buffer.from(payload as Uint8Array);
  const length = shape.length ?? BigInt(body.length);
  const mask = masked ? 0x80 : 0;
  const first = (fin ? 0x80 : 0) | (rsv << 4) | opcode;
  let head: Buffer;
  if (length < 126n) head = Buffer.from([first, mask | Number(length)]);
  else if (length < 65_536n) {
    head = Buffer.from([first, mask | 126, 0, 0]);
    head.writeUInt16BE(Number(length), 2);
  } else {
    head = Buffer.from([first, mask | 127, 0, 0, 0, 0, 0, 0, 0, 0]);
    head.writeBigUInt64BE(length, 2);
  }
  if (!masked) return Buffer.concat([head, body]);
  for (let i = 0; i < body.length; i += 1) body[i] = (body[i] ?? 0) ^ (KEY[i & 3] ?? 0);
  return Buffer.concat([head, KEY, body]);
}

/** A close frame with a code, or a payload of its own. */
export function closeFrame(code: number | undefined, reason: string | Uint8Array = ''): Buffer {
  if (code === undefined) return frame(OPCODE.close, reason);
  return frame(
    OPCODE.close,
    Buffer.concat([Buffer.from([code >> 8, code & 255]), Buffer.from(reason as Uint8Array)]),
  );
}

/** Reads the frames of a server. */
export class Frames {
  readonly #stream: Duplex;
  #parts: Buffer[] = [];
  #have = 0;
  #need = 2;
  #isOver = false;
  #wake: (() => void) | undefined;

  constructor(stream: Duplex, early: Uint8Array = new Uint8Array(0)) {
    this.#stream = stream;
    const over = (): void => {
      this.#isOver = true;
      this.#wake?.();
    };
    this.#take(Buffer.from(early));
    stream.on('data', (part: Buffer) => this.#take(part));
    stream.on('end', over).on('close', over).on('error', over);
    stream.resume(); // it was paused behind the head
  }

  /** The next frame; none if the other side has ended, in whatever way. */
  async next(): Promise<Frame | undefined> {
    for (;;) {
      const found = this.#cut();
      if (found !== undefined || this.#isOver) return found;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
  }

  /** Resolves when the other side has ended. */
  async ended(): Promise<void> {
    while (!this.#isOver) await this.next();
    this.#stream.destroy();
  }

  #take(part: Buffer): void {
    this.#parts.push(part);
    this.#have += part.length;
    if (this.#have >= this.#need) this.#wake?.();
  }

  #cut(): Frame | undefined {
    if (this.#have < this.#need) return;
    const all =
      this.#parts.length === 1 ? (this.#parts[0] as Buffer) : Buffer.concat(this.#parts, this.#have);
    this.#parts = [all];
    let from = 2;
    let length = (all[1] ?? 0) & 127;
    if (length === 126) from = 4;
    else if (length === 127) from = 10;
    if (all.length < from) return this.#wait(from);
    if (from === 4) length = all.readUInt16BE(2);
    else if (from === 10) length = Number(all.readBigUInt64BE(2));
    if (((all[1] ?? 0) & 0x80) !== 0) throw new Error('a server does not mask');
    if (all.length < from + length) return this.#wait(from + length);
    const first = all[0] ?? 0;
    const payload = all.subarray(from, from + length);
    this.#parts = [all.subarray(from + length)];
    this.#have = all.length - from - length;
    this.#need = 2;
    return { fin: first >= 0x80, rsv: (first >> 4) & 7, opcode: first & 15, payload };
  }

  #wait(need: number): undefined {
    this.#need = need;
  }
}

const KEY = Buffer.from([0x37, 0xfa, 0x21, 0x3d]);
