/**
 * What the benchmark knows of a proxy: its name, its version, and how to start it for one setting.
 *
 * A peer writes its configuration into the directory it is given and returns a command; starting, pinning, waiting
 * and stopping are the same for all (`process.ts`).
 */

/** What the proxy under test must do besides forwarding. */
export type Feature = 'plain' | 'limit';

/** Where one proxy runs, and for what. */
export interface Setting {
  /** An empty directory of its own: configuration, logs, pid file. */
  dir: string;
  /** The port of 127.0.0.1 to listen on. */
  port: number;
  /** The origin, as `address:port`. */
  origin: string;
  feature: Feature;
}

/** A proxy that can be put beside the others. */
export interface Peer {
  name: string;
  /** One line; rejects with what is missing when the proxy is not there. */
  version(): Promise<string>;
  /** Writes the configuration and returns the command that runs in the foreground. */
  prepare(setting: Setting): Promise<string[]>;
  /** Features it does not have; a scenario that needs one leaves it out. */
  lacks?: Feature[];
}

/** A rate that no client reaches, so that a limiter decides on each request and refuses none. */
export const NEVER_REFUSED = 1_000_000;
