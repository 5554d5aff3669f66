/**
 * task: what the pool and its threads say to each other, and what they share.
 */
import type { Said } from './call.js';

/** What the threads of a pool are started with. */
export interface ThreadData {
  /** Addresses of the modules, `file:`. */
  modules: string[];
  /** For each thread, by its number, when its heart last beat: milliseconds of `process.hrtime`; 0 before the first. */
  beats: SharedArrayBuffer;
  /** One number: the furthest place of a module that a thread has begun to load. */
  loading: SharedArrayBuffer;
}

/** What a thread is asked. */
export type Task =
  | { type: 'load' }
  | { type: 'call'; module: string; told: string; body: Uint8Array | undefined; until: number };

/** Why a module does not load. */
export interface LoadFault {
  /** Its place in {@link ThreadData.modules}. */
  module: number;
  why: string;
  /** `file:line:column`, if it is known. */
  where: string | undefined;
}

/** What a thread answers. */
export type Done =
  | ({ type: 'said' } & Said)
  /** `why` is missing if it was only late. */
  | { type: 'failed'; why: string | undefined }
  | { type: 'loaded'; fault: LoadFault | undefined };

/** The place of a thread in {@link ThreadData.beats}. */
export function placeIn(beats: BigInt64Array, id: number): number {
  return id % beats.length;
}
