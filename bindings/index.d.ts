/* Generated from bindings/src by the build; do not edit. */

/**
 * A rate limit of many keys (GCRA, ITU-T I.371), the one behind the filter `rate_limit`. Its keys are
 * this object's own: another object, in this thread or in another, counts for itself.
 */
export declare class Gcra {
  /** Throws `bad_rate`, `bad_capacity`. */
  constructor(options: GcraOptions)
  /**
   * Decides for a key, and counts `cost` (default 1) if it is allowed. A cost of 0 asks only.
   *
   * `nowMs`, for tests, is the time in milliseconds since any start, in place of the clock: all calls
   * of an object give it or none. Throws `bad_argument` for a cost that is no whole number and for a
   * time outside 0 to 10^13.
   */
  check(key: string | Uint8Array, cost?: number, nowMs?: number): GcraDecision
}

/**
 * All faults of a config, JSON, and of the certificates that it names, or what it says to this side. `folder` is where
 * relative paths begin, by default the working directory. A certificate that has ended is a fault only if
 * `is_strict`. Never throws for a config's sake.
 */
export declare function checkConfig(json: string, folder?: string | undefined | null, isStrict?: boolean | undefined | null): Check

/**
 * Guards this thread: call it before a server is opened. `unix` is the path at which it will
 * listen, else `port` its TCP port. False if this program lacks what the guard needs.
 */
export declare function guard(unix?: string | undefined | null, port?: number | undefined | null): boolean

/**
 * Jump hash (Lamping and Veach 2014): which of `buckets`, numbered from 0, owns a key, without any
 * table. Buckets come and go at the end only. Throws `bad_argument` unless `buckets` is 1 to 2^32 - 1.
 */
export declare function jumpHash(key: string | Uint8Array, buckets: number): number

/**
 * Ketama's ring: the node that libketama and clients of memcached that speak it would pick. 160 points
 * a node of average weight, from MD5.
 */
export declare class KetamaRing {
  /**
   * At most 16 384 nodes; libketama's names are `IP:port`. A weight below 1/40 of the average has no
   * point. Throws `bad_nodes`.
   */
  constructor(nodes: Array<string | HashNode>)
  /** The name of the node that owns a key. */
  pick(key: string | Uint8Array): string
  /** The same with bounded loads: see `Maglev.pickBounded`. */
  pickBounded(key: string | Uint8Array, loads: Record<string, number>, eps: number): string
}

/**
 * Maglev (Eisenbud et al. 2016): a table that gives each key a node, evenly, and moves few keys when
 * nodes change. Every machine with the same nodes and size gives the same answers.
 */
export declare class Maglev {
  /**
   * `size`, a prime up to 5 000 011, is the number of slots, of 2 bytes each. Default: 65 537, good to
   * 650 nodes; at most 65 535 nodes. Throws `bad_nodes`, `bad_size`.
   */
  constructor(nodes: Array<string | HashNode>, size?: number)
  /** The name of the node that owns a key. */
  pick(key: string | Uint8Array): string
  /**
   * The same with bounded loads (Mirrokni et al. 2016): no node takes a key if it would then hold more
   * than `1 + eps` times its share of all `loads`, which are whole numbers by name, 0 for what is not
   * named; the next one does. Throws `bad_argument` for a load, and unless `eps` is above 0 and at
   * most 1000.
   */
  pickBounded(key: string | Uint8Array, loads: Record<string, number>, eps: number): string
}

/**
 * Reads the PROXY header (HAProxy's `proxy-protocol.txt`) that the bytes of a connection begin with.
 *
 * `undefined` while it is not complete: call again with more. Throws `bad_proxy_header` at the first byte
 * that cannot belong to one; the message names why. At most 107 bytes in version 1 and 4112 in version 2.
 */
export declare function parseProxyHeader(buffer: Uint8Array): ProxyHeader | undefined

