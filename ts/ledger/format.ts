/**
 * format: what a file of the ledger has in its lines, each a JSON object.
 *
 * `START-NUMBER.jsonl`: START names the process's start and is greater than all before, NUMBER counts its files from 1. The first line is
 * a {@link Header}, the last of an orderly end `{"end":true}`, all between are {@link Entry}.
 */

/** The first line. */
export interface Header {
  /** The version of the format. */
  ledger: 1;
  start: string;
  file: number;
  /** When it was begun, seconds since 1970. */
  time: number;
  carried: Carried;
}

/** What was used before a file, so that counts can be derived without the files before it. */
export interface Carried {
  /** Of each start and lane the last sequence number that is in `usage`. */
  positions: Record<string, Record<string, number>>;
  /** Quota, unit, per, consumer, and the newest windows with what was used of them. */
  usage: [string, string, string, string, [number, number][]][];
}

/** What was used by one consumer between two writes, or how much was lost. */
export interface Entry {
  /** Which thread's. */
  lane: number;
  /** From 1 without a gap, in each lane of a start. */
  sequence: number;
  /** Of the first charge, seconds since 1970. */
  time: number;
  quota: string;
  unit: string;
  per: string;
  /** Whose; none of what was lost. */
  consumer?: string;
  route?: string;
  /** Where the window begins, seconds since 1970. */
  window?: number;
  /** How many requests it was. */
  charges?: number;
  units?: number;
  /** What was charged without a note of its consumer, because too many waited. */
  lost?: { charges: number; units: number };
}

/** The name of a file, taken apart. */
export interface Place {
  name: string;
  start: string;
  file: number;
}

/** The last line of a start that ended in order. */
export const END = '{"end":true}\n';

/** A file's name. */
export function nameOf(start: string, file: number): string {
  return `${start}-${String(file).padStart(6, '0')}.jsonl`;
}

/** What a file's name says; `undefined` if it is no file of a ledger. */
export function placeOf(name: string): Place | undefined {
  const [, start, file] = /^(\d{13}-[0-9a-f]{4})-(\d{6,})\.jsonl$/.exec(name) ?? [];
  return start === undefined ? undefined : { name, start, file: Number(file) };
}

/** A line, if it is one of an entry. */
export function entryOf(line: string): Entry | undefined {
  const entry = objectOf(line) as Entry | undefined;
  const isEntry = Number.isSafeInteger(entry?.lane) && Number.isSafeInteger(entry?.sequence);
  return isEntry && typeof entry?.quota === 'string' ? entry : undefined;
}

/** A line, if it is one of a header. */
export function headerOf(line: string): Header | undefined {
  const header = objectOf(line) as Header | undefined;
  return header?.ledger === 1 && header.carried !== undefined ? header : undefined;
}

function objectOf(line: string): unknown {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}
