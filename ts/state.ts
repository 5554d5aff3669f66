/**
 * state: the last good config on disk, for a start without its source.
 *
 * One file for each source, `last-good-HASH.json`, in `state_dir`. The config in it is the one the core
 * took, variables filled in, so it may hold secrets: the directory has mode 0700, the file 0600, and
 * others' directories are refused.
 * A write is whole or not at all: temporary file, fsync, rename, fsync of the directory.
 */
import { createHash, randomBytes } from 'node:crypto';
import { link, mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';

/** What is kept. */
export interface LastGood {
  /** Absolute path of the config's source. */
  source: string;
  /** When it was published, ISO 8601. */
  at: string;
  /** The config as JSON. */
  json: string;
}

/**
 * Keeps `json` as the last good config of `source`.
 *
 * @throws what the file system throws, and an error if `folder` belongs to somebody else.
 */
export async function keep(
  folder: string,
  source: string,
  json: string,
  at: Date = new Date(),
): Promise<void> {
  await put(
    fileOf(folder, source),
    JSON.stringify({ source, at: at.toISOString(), json } satisfies LastGood),
  );
}

/**
 * Writes a file that others may not read, whole or not at all; makes its directory, of mode 0700. One that is there is
 * replaced, or is an error (`EEXIST`) if the file `isNew`.
 *
 * @throws what the file system throws, and an error if the directory belongs to somebody else.
 */
export async function put(path: string, text: string, isNew = false): Promise<void> {
  const folder = dirname(path);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await own(folder);
  const temporary = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    const file = await open(temporary, 'wx', 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    if (isNew) {
      await link(temporary, path);
      await rm(temporary);
    } else await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  const directory = await open(folder, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** The last good config of `source`, or `undefined` if none was kept or it cannot be trusted. */
export async function lastGood(folder: string, source: string): Promise<LastGood | undefined> {
  try {
    await own(folder);
    const kept = JSON.parse(await readFile(fileOf(folder, source), 'utf8')) as Partial<LastGood>;
    const { at, json } = kept;
    return kept.source === source && typeof at === 'string' && typeof json === 'string'
      ? { source, at, json }
      : undefined;
  } catch {
    return undefined;
  }
}

/** Refuses a directory that others may write to. */
export async function own(folder: string): Promise<void> {
  const { uid, mode } = await stat(folder);
  const self = process.getuid?.() ?? uid;
  if (uid !== self) throw new Error(`${folder} belongs to user ${uid}, not to ${self}`);
  if ((mode & 0o022) !== 0) throw new Error(`${folder} can be written by others: chmod 700 ${folder}`);
}

function fileOf(folder: string, source: string): string {
  return join(resolve(folder), `last-good-${nameOf(source)}.json`);
}

/** What a source is called in a directory. */
export function nameOf(source: string): string {
  return createHash('sha256').update(source).digest('hex').slice(0, 16);
}
