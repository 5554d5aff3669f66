/**
 * units: nginx's times, sizes and rates, to ours.
 */

/** `90`, `1m30s`, `500ms` to milliseconds; undefined for what is no time. */
export function milliseconds(text: string): number | undefined {
  if (!/^(\d+(ms|[smhdwMy])? ?)+$/.test(text)) return undefined;
  const parts = [...text.matchAll(/(\d+)(ms|[smhdwMy])?/g)];
  return parts.reduce((sum, [, count, unit = 's']) => sum + Number(count) * (TIMES[unit] ?? 0), 0);
}

/** Milliseconds in the largest unit that divides them. */
export function duration(ms: number): string {
  const [unit, factor] = UNITS.find(([, factor]) => ms % factor === 0) ?? ['ms', 1];
  return `${ms / factor}${unit}`;
}

/** A time of nginx as a duration of ours; undefined for 0 and for what is none. */
export function time(text: string | undefined): string | undefined {
  const ms = text === undefined ? undefined : milliseconds(text);
  return ms === undefined || ms === 0 ? undefined : duration(ms);
}

/** `10m`, `512k`, `8192` to bytes. */
export function bytes(text: string): number | undefined {
  const [, count, unit = ''] = /^(\d+)([kKmMgG]?)$/.exec(text) ?? [];
  return count === undefined ? undefined : Number(count) * (SIZES[unit.toLowerCase()] ?? 1);
}

/** Bytes in the largest unit that divides them. */
export function size(count: number): string {
  const [unit, factor] = BYTES.find(([, factor]) => count > 0 && count % factor === 0) ?? ['B', 1];
  return `${count / factor}${unit}`;
}

/** `10r/s`, `30r/m` to `10/s`, `30/m`. */
export function rate(text: string): string | undefined {
  const [, count, unit] = /^(\d+)r\/([sm])$/.exec(text) ?? [];
  return count === undefined ? undefined : `${count}/${unit}`;
}

const TIMES: Record<string, number> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
  M: 2_592_000_000,
  y: 31_536_000_000,
};
const UNITS: [string, number][] = [
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
];
const SIZES: Record<string, number> = { k: 1024, m: 1024 ** 2, g: 1024 ** 3 };
const BYTES: [string, number][] = [
  ['GiB', 1024 ** 3],
  ['MiB', 1024 ** 2],
  ['KiB', 1024],
];
