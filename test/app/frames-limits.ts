/**
 * frames-limits: the cases of the Autobahn test suite's groups 9 (sizes), 10 (automatic fragments), 12 and 13 (permessage-deflate), by its
 * numbers. The sizes of 9 are the suite's, to 16 MiB; what it says a thousand times in 9.7 and 12 is said as often or a hundred times.
 */
import { constants, deflateRawSync, inflateRawSync } from 'node:zlib';
import { frame, OPCODE } from '../kit/frames.js';
import type { Case, Want } from './frames-cases.js';

const { more, text, bytes } = OPCODE;
const KIB = 1024;
const MIB = 1024 * KIB;

const of = (kind: 't' | 'b', payload: Buffer): Want => [kind, payload];
const opcodeOf = (kind: 't' | 'b'): number => (kind === 't' ? text : bytes);
const KINDS = ['t', 'b'] as const;

/** A payload of this length, the same at each run. */
function filled(length: number): Buffer {
  return Buffer.alloc(length, 'BAsd7&jh23 0123456789 abcdefghijklmnopqrstuvwxyz\n');
}

/** A message in fragments of `size` bytes. */
function cut(kind: 't' | 'b', payload: Buffer, size: number): Buffer {
  const frames: Buffer[] = [];
  for (let at = 0; at < payload.length; at += size) {
    const fin = at + size >= payload.length;
    frames.push(frame(at === 0 ? opcodeOf(kind) : more, payload.subarray(at, at + size), { fin }));
  }
  return Buffer.concat(frames);
}

/** Made when it is run: together they are hundreds of megabytes. */
export type Later = readonly [id: string, make: () => Omit<Case, 'id'>];

const one = (
  kind: 't' | 'b',
  length: number,
  send: (payload: Buffer) => Buffer,
  chop?: number,
): (() => Omit<Case, 'id'>) => {
  return () => {
    const payload = filled(length);
    const made = { send: [send(payload)], want: [of(kind, payload)], ends: { code: 1000 } };
    return chop === undefined ? made : { ...made, chop };
  };
};

function sizes(): Later[] {
  const whole = [64 * KIB, 256 * KIB, MIB, 4 * MIB, 8 * MIB, 16 * MIB];
  const fragments = [64, 256, KIB, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, MIB, 4 * MIB];
  const chops = [64, 128, 256, 512, KIB, 2 * KIB];
  const many = [0, 16, 64, 256, KIB, 4 * KIB];
  return KINDS.flatMap((kind, k): Later[] => [
    ...whole.map(
      (n, i): Later => [`9.${1 + k}.${i + 1}`, one(kind, n, (body) => frame(opcodeOf(kind), body))],
    ),
    ...fragments.map(
      (n, i): Later => [`9.${3 + k}.${i + 1}`, one(kind, 4 * MIB, (body) => cut(kind, body, n))],
    ),
    ...chops.map(
      (n, i): Later => [`9.${5 + k}.${i + 1}`, one(kind, MIB, (body) => frame(opcodeOf(kind), body), n)],
    ),
    ...many.map(
      (n, i): Later => [
        `9.${7 + k}.${i + 1}`,
        () => {
          const payload = filled(n);
          const message = frame(opcodeOf(kind), payload);
          const want = Array.from({ length: 1000 }, () => of(kind, payload));
          return { send: [Buffer.concat(want.map(() => message))], want, ends: { code: 1000 } };
        },
      ],
    ),
  ]);
}

/** Groups 9 and 10. */
export const LIMITS: readonly Later[] = [
  ...sizes(),
  ['10.1.1', one('t', 65_536, (body) => cut('t', body, 1300))],
];

/** An offer of permessage-deflate. */
export interface Offer {
  id: string;
  offer: string;
  /** False where uWebSockets.js takes none of it: FRAMES.window. */
  uws?: boolean;
}