/**
 * Reads the head of an HTTP/1 request (RFC 9112) that the bytes begin with: one meaning, or none.
 *
 * `undefined` while it is not complete: call again with more. Throws the code of the refusal, such as
 * `bad_line_end`, with the `status` that a server would answer, such as 400, as a property. At most 32 KiB,
 * 100 fields, and 8 KiB of target.
 */
export declare function parseRequestHead(buffer: Uint8Array): RequestHead | undefined

/**
 * Rendezvous hashing (Thaler and Ravishankar 1998), with weights by the logarithmic method: shares are
 * exactly by weight, and a change moves only keys of the node that changed. A pick looks at every
 * node: for tens of them.
 */
export declare class Rendezvous {
  /** At most 65 535 nodes. Throws `bad_nodes`. */
  constructor(nodes: Array<string | HashNode>)
  /** The name of the node that owns a key. */
  pick(key: string | Uint8Array): string
  /** The same with bounded loads: see `Maglev.pickBounded`. */
  pickBounded(key: string | Uint8Array, loads: Record<string, number>, eps: number): string
}

/**
 * Takes the sockets at a path away from the thread that has them, which must not run meanwhile: it is
 * stuck, or it is the caller. Returns how many.
 */
export declare function quiet(unix: string): number

/**
 * The address of the client behind trusted proxies, by the walk of the filter `client_ip`: from the right
 * of X-Forwarded-For, up to the first address that is not trusted; at an entry that is no address it is
 * the last trusted one. A peer that is not trusted is the client itself. At most 64 entries are walked.
 *
 * `peer` is the address of the connection, `xForwardedFor` the field's value or values in order, and
 * `trustedCidrs` are blocks such as `10.0.0.0/8`, or single addresses. Throws `bad_address`, `bad_cidr`.
 */
export declare function clientIp(peer: string, xForwardedFor: string | Array<string> | undefined, trustedCidrs: Array<string>): string

/**
 * Writes a PROXY header, to be sent before the first byte of a connection.
 *
 * Throws `bad_proxy_header` for what cannot be said in one: one address without the other, values or
 * datagrams in version 1, a unique id above 128 bytes, a checksum given as a value, more than 65 535 bytes
 * in all. Receivers may take less; `parseProxyHeader` takes 4096 behind the fixed 16.
 */
export declare function writeProxyHeader(options: ProxyHeaderOptions): Buffer

/** A PROXY header to write. Without `source` and `destination` it tells of no client. */
export interface ProxyHeaderOptions {
  /** Default: 2. Version 1 is text, of TCP only and without values. */
  version?: 1 | 2
  /** `local` says that the connection is the proxy's own, and leaves the addresses out. Default: `proxy`. */
  command?: 'proxy' | 'local'
  /** Default: `stream`. `unspecified` leaves the addresses out. */
  transport?: 'stream' | 'datagram' | 'unspecified'
  /** The client. */
  source?: ProxyEndpoint
  /** The address that the client connected to. */
  destination?: ProxyEndpoint
  /** In their order. Not the checksum. */
  tlvs?: Array<ProxyTlvOptions>
  /** Ends the header with a CRC-32C over all of it. Default: false. */
  checksum?: boolean
}

/** A PROXY header. */
export interface ProxyHeader {
  /** Of the protocol. */
  version: 1 | 2
  /** `local`: the proxy's own connection, as for a health check. */
  command: 'proxy' | 'local'
  /** What carried the client's bytes. */
  transport: 'stream' | 'datagram' | 'unspecified'
  /** The client; not there if the header names no IP address: then the real peer counts. */
  source?: ProxyEndpoint
  /** The address that the client connected to. */
  destination?: ProxyEndpoint
  /** In their order; none in version 1. A checksum among them was right. */
  tlvs: Array<ProxyTlv>
  /** Bytes of the header; what is behind them is the connection's own. */
  length: number
}

/** A Redis or Valkey. */
export interface StoreSettings {
  /** URLs, as written. */
  urls: Array<string>
  /** True if it is a cluster, also with one URL. */
  isCluster: boolean
  /** Sentinels that know the primary. */
  sentinel?: SentinelSettings
  /** The ACL user. */
  username?: string
  /** Its password. */
  password?: string
  /** TLS; paths as written. */
  tls?: StoreTlsSettings
  /** How long a call may take, milliseconds. */
  timeoutMs: number
  /** What all keys begin with. */
  prefix: string
}

