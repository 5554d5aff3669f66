/**
 * frames-cases: the cases of the Autobahn test suite's groups 1 to 7, by its numbers, for an endpoint that echoes.
 *
 * A case is the bytes that a client sends and what an endpoint does by the suite. `ends` is the code of the endpoint's close frame, or
 * `fails` with the codes that say why; the suite takes a connection that is dropped without a code for a failure as well.
 * Not here: 6.22 and 6.23, whose code points are in 6.5 to 6.20 by their kinds, and 7.13, which the suite does not judge.
 */
import { closeFrame, frame, OPCODE, type Shape } from '../kit/frames.js';

/** A frame that is to come, `t:`, `b:` or `pong:` and its payload. */
export type Want = readonly [kind: 't' | 'b' | 'pong', payload: Buffer];

export interface Case {
  id: string;
  /** What is sent, piece by piece; each in writes of `chop` bytes. */
  send: readonly Buffer[];
  chop?: number;
  want: readonly Want[];
  /** `undefined` is a close frame without a code; `isClose` if it is the payload of a close frame that fails. */
  ends: { code: number | undefined } | { fails: readonly number[]; isClose?: true };
  /** The last piece is sent only if the ones before it did not end the connection. */
  isFast?: boolean;
}

const { more, text, bytes, close, ping, pong } = OPCODE;
const of = (payload: string | Uint8Array | readonly number[]): Buffer => Buffer.from(payload as Uint8Array);
const fill = (length: number, byte = 0x2a): Buffer => Buffer.alloc(length, byte);
const clean = { code: 1000 };
const protocol = { fails: [1002] };
const utf8 = { fails: [1007] };

type More = Partial<Case>;
const good = (id: string, send: Buffer[], want: Want[], rest: More = {}): Case => ({
  id,
  send,
  want,
  ends: clean,
  ...rest,
});
const bad = (id: string, send: Buffer[], want: Want[] = [], rest: More = {}): Case => ({
  id,
  send,
  want,
  ends: protocol,
  ...rest,
});
const t = (payload: string | Uint8Array): Want => ['t', of(payload)];
const b = (payload: string | Uint8Array): Want => ['b', of(payload)];
const p = (payload: string | Uint8Array): Want => ['pong', of(payload)];
const part = (opcode: number, payload: string | Uint8Array, shape: Shape = {}): Buffer =>
  frame(opcode, payload, { fin: false, ...shape });

/** The lengths of the suite, and those around each change of the header's form. */
const LENGTHS = [
  0, 1, 2, 3, 4, 5, 7, 8, 63, 124, 125, 126, 127, 128, 129, 255, 256, 1000, 4095, 4096, 16_383, 16_384,
  65_534, 65_535, 65_536,
];

function framing(): Case[] {
  const all = LENGTHS.flatMap((length) => [
    good(`1.1/${length}`, [frame(text, fill(length))], [t(fill(length))]),
    good(`1.2/${length}`, [frame(bytes, fill(length, 0xfe))], [b(fill(length, 0xfe))]),
  ]);
  const odd = Array.from({ length: 164 }, (_, n) => n * 401).filter((length) => length <= 65_536);
  return [
    ...all,
    good('1.1.8', [frame(text, fill(65_536))], [t(fill(65_536))], { chop: 997 }),
    good('1.2.8', [frame(bytes, fill(65_536, 0xfe))], [b(fill(65_536, 0xfe))], { chop: 997 }),
    good(
      '1.1/each to 600',
      Array.from({ length: 600 }, (_, n) => frame(text, fill(n))),
      Array.from({ length: 600 }, (_, n) => t(fill(n))),
    ),
    good(
      '1.2/each 401 to 65536',
      odd.map((n) => frame(bytes, fill(n))),
      odd.map((n) => b(fill(n))),
    ),
  ];
}

