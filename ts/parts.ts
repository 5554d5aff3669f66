/**
 * parts: single parts of the core for any program, without a gateway: rate limits, consistent hashing, the PROXY
 * protocol, the client's address, and the head of a request.
 *
 * ```ts
 * import { Gcra, Maglev } from 'ironsluice/parts';
 *
 * const limit = new Gcra({ count: 100, periodMs: 1000, burst: 20 });
 * if (limit.check('203.0.113.7').allowed) {
 *   const node = new Maglev(['10.0.0.1:80', '10.0.0.2:80']).pick('user:1');
 * }
 * ```
 *
 * All of it is synchronous and the gateway's own code. An object is one thread's; another thread makes its own, and
 * limits then count for themselves. Errors have a `code`, named at what throws it. A value of a wrong type, which
 * TypeScript would not compile, throws a `TypeError` or one of the addon's own codes, such as `StringExpected`.
 */
export {
  clientIp,
  Gcra,
  type GcraDecision,
  type GcraOptions,
  type HashNode,
  jumpHash,
  KetamaRing,
  Maglev,
  type ProxyEndpoint,
  type ProxyHeader,
  type ProxyHeaderOptions,
  type ProxyTlv,
  type ProxyTlvOptions,
  parseProxyHeader,
  parseRequestHead,
  Rendezvous,
  type RequestHead,
  writeProxyHeader,
} from '#bindings';

/**
 * Types of the values in a PROXY header of version 2 (`proxy-protocol.txt` section 2.2). 0xe0 to 0xef are for
 * programs' own.
 */
export const TLV = {
  /** Application protocol, as in TLS ALPN. */
  ALPN: 0x01,
  /** Host name that the client asked for, as in TLS SNI. */
  AUTHORITY: 0x02,
  /** Checksum over the whole header; written by `checksum: true`. */
  CRC32C: 0x03,
  /** Padding. */
  NOOP: 0x04,
  /** An opaque name of the connection, at most 128 bytes. */
  UNIQUE_ID: 0x05,
  /** What the client's TLS was. */
  SSL: 0x20,
  /** Network namespace. */
  NETNS: 0x30,
} as const;