/** A certificate that an authority issued before. */
export interface KeptCertificate {
  /** The name that clients ask for. */
  name: string
  /** With its chain, PEM. */
  cert: string
  /** Its key, PEM. */
  key: string
}

/** A certificate that is served. */
export interface ServedCertificate {
  /** The listener; empty for one that was published. */
  listener: string
  /** Its first name; `_` if it has none. */
  name: string
  /** When it ends, in seconds since 1970. */
  notAfter: number
}

/** A certificate that is to be had from an ACME authority. */
export interface AcmeSettings {
  /** Its only name, in lower case. */
  domain: string
  /** Where the authority writes to. */
  email?: string
  /** The URL of the authority's directory. */
  directory: string
  /** `tls-alpn-01` or `http-01`. */
  challenge: string
  /** A PEM file of what vouches for the directory, as written. */
  ca?: string
  /** What it is encrypted with in the store, if it is shared there. */
  secret?: string
}

/** A gateway whose listeners are bound and whose threads run. */
export declare class Gateway {
  /**
   * Looks whether files of certificates have changed and reads those that have, in a thread of libuv's
   * pool. Resolves with what changed.
   */
  lookAtCertificates(): Promise<LookedAt[]>
  /** The certificates that are served. */
  certificates(): Array<ServedCertificate>
  /**
   * Starts a gateway with the config, JSON, and what is ready for it.
   * Throws `config_invalid` (`checkConfig` names the faults), `bind_failed`, `access_log_failed`, `system`.
   */
  constructor(json: string, prepared?: Prepared | undefined | null)
  /** The number under which other threads of the process find it with `attach`. */
  get id(): number
  /** The listeners, as bound. */
  addresses(): Array<Bound>
  /**
   * Publishes a config, JSON, and in the same step what is ready for it (by default that stays),
   * and returns its revision. Throws as the constructor does; then the old config stays.
   */
  reload(json: string, prepared?: Prepared | undefined | null): number
  /** Host names of endpoints, which this side resolves. */
  hosts(): Array<string>
  /** The addresses of a host name; without any the last ones stay. */
  resolved(host: string, addresses: Array<string>): void
  /** The counters, JSON. */
  metrics(): string
  /** Untrusted peers through which many clients of a route seem to come, JSON: `[{route, peer}]`. */
  suspects(): string
  /** Endpoints and their health, JSON. */
  upstreams(): string
  /** Counts published configs. */
  revision(): number
  /** True while traffic is taken. */
  ready(): boolean
  /** Opens the files of access logs anew. */
  reopenLogs(): void
  /**
   * Stops accepting and resolves when all requests have ended, or after `timeoutMs`, when what is
   * left is cut off. True if nothing was.
   */
  drain(timeoutMs: number): Promise<boolean>
  /** Closes everything at once. The second time does nothing. */
  close(): void
  /** Takes what was charged since the last time, as lines of JSON for the ledger. */
  takeUsage(): string
}

/** A listener with `door: app`. */
export interface DoorSettings {
  /** Its name. */
  listener: string
}

/** A listener, as bound. */
export interface Bound {
  /** The listener's name in the config. */
  name: string
  /** `IP:port`. */
  address: string
}

/** A node with a weight. */
export interface HashNode {
  /** Its name, unlike that of any other node; by it the node is known on every machine. */
  name: string
  /** Its share beside those of the others, a whole number up to 2^32 - 1. Default: 1; 0 takes it out. */
  weight?: number
}

/** A number that all workers of an app share. It starts at 0 with the process. */
export declare class Counter {
  private constructor()
  /** Adds `n`, which may be negative, and returns the sum. */
  add(n: number): number
  /** The sum so far. */
  get value(): number
}