function pings(): Case[] {
  const binary = of([0, 0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0, 0xff]);
  const ten = Array.from({ length: 10 }, (_, n) => `payload-${n}`);
  return [
    good('2.1', [frame(ping)], [p('')]),
    good('2.2', [frame(ping, 'Hello, world!')], [p('Hello, world!')]),
    good('2.3', [frame(ping, binary)], [p(binary)]),
    good('2.4', [frame(ping, fill(125, 0xfe))], [p(fill(125, 0xfe))]),
    bad('2.5', [frame(ping, fill(126, 0xfe))]),
    good('2.6', [frame(ping, fill(125, 0xfe))], [p(fill(125, 0xfe))], { chop: 1 }),
    good('2.7', [frame(pong)], []),
    good('2.8', [frame(pong, 'unasked')], []),
    good('2.9', [frame(pong, 'unasked'), frame(ping, 'asked')], [p('asked')]),
    good(
      '2.10',
      ten.map((one) => frame(ping, one)),
      ten.map(p),
    ),
    good(
      '2.11',
      ten.map((one) => frame(ping, one)),
      ten.map(p),
      { chop: 1 },
    ),
  ];
}

function reserved(): Case[] {
  const around = (id: string, opcode: number, shape: Shape, chop?: number): Case =>
    bad(
      id,
      [frame(text, 'Hello'), frame(opcode, opcode === ping ? '' : 'Hello', shape), frame(ping)],
      [t('Hello')],
      chop === undefined ? {} : { chop },
    );
  const opcodes = (group: string, from: number): Case[] =>
    [0, 1, 2, 3, 4].flatMap((n) => {
      const odd = from + n;
      return [
        bad(`${group}.${n + 1} alone`, [frame(odd)]),
        bad(`${group}.${n + 1} with payload`, [frame(odd, 'reserved')]),
        around(`${group}.${n + 1}`, odd, {}),
        around(`${group}.${n + 1} chopped`, odd, {}, 1),
      ];
    });
  // Behind an unmasked frame: with them it is whole, too, for an endpoint that takes its first bytes for a mask.
  const zeros = Buffer.alloc(4);
  return [
    ...[1, 2, 3, 4, 5, 6, 7].flatMap((rsv) => [
      bad(`3/text rsv ${rsv}`, [frame(text, 'Hello', { rsv })]),
      bad(`3/bytes rsv ${rsv}`, [frame(bytes, 'Hello', { rsv })]),
      bad(`3/ping rsv ${rsv}`, [frame(ping, 'Hello', { rsv })]),
      bad(`3/close rsv ${rsv}`, [frame(close, '', { rsv })]),
      around(`3/between rsv ${rsv}`, text, { rsv }),
      around(`3/chopped rsv ${rsv}`, text, { rsv }, 1),
    ]),
    ...opcodes('4.1', 3),
    ...opcodes('4.2', 11),
    bad('unmasked', [frame(text, 'Hello', { masked: false }), zeros]),
    bad('unmasked ping', [frame(ping, '', { masked: false }), zeros]),
    bad('unmasked close', [Buffer.concat([frame(close, of([0x03, 0xe8]), { masked: false }), zeros])]),
  ];
}

function fragments(): Case[] {
  const two = [part(text, 'fragment1'), frame(more, 'fragment2')];
  const whole = t('fragment1fragment2');
  const asked = [part(text, 'fragment1'), frame(ping, 'between'), frame(more, 'fragment2')];
  const five = [
    part(text, 'fragment1'),
    part(more, 'fragment2'),
    frame(ping, 'one'),
    part(more, 'fragment3'),
    part(more, 'fragment4'),
    frame(ping, 'two'),
    frame(more, 'fragment5'),
  ];
  const fifth: Want[] = [p('one'), p('two'), t('fragment1fragment2fragment3fragment4fragment5')];
  const stray = (id: string, fin: boolean, chop?: number): Case =>
    bad(id, [frame(more, 'stray', { fin }), frame(text, 'Hello')], [], chop === undefined ? {} : { chop });
  return [
    bad('5.1', [part(ping, 'fragment1'), frame(more, 'fragment2')]),
    bad('5.2', [part(pong, 'fragment1'), frame(more, 'fragment2')]),
    good('5.3', two, [whole]),
    good('5.4', [Buffer.concat(two)], [whole]),
    good('5.5', two, [whole], { chop: 1 }),
    good('5.6', asked, [p('between'), whole]),
    good('5.7', [Buffer.concat(asked)], [p('between'), whole]),
    good('5.8', asked, [p('between'), whole], { chop: 1 }),
    stray('5.9', true),
    stray('5.10', true),
    stray('5.11', true, 1),
    stray('5.12', false),
    stray('5.13', false),
    stray('5.14', false, 1),
    bad('5.15', [...two, part(more, 'fragment3'), frame(text, 'fragment4')], [whole]),
    bad('5.16', [part(more, 'fragment1'), frame(text, 'fragment2'), part(more, 'fragment3')]),
    bad('5.17', [frame(more, 'fragment1'), frame(text, 'fragment2'), frame(more, 'fragment3')]),
    bad('5.18', [part(text, 'fragment1'), frame(text, 'fragment2')]),
    bad('5.18 bytes', [part(bytes, 'fragment1'), frame(bytes, 'fragment2')]),
    good('5.19', five, fifth),
    good('5.20', [Buffer.concat(five)], fifth),
    good('5/empty fragments', [part(bytes, ''), part(more, ''), frame(more, '')], [b('')]),
    good(
      '5/1000 fragments',
      [part(text, ''), ...Array.from({ length: 998 }, () => part(more, 'x')), frame(more, '')],
      [t(fill(998, 0x78))],
    ),
  ];
}

