/**
 * differences: all that the two engines do not do alike, in one table. Tests and docs/guide/operate.md go by it.
 *
 * Seen with uWebSockets.js as built for Node 20 and with Node 20. Behind the gateway's own edge none of {@link BYTES} is
 * met: the edge sends canonical HTTP/1.1, one request at a time. {@link FRAMES} are met there too: the edge moves the bytes of a WebSocket as they are.
 */
import type { Engine } from './load.js';

/** The status of the first answer; or the connection is closed without one; or nothing happens for some time. */
export type Outcome = number | 'closed' | 'silent';

/** What a client sends or does, and what becomes of it. */
export interface Difference extends Record<Engine, Outcome | string> {
  what: string;
}

/** Bytes that are answered differently. `silent` ends with a close after 10 s. */
export const BYTES = {
  http10: { what: 'HTTP/1.0', uws: 505, node: 200 },
  bareLf: { what: 'lines that end with a bare LF', uws: 505, node: 400 },
  absoluteForm: { what: 'GET http://host/path', uws: 505, node: 400 },
  asterisk: { what: 'OPTIONS *', uws: 505, node: 400 },
  connect: { what: 'CONNECT', uws: 505, node: 'closed' },
  noHost: { what: 'no Host', uws: 'silent', node: 400 },
  foldedField: { what: 'a field on two lines', uws: 'silent', node: 400 },
  spaceBeforeColon: { what: 'a space between name and colon', uws: 'silent', node: 400 },
  controlCharacter: { what: 'a control character in a value', uws: 'silent', node: 400 },
  underscore: { what: 'an underscore in the name of a field', uws: 'silent', node: 200 },
  manyFields: { what: 'more than 100 fields', uws: 'silent', node: 431 },
  unknownMethod: { what: 'a method nobody registered', uws: 200, node: 400 },
  lowerCaseMethod: { what: 'get in lower case', uws: 200, node: 400 },
  trailers: { what: 'trailers after a chunked body', uws: 505, node: 200 },
  requestInBody: { what: 'two lengths that disagree, and a request in between', uws: 'closed', node: 400 },
  proxyHeader: { what: 'a PROXY v2 header; the address in it is not used', uws: 200, node: 400 },
  pipelined: { what: 'a request before the answer to the one before', uws: 'closed', node: 200 },
} as const satisfies Record<string, Difference & Record<Engine, Outcome>>;

/** What else differs. */
export const HABITS = {
  earlyAnswer: {
    what: 'an answer before the body was read',
    uws: 'the rest is thrown away and the connection goes on',
    node: 'the connection closes',
  },
  closeByApp: {
    what: '`connection: close` on an answer in parts, without a body, or over 12 KiB',
    uws: 'is said; the client closes',
    node: 'the server closes',
  },
  halfClosed: {
    what: 'a client that ends its side before the answer',
    uws: 'is taken to be gone',
    node: 'gets its answer',
  },
  slowHead: {
    what: 'a head or an idle connection',
    uws: 'closed after 10 s',
    node: 'closed after 10 to 12 s',
  },
  slowBody: {
    what: 'a body',
    uws: 'closed below 16 KiB/s over 10 s',
    node: 'closed after 300 s',
  },
  slowReader: { what: 'a reader that stops', uws: 'closed after 30 s', node: 'waited for' },
  edgeBytes: {
    what: 'a byte above 0x7f at either end of a value',
    uws: 'is cut off, as blanks are',
    node: 'is kept',
  },
  headInOneRead: {
    what: 'a head over 32 KiB',
    uws: '431 if it came in one read, else its bare 431',
    node: 'its bare 431',
  },
  otherUpgrade: {
    what: 'Upgrade to something else, where there are WebSockets',
    uws: 'is answered as any request',
    node: 'is answered without its body, and closed',
  },
  refusedUpgrade: {
    what: 'the connection of a WebSocket that is refused',
    uws: 'keep-alive',
    node: 'close',
  },
  smallMessage: {
    what: 'a short message, where compression was agreed on',
    uws: 'is compressed',
    node: 'is compressed from 1 KiB on',
  },
  registeredClose: {
    what: 'a WebSocket that its client closes with 3000 to 3999: the code the app hears',
    uws: '1006',
    node: 'the same',
  },
  largeMessage: { what: 'a WebSocket message over maxPayload', uws: 'close 1006', node: 'close 1009' },
  idleSocket: { what: 'the timeout of a WebSocket', uws: 'rounded to 4 s', node: 'rounded to 2 s' },
  endedThread: {
    what: 'a thread that is ended in the turn in which another request comes',
    uws: 'the process ends',
    node: 'the thread ends',
  },
} as const satisfies Record<string, Difference>;

