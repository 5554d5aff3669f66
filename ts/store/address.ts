/**
 * address: which Redis is meant, in the words of ioredis.
 *
 * Errors: `TypeError` for what is no URL of a Redis.
 */
import type { Cluster, RedisOptions } from 'ioredis';

/** Where a store is, and how it is spoken with. */
export interface RedisSettings {
  /**
   * `redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE]`, `rediss://` for TLS, or `unix:PATH`. Several are nodes of one cluster. With
   * `sentinel` only the user, the password and the database of the first count, and there may be none.
   */
  urls: string[];
  /** True if it is a cluster, also with one URL. */
  isCluster?: boolean;
  /** Sentinels that know the primary. */
  sentinel?: {
    /** What they call it. */
    name: string;
    /** `HOST[:PORT]`, the port 26379 if it is not said. */
    nodes: string[];
    username?: string;
    password?: string;
  };
  /** An ACL user, in the place of those in URLs. */
  username?: string;
  password?: string;
  /** TLS, to all nodes and sentinels. */
  tls?: {
    /** Authorities that are trusted, PEM; those of Node if none are said. */
    ca?: string;
    /** What this client shows, PEM. */
    cert?: string;
    key?: string;
    /** The name in the server's certificate; the host of the URL if it is not said. */
    serverName?: string;
  };
  /** How long a call may take, milliseconds. */
  timeoutMs: number;
  /** What all keys begin with. */
  prefix: string;
}

/** What a client of ioredis is made from. */
export type Address =
  | { kind: 'one'; options: Plain }
  | { kind: 'cluster'; nodes: { host: string; port: number }[]; options: PlainCluster };

type Plain = RedisOptions & { replyMapping: 'legacy' };
type PlainCluster = NonNullable<ConstructorParameters<typeof Cluster<'legacy'>>[1]>;

/** What `settings` mean. */
export function addressOf(settings: RedisSettings): Address {
  const { urls, isCluster = false, sentinel, timeoutMs } = settings;
  const places = urls.map(placeOf);
  const [first] = places;
  const tls = tlsOf(settings, first?.isSecure === true);
  const common: Plain = {
    replyMapping: 'legacy',
    db: first?.db ?? 0,
    // Nothing waits for a connection, nothing is sent twice: each caller has a deadline and another way.
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    maxLoadingRetryTime: LOADING_MS,
    connectTimeout: CONNECT_MS,
    disconnectTimeout: CONNECT_MS,
    // A server that hangs keeps its connections open; only silence tells.
    socketTimeout: Math.max(SILENCE_MS, 2 * timeoutMs),
    keepAlive: KEEP_ALIVE_MS,
    retryStrategy: backOff,
    // A primary that became a replica: the new one is found by a new connection.
    reconnectOnError: (error) => error.message.startsWith('READONLY'),
  };
  const username = settings.username ?? first?.username;
  const password = settings.password ?? first?.password;
  if (username !== undefined) common.username = username;
  if (password !== undefined) common.password = password;
  if (tls !== undefined) common.tls = tls;

  if (sentinel !== undefined) {
    const { name, nodes, username: sentinelUsername, password: sentinelPassword } = sentinel;
    const options: Plain = {
      ...common,
      name,
      sentinels: nodes.map((node) => hostOf(new URL(`redis://${node}`), 26_379)),
      sentinelRetryStrategy: backOff,
      sentinelReconnectStrategy: () => BACK_OFF_MS,
      sentinelCommandTimeout: CONNECT_MS,
      // The sentinels' own news of a failover are faster than a connection that dies.
      failoverDetector: true,
    };
    if (sentinelUsername !== undefined) options.sentinelUsername = sentinelUsername;
    if (sentinelPassword !== undefined) options.sentinelPassword = sentinelPassword;
    if (tls !== undefined) Object.assign(options, { enableTLSForSentinelMode: true, sentinelTLS: tls });
    return { kind: 'one', options };
  }
  if (first === undefined) throw new TypeError('no URL of a Redis');
  if (!isCluster && urls.length === 1) {
    const { path, host, port } = first;
    return { kind: 'one', options: { ...common, ...(path === undefined ? { host, port } : { path }) } };
  }
  if (places.some(({ path }) => path !== undefined))
    throw new TypeError('nodes of a cluster are not at unix:');
  if (first.db !== 0) throw new TypeError('a cluster has only database 0');
  const { retryStrategy: _, enableOfflineQueue: __, db: ___, ...redisOptions } = common;
  const options: PlainCluster = {
    redisOptions,
    enableOfflineQueue: false,
    clusterRetryStrategy: backOff,
    // 0: what would be sent again after these would be late.
    retryDelayOnFailover: 0,
    retryDelayOnClusterDown: 0,
    retryDelayOnTryAgain: 1,
    maxRedirections: REDIRECTIONS,
    slotsRefreshTimeout: CONNECT_MS,
    slotsRefreshInterval: SLOTS_MS,
  };
  return { kind: 'cluster', nodes: places.map(({ host, port }) => ({ host, port })), options };
}

/** How long to wait before the next connection, milliseconds: 50 to 1,000. */
export function backOff(attempt: number): number {
  const most = Math.min(BACK_OFF_MS, 50 * 2 ** (attempt - 1));
  return most * (0.75 + Math.random() / 4); // so that not all nodes of a fleet come at once
}

interface Place {
  host: string;
  port: number;
  path?: string;
  username?: string;
  password?: string;
  db: number;
  isSecure: boolean;
}

function placeOf(text: string): Place {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol === 'unix:' && url.pathname.startsWith('/')) {
    return { host: '', port: 0, path: decodeURIComponent(url.pathname), db: 0, isSecure: false };
  }
  if (url === undefined || !['redis:', 'rediss:'].includes(url.protocol) || url.hostname === '') {
    throw new TypeError('no URL of a Redis: redis://HOST:PORT, rediss://HOST:PORT or unix:PATH'); // it may hold a password
  }
  const db = url.pathname.length > 1 ? Number(url.pathname.slice(1)) : 0;
  if (!Number.isInteger(db) || db < 0) throw new TypeError('the database of a Redis is a number');
  const place: Place = { ...hostOf(url, 6_379), db, isSecure: url.protocol === 'rediss:' };
  if (url.username !== '') place.username = decodeURIComponent(url.username);
  if (url.password !== '') place.password = decodeURIComponent(url.password);
  return place;
}

function hostOf({ hostname, port }: URL, otherwise: number): { host: string; port: number } {
  return { host: hostname.replace(/^\[|\]$/g, ''), port: port === '' ? otherwise : Number(port) };
}

function tlsOf({ tls }: RedisSettings, isSecure: boolean): RedisOptions['tls'] {
  if (tls === undefined) return isSecure ? {} : undefined;
  const { serverName, ...rest } = tls;
  return serverName === undefined ? rest : { ...rest, servername: serverName };
}

const BACK_OFF_MS = 1_000;
const CONNECT_MS = 1_000;
const SILENCE_MS = 1_000;
const LOADING_MS = 200;
const SLOTS_MS = 2_000;
const KEEP_ALIVE_MS = 10_000;
const REDIRECTIONS = 4;