/** Byte strings, each of which is one message; what they are by a strict decoder is what an endpoint must find. */
const SEQUENCES: readonly (string | number[])[] = [
  'Hello-µ@ßöäüàá-UTF-8!!',
  'κόσμε',
  '\u0000',
  '\u007f',
  '\u0080',
  '\u07ff',
  '\u0800',
  '\ud7ff',
  '\ue000',
  '\ufffd',
  '\ufffe',
  '\uffff',
  '\u{10000}',
  '\u{1fffe}',
  '\u{1ffff}',
  '\u{fffff}',
  '\u{100000}',
  '\u{10fffe}',
  '\u{10ffff}',
  '\ufeff',
  '\ufeff\ufeffx',
  '中文👋🏽e\u0301',
  [0xce, 0xba, 0xe1, 0xbd, 0xb9, 0xcf, 0x83, 0xce, 0xbc, 0xce, 0xb5, 0xed, 0xa0, 0x80, 0x65, 0x64],
  [0x80],
  [0xbf],
  [0x80, 0xbf],
  [0x80, 0xbf, 0x80, 0xbf, 0x80, 0xbf],
  [0xc0, 0x20],
  [0xdf, 0x20],
  [0xe0, 0x20],
  [0xef, 0x20],
  [0xf0, 0x20],
  [0xf7, 0x20],
  [0xc0],
  [0xdf],
  [0xe0, 0x80],
  [0xef, 0xbf],
  [0xf0, 0x80, 0x80],
  [0xf7, 0xbf, 0xbf],
  [0xce, 0xba, 0xe1, 0xbd],
  [0xfe],
  [0xff],
  [0xfe, 0xfe, 0xff, 0xff],
  [0xc0, 0xaf],
  [0xe0, 0x80, 0xaf],
  [0xf0, 0x80, 0x80, 0xaf],
  [0xf8, 0x80, 0x80, 0x80, 0xaf],
  [0xfc, 0x80, 0x80, 0x80, 0x80, 0xaf],
  [0xc1, 0xbf],
  [0xe0, 0x9f, 0xbf],
  [0xf0, 0x8f, 0xbf, 0xbf],
  [0xf8, 0x87, 0xbf, 0xbf, 0xbf],
  [0xfc, 0x83, 0xbf, 0xbf, 0xbf, 0xbf],
  [0xc0, 0x80],
  [0xe0, 0x80, 0x80],
  [0xf0, 0x80, 0x80, 0x80],
  [0xf4, 0x90, 0x80, 0x80],
  [0xf5, 0x80, 0x80, 0x80],
  [0xf7, 0xbf, 0xbf, 0xbf],
  [0xf8, 0x88, 0x80, 0x80, 0x80],
  [0xfc, 0x84, 0x80, 0x80, 0x80, 0x80],
  [0xed, 0xa0, 0x80],
  [0xed, 0xad, 0xbf],
  [0xed, 0xae, 0x80],
  [0xed, 0xaf, 0xbf],
  [0xed, 0xb0, 0x80],
  [0xed, 0xbf, 0xbf],
  [0xed, 0xa0, 0x80, 0xed, 0xb0, 0x80],
  [0xed, 0xaf, 0xbf, 0xed, 0xbf, 0xbf],
];

function isValid(payload: Buffer): boolean {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(payload);
    return true;
  } catch {
    return false;
  }
}

/** A frame for each byte. */
function single(payload: Buffer): Buffer[] {
  const frames = [...payload].map((byte, n) => frame(n === 0 ? text : more, of([byte]), { fin: false }));
  return [...frames, frame(payload.length === 0 ? text : more)];
}