/** A plugin that is asked about a request. */
export interface PluginAsk {
  /** Names it in `answer`. */
  number: number
  /** Where its module is found. */
  module: string
  /** What it is told, JSON: `{method, host, path, query?, headers: [name, value, …], client, route}`. */
  told: string
  /** The request's body, if the plugin wants one. */
  body?: Buffer
  /** After this nobody wants the answer: milliseconds of `process.hrtime`. */
  until: number
}

/** A rate: `count` in every `periodMs`. */
export interface GcraOptions {
  /** How many in a period. */
  count: number
  /** The period, in milliseconds. */
  periodMs: number
  /** How many of these may come at one instant. Default: `count`. */
  burst?: number
  /**
   * For how many keys there is room, 16 bytes each; memory grows with use. Default: 65 536, at most
   * 67 108 864. When there are more, the keys that are closest to being idle share what they owe: a
   * flood of keys never resets one.
   */
  maxKeys?: number
}

/** A script of the store that is to run. */
export interface StoreAsk {
  /** Names it in `answer`. */
  number: number
  /** The script's name: `ts/store/NAME.lua`. */
  script: string
  /** The key it touches. */
  key: Buffer
  /** Further keys, of the same hash slot; none if there are none. */
  more?: Array<Buffer>
  /** Its arguments, whole numbers. */
  args: Array<number>
  /** After this nobody wants the answer: milliseconds of `process.hrtime`. */
  until: number
}

/** A type-length-value of a version 2 header, as it was read. */
export interface ProxyTlv {
  /** Its type; see `TLV`. */
  type: number
  /** Its value, copied. */
  value: Buffer
}

/** A type-length-value to write. */
export interface ProxyTlvOptions {
  /** Its type, 0 to 255; see `TLV`. */
  type: number
  /** Its value: text as UTF-8, or bytes. */
  value: string | Uint8Array
}

/** A verdict that is none. */
export interface VerdictFault {
  /** Of its `PluginAsk`. */
  number: number
  /** What is wrong with it. */
  why: string
}

/** An app, as this side runs it. */
export interface AppSettings {
  /** Its name. */
  name: string
  /** Its module's path, as written. */
  module: string
  /** Heap of one worker, in MiB. */
  memoryMib: number
  /** How long its event loop may be stuck, in milliseconds. */
  stuckTimeoutMs: number
  /** How long workers that were replaced may go on, in milliseconds. */
  drainTimeoutMs: number
  /** True if its topics go to all gateways with the same store. */
  hasGlobalTopics: boolean
  /** Listeners whose door it is. */
  doors: Array<DoorSettings>
}

/** How a worker does. */
export interface WorkerStats {
  /** The longest time that its event loop was late in the last second, seconds. */
  lag: number
  /** Bytes of heap in use. */
  heap: number
  /** Seconds spent in garbage collection since it started. */
  gc: number
  /** Requests it has answered since it started. */
  requests: number
}

/** How connections to the store are secured; files are PEM. */
export interface StoreTlsSettings {
  /** The file of the authorities. */
  ca?: string
  /** The file of the certificate that is shown. */
  cert?: string
  /** The file of its key. */
  key?: string
  /** The name in the store's certificate. */
  serverName?: string
}

/** One end of a connection. */
export interface ProxyEndpoint {
  /** An IPv4 or IPv6 address. */
  address: string
  /** 0 to 65 535. */
  port: number
}

/** One thing wrong with a config. */
export interface Fault {
  /** Where: `routes[0].filters[1].rate`; empty for the whole text. */
  path: string
  /** True if the key itself is at fault and not its value. */
  onKey: boolean
  /** What is wrong, without the path. */
  why: string
  /** What to do about it; may be empty. */
  fix: string
}

/** Says how worker `index` of an app of gateway `id` does; without `stats` it is gone. */
export declare function noteWorker(id: number, app: string, index: number, stats?: WorkerStats | undefined | null): void

