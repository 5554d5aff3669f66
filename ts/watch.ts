/**
 * watch: says when the files of a config have changed, as `start --watch` wants it.
 *
 * Folders are watched, not files: editors write a new file and rename it, and a mounted ConfigMap swaps a link. Each event
 * leads to one look at what the files are, {@link QUIET_MS} after the last and {@link LATEST_MS} after the first; only what
 * was really written since it was read counts. Where the system gives no watch, there is a look each {@link POLL_MS}.
 * Bounds: one watch a folder.
 */
import { existsSync, type FSWatcher, statSync, watch } from 'node:fs';
import { realpath } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { foldersOf, matches, nearest, stateOf, type Touched } from './config/touched.js';
import { wrap } from './errors.js';
import type { Log } from './log.js';

/** Looks until it is stopped. */
export class ConfigWatch {
  readonly #touched: () => readonly Touched[];
  readonly #onChange: () => Promise<unknown>;
  readonly #log: Log;
  readonly #watchers = new Map<string, FSWatcher>();
  /** Names that matter, by folder; `undefined` for all. */
  #names = new Map<string, Set<string> | undefined>();
  #timer: NodeJS.Timeout | undefined;
  #poll: NodeJS.Timeout | undefined;
  #since: number | undefined;
  #looking = false;
  #again = false;
  #stopped = false;

  /** `touched` gives what was read last, and what is in force; `onChange` reads again. */
  constructor(touched: () => readonly Touched[], onChange: () => Promise<unknown>, log: Log) {
    this.#touched = touched;
    this.#onChange = onChange;
    this.#log = log;
  }

  /** Begins; what changed since it was read is found too. */
  async start(): Promise<void> {
    await this.#arm();
    this.#soon();
  }

  /** Nothing is read any more on its account. */
  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    clearInterval(this.#poll);
    for (const watcher of this.#watchers.values()) watcher.close();
    this.#watchers.clear();
  }

  #soon(): void {
    if (this.#stopped) return;
    const now = performance.now();
    this.#since ??= now;
    clearTimeout(this.#timer);
    const wait = Math.max(0, Math.min(QUIET_MS, this.#since + LATEST_MS - now));
    this.#timer = setTimeout(() => void this.#look(), wait);
  }

  async #look(): Promise<void> {
    this.#since = undefined;
    if (this.#looking) {
      this.#again = true;
      return;
    }
    this.#looking = true;
    try {
      if (await this.#hasChanged()) {
        await this.#onChange().catch((error) => {
          this.#log.error({ err: wrap(error) }, 'the reload was refused; the old config stays');
        });
      }
      if (!this.#stopped && (await this.#arm())) this.#again = true;
    } catch (error) {
      this.#log.error({ err: wrap(error) }, 'the files of the config could not be looked at');
    } finally {
      this.#looking = false;
    }
    if (this.#again) this.#soon();
    this.#again = false;
  }

  async #hasChanged(): Promise<boolean> {
    // What was read last says how files were; files that only the config in force has, how they were then.
    const known = new Map<string, string>();
    const all = this.#touched();
    for (const { files } of all)
      for (const [file, state] of files) if (!known.has(file)) known.set(file, state);
    for (const [file, state] of known) if ((await stateOf(file)) !== state) return true;
    for (const pattern of all[0]?.patterns ?? []) {
      for (const file of await matches(pattern)) if (!known.has(file)) return true;
    }
    return false;
  }

  /** Watches the folders that matter now, and no others. True if one is new: what happened in it before went unseen. */
  async #arm(): Promise<boolean> {
    const names = new Map<string, Set<string> | undefined>();
    const want = (folder: string, name: string | undefined): void => {
      const there = nearest(folder, isFolder);
      const known = names.get(there);
      if (name === undefined || there !== folder) names.set(there, undefined);
      else if (known !== undefined) known.add(name);
      else if (!names.has(there)) names.set(there, new Set([name]));
    };
    for (const { files, patterns } of this.#touched()) {
      for (const file of files.keys()) {
        want(dirname(file), basename(file));
        const real = await realpath(file).catch(() => file);
        if (real !== file) want(dirname(real), basename(real));
      }
      for (const pattern of patterns) for (const folder of await foldersOf(pattern)) want(folder, undefined);
    }
    this.#names = names;
    for (const [folder, watcher] of this.#watchers) if (!names.has(folder)) this.#drop(folder, watcher);
    let isNew = false;
    for (const folder of names.keys()) {
      if (this.#watchers.has(folder)) continue;
      this.#open(folder);
      isNew = true;
    }
    return isNew && this.#poll === undefined;
  }

  #open(folder: string): void {
    if (this.#poll !== undefined || this.#stopped) return;
    try {
      const watcher = watch(folder, { persistent: false }, (_event, name) => this.#event(folder, name));
      watcher.on('error', (error) => {
        this.#drop(folder, watcher);
        if (existsSync(folder)) this.#pollInstead(folder, error);
        else this.#soon();
      });
      this.#watchers.set(folder, watcher);
    } catch (error) {
      this.#pollInstead(folder, error);
    }
  }

  #event(folder: string, name: string | null): void {
    const wanted = this.#names.get(folder);
    // `..data` is the link that a mounted ConfigMap swaps.
    if (wanted === undefined || name === null || wanted.has(name) || name.startsWith('..')) this.#soon();
    // The folder itself went away: another one of this name has to be watched.
    else if (name === basename(folder) && !existsSync(folder)) this.#soon();
    if (!existsSync(folder)) {
      const watcher = this.#watchers.get(folder);
      if (watcher !== undefined) this.#drop(folder, watcher);
    }
  }

  #drop(folder: string, watcher: FSWatcher): void {
    watcher.close();
    this.#watchers.delete(folder);
  }

  #pollInstead(folder: string, error: unknown): void {
    if (this.#poll !== undefined || this.#stopped) return;
    const { code, message } = error as NodeJS.ErrnoException;
    const fix = code === 'ENOSPC' ? 'raise fs.inotify.max_user_watches to have it' : 'nothing has to be done';
    this.#log.warn(
      { folder, why: code ?? message, every_ms: POLL_MS, fix },
      'the system gives no watch: files are looked at in turns',
    );
    this.#poll = setInterval(() => void this.#look(), POLL_MS);
    this.#poll.unref();
  }
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

const QUIET_MS = 100;
const LATEST_MS = 1_000;
const POLL_MS = 2_000;
