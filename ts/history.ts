/**
 * history: the configs that were published, to go back to.
 *
 * `history-HASH/N.jsonl` in `state_dir`, one folder for each source. A file has three lines: an {@link Entry}, the config as
 * the core took it, and as people may see it. The second has variables filled in and may hold secrets: folder 0700, file
 * 0600, as all of `state_dir`. Numbers go on over restarts, and a config that equals the newest is not kept twice.
 * `rollback.json` says which of them runs at the next start, while the config's files stay as they were.
 * Bounds: `history.revisions` and `history.size`; the oldest leave first.
 */
import { createHash } from 'node:crypto';
import { open, readdir, readFile, rm, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { changes } from './changes.js';
import { type Loaded, loadFiles, loadValue } from './config/load.js';
import { fingerprint, Touched } from './config/touched.js';
import { GateError } from './errors.js';
import { nameOf, own, put } from './state.js';

/** One config that was published. */
export interface Entry {
  /** Counts from 1, for as long as the folder lives. */
  number: number;
  /** When, ISO 8601. */
  at: string;
  /** How, and by whom if that was said: `start`, `SIGHUP`, `reload by alice`. */
  by: string;
  /** What is different from the one before. */
  changes: string;
  /** SHA-256 of the config, hex. */
  hash: string;
}

/** How much is kept. */
export interface Bounds {
  /** How many. */
  revisions: number;
  bytes: number;
}

/** What a config is rolled back to, and the files that it takes the place of. */
interface Pin {
  number: number;
  /** Of the config's files at that time; once they differ, they count again. */
  fingerprint: string;
}

/** What was published from one source. */
export class History {
  readonly #folder: string;

  /** `source` names the source: the paths of the files that are named to start a gateway. */
  constructor(stateDir: string, source: string) {
    this.#folder = join(resolve(stateDir), `history-${nameOf(source)}`);
  }

  /** All that is kept, the newest first. */
  async list(): Promise<Entry[]> {
    const entries = await Promise.all((await this.#numbers()).map((number) => this.#entry(number)));
    return entries.filter((entry) => entry !== undefined).reverse();
  }

  /** Keeps a config that was published, unless it equals the newest; what is beyond `bounds` leaves. */
  async add(json: string, shown: string, by: string, bounds: Bounds): Promise<void> {
    if (bounds.revisions > 0) await this.#add(json, shown, by);
    await this.#trim(bounds);
  }

  /**
   * A config that is kept, in place of what the files of `now` say.
   *
   * @throws GateError `config_not_kept`.
   */
  async read(number: number, now: Pick<Loaded, 'source' | 'named' | 'touched'>): Promise<Loaded> {
    const [, json, shown] = await this.#lines(number);
    if (json === undefined || shown === undefined) {
      const kept = await this.#numbers();
      const there = kept.length === 0 ? 'none is' : `${kept[0]} to ${kept.at(-1)} are`;
      throw new GateError('config_not_kept', `no revision ${number} is kept: ${there}`, 'ironsluice history');
    }
    const { source, named, touched } = now;
    const loaded = loadValue(JSON.parse(json), `revision ${number} of the history`);
    return { ...loaded, shown: () => JSON.parse(shown), source, named, touched, number };
  }

  /** Has `number` run at the next start too, for as long as the files of a config stay as they are now. */
  async pin(number: number, named: Loaded['named']): Promise<void> {
    const pin: Pin = { number, fingerprint: await stateOf(named) };
    await put(this.#pin, `${JSON.stringify(pin)}\n`);
  }

  /** The number that was pinned, if the files are as they were then. `seen` is what reading them looked at. */
  async pinned(seen: Touched): Promise<number | undefined> {
    try {
      await own(this.#folder);
      const pin = JSON.parse(await readFile(this.#pin, 'utf8')) as Pin;
      return pin.fingerprint === (await fingerprint(seen.files.keys())) ? pin.number : undefined;
    } catch {
      return undefined;
    }
  }

  /** The files count again. */
  async unpin(): Promise<void> {
    await rm(this.#pin, { force: true });
  }

  async #add(json: string, shown: string, by: string): Promise<void> {
    const hash = createHash('sha256').update(json).digest('hex');
    for (let tries = 0; ; tries += 1) {
      const last = (await this.#numbers()).at(-1) ?? 0;
      const [line, before] = last === 0 ? [] : await this.#lines(last);
      if (line?.hash === hash) return;
      const what = before === undefined ? 'the first that is kept' : changes(before, json);
      const entry: Entry = { number: last + 1, at: new Date().toISOString(), by, changes: what, hash };
      try {
        await put(this.#file(last + 1), `${JSON.stringify(entry)}\n${json}\n${shown}\n`, true);
        return;
      } catch (error) {
        // Another gateway of the same config was faster.
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || tries >= MOST_TRIES) throw error;
      }
    }
  }

  async #trim({ revisions, bytes }: Bounds): Promise<void> {
    let left = bytes;
    for (const [at, number] of (await this.#numbers()).reverse().entries()) {
      const { size } = await stat(this.#file(number));
      left -= size;
      const isNewest = at === 0 && revisions > 0;
      if (!isNewest && (at >= revisions || left < 0)) await rm(this.#file(number), { force: true });
    }
  }

  /** The numbers that are kept, the oldest first. */
  async #numbers(): Promise<number[]> {
    const names = await readdir(this.#folder).catch(() => []);
    const numbers = names.flatMap((name) => /^([1-9]\d{0,14})\.jsonl$/.exec(name)?.[1] ?? []);
    return numbers.map(Number).sort((a, b) => a - b);
  }

  /** The first line alone: the others may be long. */
  async #entry(number: number): Promise<Entry | undefined> {
    try {
      const file = await open(this.#file(number));
      try {
        const { buffer, bytesRead } = await file.read(Buffer.alloc(LONGEST_LINE), 0, LONGEST_LINE, 0);
        const [line = ''] = buffer.toString('utf8', 0, bytesRead).split('\n', 1);
        return JSON.parse(line) as Entry;
      } finally {
        await file.close();
      }
    } catch {
      return undefined; // it left in between, or somebody wrote into it
    }
  }

  async #lines(number: number): Promise<[entry?: Entry, json?: string, shown?: string]> {
    try {
      await own(this.#folder);
      const [entry = '', json, shown] = (await readFile(this.#file(number), 'utf8')).split('\n');
      if (json === undefined || shown === undefined) return [];
      const { hash, ...rest } = JSON.parse(entry) as Entry;
      const isWhole = createHash('sha256').update(json).digest('hex') === hash;
      return isWhole ? [{ ...rest, hash }, json, shown] : [];
    } catch {
      return [];
    }
  }

  #file(number: number): string {
    return join(this.#folder, `${number}.jsonl`);
  }

  get #pin(): string {
    return join(this.#folder, 'rollback.json');
  }
}

/** The name of a config's source in `state_dir`: the paths of the files that were named. */
export function sourceOf({ named }: Pick<Loaded, 'named'>): string {
  return named.map(({ source }) => source).join('\n');
}

/** What the files of a config say now, also if that is no config. */
async function stateOf(named: Loaded['named']): Promise<string> {
  const touched = new Touched();
  await loadFiles(named, process.env, touched).catch(() => {});
  return fingerprint(touched.files.keys());
}

const MOST_TRIES = 16;
/** Of an {@link Entry}: names of a few lists, each cut. */
const LONGEST_LINE = 64 * 1024;
