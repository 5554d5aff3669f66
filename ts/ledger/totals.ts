/**
 * totals: what consumers used of their newest windows, derived from entries of the ledger, each counted once.
 *
 * Bounds: two windows of a quota and consumer; {@link MAX_STARTS} starts whose positions are known, the oldest go first.
 */
import type { KeptUsage } from '../native.js';
import type { Carried, Entry } from './format.js';

/** Sums of entries. */
export class Totals {
  readonly #positions = new Map<string, Map<number, number>>();
  /** By quota, unit, per and consumer: windows and units, the oldest first. */
  readonly #usage = new Map<string, [number, number][]>();

  /** Begins from what a file carries. */
  load({ positions, usage }: Carried): void {
    for (const [start, lanes] of Object.entries(positions)) {
      const all = Object.entries(lanes).map(([lane, sequence]) => [Number(lane), sequence] as const);
      this.#positions.set(start, new Map(all));
    }
    for (const [quota, unit, per, consumer, windows] of usage) {
      this.#usage.set(keyOf(quota, unit, per, consumer), windows);
    }
  }

  /** Adds an entry; one that was added before changes nothing. */
  add(start: string, entry: Entry): void {
    const { lane, sequence, quota, unit, per, consumer, window, units } = entry;
    const lanes = this.#positions.get(start) ?? new Map<number, number>();
    if (sequence <= (lanes.get(lane) ?? 0)) return;
    lanes.set(lane, sequence);
    this.#positions.set(start, lanes);
    if (consumer === undefined || window === undefined || units === undefined) return;
    const key = keyOf(quota, unit, per, consumer);
    const windows = this.#usage.get(key) ?? [];
    const known = windows.find(([begin]) => begin === window);
    if (known === undefined) windows.push([window, units]);
    else known[1] += units;
    windows.sort(([a], [b]) => a - b);
    this.#usage.set(key, windows.slice(-2));
  }

  /** What a new file carries; windows that began before `since` (seconds since 1970) are forgotten. */
  carry(since: number): Carried {
    const starts = [...this.#positions.keys()].sort();
    for (const start of starts.slice(0, -MAX_STARTS)) this.#positions.delete(start);
    const usage: Carried['usage'] = [];
    for (const [key, windows] of this.#usage) {
      const recent = windows.filter(([window]) => window >= since);
      if (recent.length === 0) this.#usage.delete(key);
      else usage.push([...(JSON.parse(key) as [string, string, string, string]), recent]);
    }
    const positions = [...this.#positions].map(
      ([start, lanes]) => [start, Object.fromEntries(lanes)] as const,
    );
    return { positions: Object.fromEntries(positions), usage };
  }

  /** For the core, the oldest window first. */
  kept(): KeptUsage[] {
    return [...this.#usage].flatMap(([key, windows]) => {
      const [quota, unit, per, consumer] = JSON.parse(key) as [string, string, string, string];
      return windows.map(([window, units]) => ({ quota, unit, per, consumer, window, units }));
    });
  }
}

function keyOf(...parts: [string, string, string, string]): string {
  return JSON.stringify(parts);
}

const MAX_STARTS = 1_000;