/** The suite's offers of groups 12 and 13, and some more. */
export const OFFERS: readonly Offer[] = [
  { id: '12', offer: 'permessage-deflate' },
  { id: '13.1', offer: 'permessage-deflate; client_no_context_takeover' },
  { id: '13.2', offer: 'permessage-deflate; server_no_context_takeover' },
  { id: '13/client', offer: 'permessage-deflate; client_max_window_bits' },
  { id: '13/client 10', offer: 'permessage-deflate; client_max_window_bits=10' },
  { id: '13.3', offer: 'permessage-deflate; server_max_window_bits=9', uws: false },
  { id: '13.4', offer: 'permessage-deflate; server_max_window_bits=15', uws: false },
  {
    id: '13.5',
    offer: 'permessage-deflate; server_no_context_takeover; server_max_window_bits=9',
    uws: false,
  },
  {
    id: '13.6',
    offer: 'permessage-deflate; server_no_context_takeover; server_max_window_bits=15',
    uws: false,
  },
  {
    id: '13.7',
    offer:
      'permessage-deflate; server_no_context_takeover; server_max_window_bits=9, permessage-deflate; server_no_context_takeover, permessage-deflate',
  },
  { id: '13/browsers', offer: 'permessage-deflate; client_max_window_bits, x-other' },
];

/** Parameters by name, of what was agreed on; undefined without the extension. */
export function agreed(field: string | undefined): Map<string, number | true> | undefined {
  const [name, ...rest] = (field ?? '').split(';').map((word) => word.trim());
  if (name !== 'permessage-deflate') return undefined;
  return new Map(
    rest.map((word) => {
      const [key = '', value] = word.split('=');
      return [key, value === undefined ? true : Number(value)];
    }),
  );
}

/**
 * Messages of group 12 for one connection: their sizes, kinds and fragments; each is a context of its own, as a client may choose.
 * Without `bits` they are not compressed.
 */
export function deflated(bits: number | undefined): { send: Buffer; want: Want[] } {
  const want: Want[] = [];
  const send: Buffer[] = [];
  for (const length of [0, 1, 16, 64, 125, 126, 256, 1024, 4096, 8192, 16_384, 32_768, 65_536, 131_072]) {
    for (const [n, kind] of KINDS.entries()) {
      for (const size of [1 << 20, 128]) {
        const payload = n === 0 ? filled(length) : noise(length);
        const packed = bits === undefined ? payload : pack(payload, bits);
        want.push(of(kind, payload));
        const pieces = Math.max(1, Math.ceil(packed.length / size));
        for (let i = 0; i < pieces; i += 1) {
          const shape = { fin: i === pieces - 1, rsv: i === 0 && bits !== undefined ? 4 : 0 };
          send.push(frame(i === 0 ? opcodeOf(kind) : more, packed.subarray(i * size, (i + 1) * size), shape));
        }
      }
    }
  }
  // Not compressed, which either side may do with any message.
  send.push(frame(text, 'plain'));
  want.push(of('t', Buffer.from('plain')));
  return { send: Buffer.concat(send), want };
}

/** What does not compress, the same at each run. */
function noise(length: number): Buffer {
  let seed = 0x2545f491;
  return Buffer.from(
    Array.from({ length }, () => {
      seed ^= seed << 13;
      seed ^= seed >>> 17;
      seed ^= seed << 5;
      return seed & 255;
    }),
  );
}

/** RFC 7692 section 7.2.1. */
function pack(payload: Buffer, bits = 15): Buffer {
  const raw = deflateRawSync(payload, { windowBits: bits, finishFlush: constants.Z_SYNC_FLUSH });
  return raw.subarray(0, raw.length - 4);
}

/** As many MiB of zeros as {@link pack} would have made of them, a kilobyte each, without holding them. */
export function bomb(mebibytes: number): Buffer {
  // A full flush forgets what came before, so the block may be said again.
  const block = deflateRawSync(Buffer.alloc(MIB), { finishFlush: constants.Z_FULL_FLUSH });
  const all = Buffer.concat(Array.from({ length: mebibytes }, () => block));
  return all.subarray(0, all.length - TAIL.length);
}

/** RFC 7692 section 7.2.2; fails if it needs a larger window. */
export function unpack(payload: Buffer, bits = 15): Buffer {
  const whole = Buffer.concat([payload, TAIL]);
  return inflateRawSync(whole, { windowBits: bits, finishFlush: constants.Z_SYNC_FLUSH });
}

const TAIL = Buffer.from([0, 0, 0xff, 0xff]);