/** What a difference between frames comes to, by the Autobahn test suite and RFC 6455. */
export type Verdict = 'allowed' | 'NON-STRICT' | 'UNIMPLEMENTED' | 'fault of the library';

/** Frames, what each engine makes of them, and what the one that differs from the suite's expectation gets for it. */
export interface FrameDifference extends Record<Engine, string> {
  what: string;
  verdict: Verdict;
  /** Cases of test/app/frames-cases.ts that uWebSockets.js fails by it, and exactly how. */
  seen?: Readonly<Record<string, string>>;
}

/** Frames of WebSockets. Where both say the same, neither is as strict as the suite can be. */
export const FRAMES = {
  reason: {
    what: 'a frame that breaks the protocol, text that is no UTF-8, a message over maxPayload',
    uws: 'the connection ends without a close frame',
    node: 'close 1002, 1007, 1009',
    verdict: 'allowed',
  },
  lostAnswers: {
    what: 'answers to what came in one read with such a frame',
    uws: 'may be lost',
    node: 'are sent',
    verdict: 'NON-STRICT',
  },
  lateUtf8: {
    what: 'a fragment of text that is no UTF-8 (6.4)',
    uws: 'is seen when the message is whole',
    node: 'is seen when the message is whole',
    verdict: 'NON-STRICT',
  },
  noCode: {
    what: 'a close with a code that must not be sent, one byte, or a reason that is no UTF-8',
    uws: 'a close without a code',
    node: 'close 1002 or 1007',
    verdict: 'allowed',
  },
  registeredCode: {
    what: 'a close with a code from 3000 to 3999',
    uws: 'a close without a code',
    node: 'a close with the same code',
    verdict: 'allowed',
    seen: {
      '7.7/3000': '0 of 0 frames, then none, not 3000',
      '7.7/3999': '0 of 0 frames, then none, not 3999',
      '7.7/3000 with a reason': '0 of 0 frames, then none, not 3000',
      '7.7/3999 with a reason': '0 of 0 frames, then none, not 3999',
    },
  },
  unmasked: {
    what: 'a frame without a mask',
    uws: 'what follows its header is taken for the mask',
    node: 'close 1002',
    verdict: 'fault of the library',
    seen: {
      unmasked: "1 of 0 frames, then goes on; frame 0 is t:'ellH",
      'unmasked ping': '1 of 0 frames, then goes on; frame 0 is pong:',
      'unmasked close': '0 of 0 frames, then 1000, not 1002',
    },
  },
  nestedBytes: {
    what: 'a binary message that begins inside of another',
    uws: 'is taken for more of it',
    node: 'close 1002',
    verdict: 'fault of the library',
    seen: { '5.18 bytes': '1 of 0 frames, then goes on; frame 0 is b:fragment1fragment2' },
  },
  window: {
    what: 'an offer of permessage-deflate with server_max_window_bits (13.3 to 13.7)',
    uws: 'is not taken; the next one of the list may be',
    node: 'is taken',
    verdict: 'UNIMPLEMENTED',
  },
  manyPings: {
    what: 'many pings of a client that takes no pong',
    uws: 'beyond maxBackpressure they are not answered',
    node: 'the connection ends when 60 pongs wait, as they also do within one read',
    verdict: 'allowed',
  },
} as const satisfies Record<string, FrameDifference>;