/** See the module; `ts/app/reactor.ts` is the other side. */
export declare class Reactor {
  /**
   * A reactor of gateway `id` in this thread's loop; `wake` is called when there is something to take. `beside` is the
   * Unix socket of uWebSockets.js in this thread, which is to have WebSockets that come by a door. Throws `closed`, `system`, and `not_supported` where this Node lacks functions of libuv.
   */
  constructor(id: number, wake: () => void, beside?: string | undefined | null)
  /** Listens at a listener with `door: app`, under a number of the caller's, not 0. Throws `bind_failed`, `closed`. */
  open(listener: string, door: number): void
  /** Listens there no more; `LEFT` says when its last connection has ended. */
  leave(listener: string): void
  /**
   * A guest: its listener, its address (4 or 16 bytes), and its head with the empty line. With `stubbed` the caller answers
   * whatever would be forwarded. Returns its key, plus 2^32 if a body is awaited; -1 if the listener is gone.
   */
  arrive(listener: string, peer: Uint8Array, head: Uint8Array, stubbed: boolean): number
  /** The calls that every request makes, without the toll of the others; see `ReactorCalls` in `ts/app/reactor.ts`. */
  calls(): unknown
  /**
   * More of a request's body, and whether it is the last. Returns how many bytes wait: over 65536, push no more until
   * `PUSH` is said.
   */
  push(key: number, bytes: Uint8Array, last: boolean): number
  /** The client went away. */
  abort(key: number): void
  /** Whether the answer of this exchange takes no more of the request's body just now. It begins deaf. */
  setDeaf(key: number, deaf: boolean): void
  /** The caller's answer begins: a whole head with its framing. False if it is none, or too late. */
  respond(key: number, head: Uint8Array): boolean
  /** More of it. Returns how many bytes wait: over 65536, no more until `ANSWER` is said. */
  answer(key: number, bytes: Uint8Array, last: boolean): number
  /** The caller breaks its answer off: the client sees that it is not whole. */
  breakOff(key: number): void
  /** Ends all that is in progress. The second time does nothing. */
  close(): void
}

/** Sentinels. */
export interface SentinelSettings {
  /** What they call the primary. */
  name: string
  /** `HOST` or `HOST:PORT`. */
  nodes: Array<string>
  /** Their own ACL user. */
  username?: string
  /** Its password. */
  password?: string
}

/** The calls of plugins of one gateway, for the one thread that answers them. */
export declare class PluginAsks {
  /**
   * Begins to answer for gateway `id`, in the place of whoever did. `wake` is called when there is something
   * to take: once, until it is taken. Throws `closed` if there is no such gateway.
   */
  constructor(id: number, wake: () => void)
  /** What waits, at most 256; if there is more, `wake` is called again. */
  take(): Array<PluginAsk>
  /** Answers calls. Returns what is wrong with verdicts that are none: these calls have failed. */
  answer(answers: Array<PluginAnswer>): Array<VerdictFault>
  /** Answers no more: what was taken has failed. The second time does nothing. */
  close(): void
}

/** The calls of the store of one gateway, for the one thread that answers them. */
export declare class StoreAsks {
  /**
   * Begins to answer for gateway `id`, in the place of whoever did. `wake` is called when there is something
   * to take: once, until it is taken. Throws `closed` if there is no such gateway.
   */
  constructor(id: number, wake: () => void)
  /** Milliseconds within which to take again after something was taken: calls that no request waits for wake nobody until then. */
  get linger(): number
  /** What waits, at most 256; if there is more, `wake` is called again. */
  take(): Array<StoreAsk>
  /** Answers calls. */
  answer(answers: Array<StoreAnswer>): void
  /** Says what is known of the store; limits of several nodes go by it. */
  note(note: StoreNote): void
  /** Answers no more: what was taken has failed, and the store counts as gone. The second time does nothing. */
  close(): void
}

/** The certificate of `tls: dev`: made if it is not there or ends soon. Throws `system`. */
export declare function devCertificate(): DevCertificate

/** The counter of an app with that name. Throws `too_many_counters` when 4096 names are taken. */
export declare function counter(app: string, name: string): Counter

/** The gateway of this process with that number. Throws `closed` if there is none. */
export declare function attach(id: number): GatewayView