function unicode(): Case[] {
  const begin = of([0xce, 0xba, 0xe1, 0xbd, 0xb9, 0xcf, 0x83, 0xce, 0xbc, 0xce, 0xb5]);
  const fast = (id: string, wrong: number[], cut: number): Case => {
    const all = [...wrong];
    const send = [
      part(text, begin),
      part(more, of(all.slice(0, cut))),
      frame(more, of([...all.slice(cut), 0x65])),
    ];
    return { id, send, want: [], ends: utf8, isFast: true };
  };
  return [
    good('6.1.1', [frame(text)], [t('')]),
    good('6.1.2', [part(text, ''), part(more, ''), frame(more)], [t('')]),
    good('6.1.3', [part(text, ''), part(more, 'middle'), frame(more)], [t('middle')]),
    fast('6.4.1', [0xf4, 0x90, 0x80, 0x80], 4),
    fast('6.4.2', [0xf4, 0x90, 0x80, 0x80], 2),
    fast('6.4.3', [0xed, 0xa0, 0x80], 3),
    fast('6.4.4', [0xc0, 0x80], 1),
    ...SEQUENCES.flatMap((one): Case[] => {
      const payload = of(one);
      const name = typeof one === 'string' ? JSON.stringify(one) : payload.toString('hex');
      const isGood = isValid(payload);
      const rest = isGood ? { want: [t(payload)], ends: clean } : { want: [], ends: utf8 };
      return [
        { id: `6/${name}`, send: [frame(text, payload)], ...rest },
        { id: `6/${name} chopped`, send: [frame(text, payload)], chop: 1, ...rest },
        { id: `6/${name} a frame a byte`, send: single(payload), ...rest },
        good(`6/${name} as bytes`, [frame(bytes, payload)], [b(payload)]),
      ];
    }),
  ];
}

/** Codes that an endpoint takes from its peer, and those that it does not: RFC 6455 section 7.4. */
const CODES = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999];
const NO_CODES = [0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65_535];

function closing(): Case[] {
  const ends = (id: string, send: Buffer[], code: number | undefined, want: Want[] = []): Case => ({
    id,
    send,
    want,
    ends: { code },
  });
  const refused = (id: string, one: Buffer): Case =>
    bad(id, [one], [], { ends: { fails: [1002], isClose: true } });
  const hello = frame(text, 'Hello');
  return [
    ends('7.1.1', [hello, closeFrame(1000)], 1000, [t('Hello')]),
    ends('7.1.2', [Buffer.concat([closeFrame(1000), closeFrame(1000)])], 1000),
    ends('7.1.3', [Buffer.concat([closeFrame(1000), frame(ping)])], 1000),
    ends('7.1.4', [Buffer.concat([closeFrame(1000), hello])], 1000),
    ends(
      '7.1.5',
      [Buffer.concat([part(text, 'fragment1'), closeFrame(1000), frame(more, 'fragment2')])],
      1000,
    ),
    ends('7.1.6', [frame(text, fill(262_144)), Buffer.concat([hello, closeFrame(1000), frame(ping)])], 1000, [
      t(fill(262_144)),
      t('Hello'),
    ]),
    ends('7.3.1', [frame(close)], undefined),
    refused('7.3.2', frame(close, 'a')),
    ends('7.3.3', [closeFrame(1000)], 1000),
    ends('7.3.4', [closeFrame(1000, 'Hello World!')], 1000),
    ends('7.3.5', [closeFrame(1000, fill(123))], 1000),
    bad('7.3.6', [closeFrame(1000, fill(124))]),
    {
      id: '7.5.1',
      send: [closeFrame(1000, of([0xce, 0xba, 0xed, 0xa0, 0x80]))],
      want: [],
      ends: { fails: [1007, 1002], isClose: true },
    },
    bad('7/a close in fragments', [part(close, '')]),
    ...CODES.map((code) => ends(`7.7/${code}`, [closeFrame(code)], code)),
    ...CODES.map((code) => ends(`7.7/${code} with a reason`, [closeFrame(code, 'why')], code)),
    ...NO_CODES.map((code) => refused(`7.9/${code}`, closeFrame(code))),
  ];
}

/** In the order of the suite. */
export const CASES: readonly Case[] = [
  ...framing(),
  ...pings(),
  ...reserved(),
  ...fragments(),
  ...unicode(),
  ...closing(),
];
