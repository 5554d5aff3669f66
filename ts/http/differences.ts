/**
 * differences: all that the two engines do not do alike, in one table. Tests and docs/guide/operate.md go by it.
 *
 * Seen with uWebSockets.js as built for Node 20 and with Node 20. Behind the gateway's own edge none of this is
 * met: the edge sends canonical HTTP/1.1, one request at a time.
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
  largeMessage: { what: 'a WebSocket message over maxPayload', uws: 'close 1006', node: 'close 1009' },
  idleSocket: { what: 'the timeout of a WebSocket', uws: 'rounded to 4 s', node: 'rounded to 2 s' },
  endedThread: {
    what: 'a thread that is ended in the turn in which another request comes',
    uws: 'the process ends',
    node: 'the thread ends',
  },
  sharedPort: { what: '`shared: true`', uws: 'always', node: 'from Node 22.12 on' },
} as const satisfies Record<string, Difference>;