/** The head of a request. Bytes above 127 in values are Latin-1, as in Node. */
export interface RequestHead {
  /** As it was sent. */
  method: string
  /** The normalised path and `?query`; `*` for `OPTIONS *`, `host:port` for CONNECT. */
  target: string
  /** The normalised path; empty for CONNECT. */
  path: string
  /** What follows the first `?`, as it was sent. */
  query?: string
  /** `host[:port]` in lower case, of Host or of an absolute target; empty only in HTTP/1.0. */
  host: string
  /** Of HTTP. */
  version: '1.0' | '1.1'
  /**
   * Names as they were sent, and values, in their order. Without Host and what belongs to the
   * connection or frames the body, such as Connection, Content-Length and Transfer-Encoding: the other
   * properties tell these.
   */
  headers: Array<[name: string, value: string]>
  /** How the body's end is known. */
  bodyFraming: 'none' | 'length' | 'chunked'
  /** Bytes of the body, if `bodyFraming` is `length`. */
  contentLength?: number
  /** May the connection carry another request? */
  keepAlive: boolean
  /** Does the client wait for a 100 before it sends the body? */
  expectContinue: boolean
  /** The protocol that the client asks to change to. */
  upgrade?: string
  /** Bytes of the head; behind them begins the body. */
  length: number
}

/** The judgement of a config: faults, or settings. */
export interface Check {
  /** All faults at once. */
  faults: Array<Fault>
  /** There if and only if there are no faults. */
  settings?: Settings
}

/** The module of one `plugin` filter. */
export interface PluginSettings {
  /** Where it is named: `routes[0].filters[1].module`. */
  path: string
  /** Its path, as written. */
  module: string
}

/** The version of the core, as `MAJOR.MINOR.PATCH`. */
export declare function version(): string

/** What a config says to the side that speaks TypeScript. */
export interface Settings {
  /** `admin.bind`, `IP:port`; none if `admin` is `off`. */
  adminBind?: string
  /** `admin.allow_hosts`: Host values that are answered beside those of loopback. */
  adminAllowHosts: Array<string>
  /** `state_dir`: where the last good config is kept, if it is. */
  stateDir?: string
  /** `history.revisions`: how many published configs are kept there. */
  historyRevisions: number
  /** `history.size`, in bytes. */
  historyBytes: number
  /** `drain_timeout`, in milliseconds. */
  drainTimeoutMs: number
  /** `apps`. */
  apps: Array<AppSettings>
  /** The modules of `plugin` filters. */
  plugins: Array<PluginSettings>
  /** `workers`: how many of each app; one a CPU if the config says `auto`. */
  workers: number
  /** True if a listener or an upstream has `tls`: there are files to look at. */
  hasTls: boolean
  /** True if a route has a quota: what is used of it goes to the ledger. */
  hasQuotas: boolean
  /** Certificates that `acme` of listeners asks for, each once. */
  acme: Array<AcmeSettings>
  /** `store`, if it is not the memory of this process. */
  store?: StoreSettings
}

/** What a consumer had used of a window, as the ledger has it. */
export interface KeptUsage {
  /** The quota's name. */
  quota: string
  /** What it counts. */
  unit: string
  /** Its windows. */
  per: string
  /** Whose. */
  consumer: string
  /** Where the window begins, seconds since 1970. */
  window: number
  /** How much. */
  units: number
}

/** What a limit says. */
export interface GcraDecision {
  /** Is it within the rate? Only then it was counted. */
  allowed: boolean
  /** How many more of cost 1 would be allowed now. */
  remaining: number
  /**
   * Milliseconds until this cost would be allowed, rounded up; 0 if it was, `Infinity` if it is above
   * the burst.
   */
  retryAfterMs: number
  /** Milliseconds until the key has its whole burst again, rounded up. */
  resetAfterMs: number
}

/** What a look at the files of one `tls` of the config brought. */
export interface LookedAt {
  /** Which: `listeners[0].tls`. */
  at: string
  /** What is wrong with files that changed: for these the old ones stay in use. Empty if all are in use. */
  faults: Array<Fault>
}

