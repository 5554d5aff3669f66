/**
 * read: the files of a ledger, and the totals of its newest windows.
 *
 * The newest file carries what was used before it, so of older ones only those are read that another process may have written to since.
 */
import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { entryOf, type Header, headerOf, type Place, placeOf } from './format.js';
import { Totals } from './totals.js';

/** The files in the order in which they were begun; none if there is no such directory. */
export async function files(folder: string): Promise<Place[]> {
  let names: string[];
  try {
    names = await readdir(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
  const places = names.flatMap((name) => placeOf(name) ?? []);
  return places.sort((a, b) => (a.start === b.start ? a.file - b.file : a.start < b.start ? -1 : 1));
}

/** The lines of a file. */
export async function* lines(folder: string, name: string): AsyncGenerator<string> {
  const file = await open(join(folder, name), 'r');
  try {
    yield* file.readLines({ autoClose: false });
  } finally {
    await file.close();
  }
}

/** What was used of the newest windows. */
export async function totals(folder: string): Promise<Totals> {
  const all = await files(folder);
  const sum = new Totals();
  let base: { place: Place; header: Header } | undefined;
  for (const place of all.toReversed()) {
    const header = await headerIn(folder, place.name);
    if (header === undefined) continue;
    base = { place, header };
    sum.load(header.carried);
    break;
  }
  for (const place of all) {
    if (base !== undefined && !(await isAfter(folder, place, base.place))) continue;
    for await (const line of lines(folder, place.name)) {
      const entry = entryOf(line);
      if (entry !== undefined) sum.add(place.start, entry);
    }
  }
  return sum;
}

async function headerIn(folder: string, name: string): Promise<Header | undefined> {
  for await (const line of lines(folder, name)) return headerOf(line);
  return undefined;
}

async function isAfter(folder: string, place: Place, base: Place): Promise<boolean> {
  if (place.start === base.start) return place.file >= base.file;
  if (place.start > base.start) return true;
  const { mtimeMs } = await stat(join(folder, place.name));
  return mtimeMs >= Number(base.start.slice(0, 13)) - SLACK_MS;
}

/** File systems and clocks that are a little off. */
const SLACK_MS = 60_000;
