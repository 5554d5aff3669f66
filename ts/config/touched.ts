/**
 * touched: which files a config was read from, also if that failed; and whether they say the same as before.
 */
import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { dirname, isAbsolute, resolve } from 'node:path';
import { glob, isDynamicPattern } from 'tinyglobby';

/** A pattern of `include`, and where it begins. */
export interface Pattern {
  folder: string;
  pattern: string;
}

/** What reading looked at. */
export class Touched {
  /** Absolute paths, in the order in which they were met, each with its state before it was read; some may not be there. */
  readonly files = new Map<string, string>();
  /** Patterns that may match more another time. */
  readonly patterns: Pattern[] = [];

  /** Adds a file, which is about to be read. */
  async note(file: string): Promise<void> {
    if (!this.files.has(file)) this.files.set(file, await stateOf(file));
  }
}

/** Which file is there, and when it was written; links are followed. */
export async function stateOf(file: string): Promise<string> {
  try {
    const { dev, ino, size, mtimeNs } = await stat(file, { bigint: true });
    return `${dev}:${ino}:${size}:${mtimeNs}`;
  } catch {
    return 'gone';
  }
}

/** The files that a pattern matches now, sorted by path; a plain path is its own match, there or not. */
export async function matches({ folder, pattern }: Pattern): Promise<string[]> {
  if (!isDynamicPattern(pattern)) return [resolve(folder, pattern)];
  const found = await glob(pattern, { cwd: folder, absolute: true, onlyFiles: true, deep: DEEPEST });
  return found.map((path) => resolve(path)).sort();
}

/** The folders in which a new file can become a match: those that are there, and those that may come. */
export async function foldersOf({ folder, pattern }: Pattern): Promise<string[]> {
  const steps = pattern.split('/').slice(0, -1);
  const firstOpen = steps.findIndex((step) => isDynamicPattern(step));
  const fixed = firstOpen === -1 ? steps : steps.slice(0, firstOpen);
  const base = isAbsolute(pattern) ? resolve('/', ...fixed) : resolve(folder, ...fixed);
  if (firstOpen === -1) return [base];
  const open = steps.slice(firstOpen).map((_, at) => steps.slice(firstOpen, firstOpen + at + 1).join('/'));
  const options = { cwd: base, absolute: true, onlyDirectories: true, deep: DEEPEST };
  const found = await Promise.all(open.map((part) => glob(part, options)));
  return [base, ...found.flat().map((path) => resolve(path))].slice(0, MOST_FOLDERS);
}

/** Tells what all these files say from anything else they may say. */
export async function fingerprint(files: Iterable<string>): Promise<string> {
  const hash = createHash('sha256');
  for (const file of files) {
    const bytes = await readFile(file).catch(() => undefined);
    hash.update(`${file}\0${bytes === undefined ? 'gone' : bytes.length}\0`);
    if (bytes !== undefined) hash.update(bytes);
  }
  return hash.digest('hex');
}

/** The nearest folder at or above `path` for which `isThere` holds. */
export function nearest(path: string, isThere: (path: string) => boolean): string {
  let at = path;
  while (!isThere(at) && at !== dirname(at)) at = dirname(at);
  return at;
}

/** How many folders below its own a pattern reaches. */
const DEEPEST = 16;
const MOST_FOLDERS = 1_000;