/** What a plugin said. */
export interface PluginAnswer {
  /** Of its `PluginAsk`. */
  number: number
  /** JSON: `{request?, response?, reply?}`; none if the call failed. */
  verdict?: string
  /** True if it failed because its time was over. */
  late?: boolean
  /** The body of a reply. */
  body?: Buffer
}

/** What a script returned. */
export interface StoreAnswer {
  /** Of its `StoreAsk`. */
  number: number
  /** Whole numbers; none if the call failed. */
  values?: Array<number>
  /** True if it failed because its time was over. */
  late?: boolean
}

/** What any thread may read of a gateway. */
export declare class GatewayView {
  private constructor()
  /**
   * Serves a certificate with its chain and key, PEM, to clients that ask for `name`, from the next
   * handshake on, at all listeners with TLS. Throws `certificate_refused`.
   */
  publishCertificate(name: string, cert: string, key: string): void
  /** Serves what was published for `name` no more. False if there was nothing. */
  withdrawCertificate(name: string): boolean
  /**
   * Answers TLS-ALPN-01 challenges (RFC 8737) for `name` with this certificate, PEM. Throws
   * `certificate_refused`.
   */
  setChallenge(name: string, cert: string, key: string): void
  /** Answers challenges for `name` no more. False if there was nothing. */
  clearChallenge(name: string): boolean
  /**
   * Answers HTTP-01 challenges (RFC 8555 section 8.3) for this token. False if it is none, or there are
   * too many.
   */
  setHttpChallenge(token: string, answer: string): boolean
  /** Answers them no more. False if there was nothing. */
  clearHttpChallenge(token: string): boolean
  /** Counts an order that has ended; one that failed has a code, a word for metrics. */
  countOrder(failure?: string | undefined | null): void
  /** The counters, JSON. */
  metrics(): string
  /** Endpoints and their health, JSON. */
  upstreams(): string
  /** Counts published configs. */
  revision(): number
  /** The Unix sockets at which the workers of an app listen now; none leaves it without. */
  appSockets(app: string, sockets: Array<string>): void
  /** The modules of plugins, by `PluginModule.address`, that requests may still name. */
  pluginModules(): Array<string>
  /** True while traffic is taken. */
  ready(): boolean
  /** Where those stand who used something of quotas at this node, JSON. */
  quotas(): string
  /**
   * Where a consumer stands with each quota, JSON. Asks the store of those that all nodes count, in a thread of libuv's pool, and
   * waits no longer than a call of it may take.
   */
  quotasOf(consumer: string): Promise<string>
}

/** What is known of the store. */
export interface StoreNote {
  /** Whether it answers. */
  up: boolean
  /** How many nodes live, this one among them. */
  nodes: number
  /** Its clock, microseconds since 1970; 0 if nobody knows. */
  clock: number
}

/** What this side has made ready for a config. */
export interface Prepared {
  /** Where workers of its apps listen. */
  apps: Array<AppSockets>
  /** Where the modules of its plugins are found. */
  plugins: Array<PluginModule>
  /** Where relative paths of files of `tls` begin; by default the working directory. */
  folder?: string
  /** Certificates that an authority issued before. */
  certificates?: Array<KeptCertificate>
  /** What consumers had used before, as the ledger has it; given if the ledger is kept from now on. */
  usage?: Array<KeptUsage>
}

/** Where the module of a plugin is found. */
export interface PluginModule {
  /** Its path, as the config has it. */
  module: string
  /** What `PluginAsk.module` calls it. */
  address: string
}

/** Where the workers of an app listen. */
export interface AppSockets {
  /** The app's name. */
  app: string
  /** Paths of Unix sockets. */
  sockets: Array<string>
}

/** Where this machine's certificate for development lies. */
export interface DevCertificate {
  /** The authority's certificate, which clients are to trust. */
  ca: string
  /** The certificate for localhost. */
  cert: string
  /** Its key. */
  key: string
  /** True if the authority was made just now. */
  isNew: boolean
}
