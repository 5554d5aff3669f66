/**
 * check: what a ledger misses or has twice, and what it sums up to.
 *
 * Each lane of each start numbers its entries from 1, so a number that is left out is usage that somebody took away or a disk lost. A file's
 * header says how far the files before it went: those that were moved away as a whole, the oldest first, are not missed.
 */
import { entryOf, headerOf } from './format.js';
import { files, lines } from './read.js';

/** Something that is wrong. */
export interface Finding {
  kind: 'gap' | 'duplicate' | 'unreadable' | 'lost';
  /** The file where it shows. */
  file: string;
  what: string;
}

/** What consumers used of one window. */
export interface Sum {
  quota: string;
  unit: string;
  per: string;
  /** None of what was lost. */
  consumer?: string;
  /** Where it begins, ISO 8601. */
  window?: string;
  charges: number;
  units: number;
}

/** All that a ledger says. */
export interface Checked {
  files: number;
  entries: number;
  findings: Finding[];
  /** Starts whose end is not written: they run, or were killed. */
  unended: string[];
  /** In the order of quota, consumer and window. */
  sums: Sum[];
}

/**
 * Reads the whole ledger; a number that comes twice counts once.
 *
 * @throws what the file system throws.
 */
export async function check(folder: string): Promise<Checked> {
  const findings: Finding[] = [];
  const sums = new Map<string, Sum>();
  const ended = new Map<string, boolean>();
  /** Of each start that has a file, the last number of each lane. */
  const known = new Map<string, Map<number, number>>();
  let entries = 0;
  const all = await files(folder);
  for (const { name, start, file } of all) {
    const isFirst = !known.has(start);
    const last = known.get(start) ?? new Map<number, number>();
    known.set(start, last);
    ended.set(start, false);
    let at = 0;
    let torn: string | undefined;
    for await (const line of lines(folder, name)) {
      at += 1;
      if (torn !== undefined) findings.push({ kind: 'unreadable', file: name, what: torn });
      torn = undefined;
      const header = at === 1 ? headerOf(line) : undefined;
      const entry = header === undefined ? entryOf(line) : undefined;
      if (header !== undefined) {
        for (const [of, lanes] of Object.entries(header.carried.positions)) {
          const lastOf = known.get(of);
          // Of a start without a file all was moved away; of one whose first file is this, what was before it.
          if (lastOf === undefined) continue;
          const isMoved = of === start && isFirst && file > 1;
          for (const [lane, sequence] of Object.entries(lanes)) {
            const before = lastOf.get(Number(lane)) ?? (isMoved ? sequence : 0);
            if (sequence > before) findings.push(gap(name, of, Number(lane), before, sequence + 1));
            lastOf.set(Number(lane), Math.max(before, sequence));
          }
        }
      } else if (entry !== undefined) {
        const before = last.get(entry.lane) ?? 0;
        if (entry.sequence <= before) {
          const what = `entry ${entry.sequence} of lane ${entry.lane} of ${start} is there already`;
          findings.push({ kind: 'duplicate', file: name, what });
          continue;
        }
        if (entry.sequence > before + 1) findings.push(gap(name, start, entry.lane, before, entry.sequence));
        last.set(entry.lane, entry.sequence);
        entries += 1;
        if (entry.lost !== undefined) {
          const { charges, units } = entry.lost;
          const what = `${charges} charges of ${entry.quota}, ${units} units, came when too many waited: it is not known whose`;
          findings.push({ kind: 'lost', file: name, what });
        }
        add(sums, entry);
      } else if (line === '{"end":true}') ended.set(start, true);
      else torn = `line ${at} is no entry`;
    }
    // A last line that broke off was never reported as written.
    if (torn !== undefined && all.some((other) => other.start === start && other.file > file)) {
      findings.push({ kind: 'unreadable', file: name, what: torn });
    }
  }
  const order = ({ quota, consumer, window }: Sum): string => JSON.stringify([quota, consumer, window]);
  return {
    files: all.length,
    entries,
    findings,
    unended: [...ended].filter(([, isEnded]) => !isEnded).map(([start]) => start),
    sums: [...sums.values()].sort((a, b) => (order(a) < order(b) ? -1 : 1)),
  };
}

function add(sums: Map<string, Sum>, entry: NonNullable<ReturnType<typeof entryOf>>): void {
  const { quota, unit, per, consumer, window, lost } = entry;
  const key = JSON.stringify([quota, unit, per, consumer, window]);
  const sum = sums.get(key) ?? {
    quota,
    unit,
    per,
    ...(consumer === undefined ? {} : { consumer }),
    ...(window === undefined ? {} : { window: new Date(window * 1000).toISOString() }),
    charges: 0,
    units: 0,
  };
  sum.charges += lost?.charges ?? entry.charges ?? 0;
  sum.units += lost?.units ?? entry.units ?? 0;
  sums.set(key, sum);
}

function gap(file: string, start: string, lane: number, before: number, next: number): Finding {
  const count = next - before - 1;
  const which = count === 1 ? `entry ${before + 1}` : `entries ${before + 1} to ${next - 1}`;
  return {
    kind: 'gap',
    file,
    what: `${which} of lane ${lane} of ${start} ${count === 1 ? 'is' : 'are'} missing`,
  };
}
