/**
 * What the benchmark knows of a proxy: its name, its version, and how to start it for one setting.
 *
 * A peer writes its configuration into the directory it is given and returns a command; starting, pinning, waiting
 * and stopping are the same for all (`process.ts`).
 */

/**
 * What the program under test must do: forward (`plain`), with a rate limit (`limit`); or be an app that says hello, behind the
 * edge (`app`) or directly (`direct`), forwards (`forward`), or sends back what comes in a WebSocket (`websocket`). `http2` is `plain` for clients of HTTP/2, in clear text where there is no certificate.
 */
export type Feature = 'plain' | 'http2' | 'limit' | 'app' | 'direct' | 'forward' | 'websocket';

/** A certificate that all proxies show; paths of PEM files. */
export interface Certificate {
  /** The name that it is for. */
  host: string;
  cert: string;
  key: string;
  /** Both in one file. */
  both: string;
}

/** Where one proxy runs, and for what. */
export interface Setting {
  /** An empty directory of its own: configuration, logs, pid file. */
  dir: string;
  /** The port of 127.0.0.1 to listen on. */
  port: number;
  /** The origin, as `address:port`; or the path of what stands {@link Peer.behind} it. */
  origin: string;
  feature: Feature;
  /** The path of its {@link Peer.store}, if it has one. */
  store?: string | undefined;
  /** What it is to show to clients, in TLS 1.3 with X25519 or P-256; without it there is no TLS. */
  certificate?: Certificate | undefined;
}

/** A proxy that can be put beside the others. */
export interface Peer {
  name: string;
  /** One line; rejects with what is missing when the proxy is not there. */
  version(): Promise<string>;
  /** What it speaks TLS with and that one's version, where it comes from elsewhere. */
  library?(): Promise<string>;
  /** Writes the configuration and returns the command that runs in the foreground. */
  prepare(setting: Setting): Promise<string[]>;
  /** Features it does not have; a scenario that needs one leaves it out. */
  lacks?: Feature[];
  /** The command of a server behind it, which listens at the Unix socket `path` and counts with it. */
  behind?(place: { path: string; feature: Feature }): string[];
  /** The command of a Redis that it shares its limits by, which listens at the Unix socket `path`, on the client's CPU, and does not count with it. */
  store?(path: string): string[];
  /** Names of the threads that are the proxy, where another part of the process answers. */
  proxyThreads?: RegExp;
}

/** A rate that no client reaches, so that a limiter decides on each request and refuses none. */
export const NEVER_REFUSED = 1_000_000;
