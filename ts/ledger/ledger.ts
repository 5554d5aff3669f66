/**
 * ledger: writes down what consumers used of their quotas, in `state_dir/ledger`, and gives it back at a start.
 *
 * Each {@link INTERVAL_MS} what was charged since is appended and synced (`fdatasync`). A process that is killed loses what was charged after the last
 * write: up to that time, and the time that a write takes. While the disk refuses, it waits in the core, whose
 * bound is said there; what does not fit is counted.
 * Bounds: one write at a time; a file ends at {@link MAX_BYTES} and at the end of a day (UTC). Nothing is ever deleted.
 */
import { randomBytes } from 'node:crypto';
import { type FileHandle, mkdir, open, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { wrap } from '../errors.js';
import type { Log } from '../log.js';
import type { KeptUsage, Native, Settings } from '../native.js';
import { own } from '../state.js';
import { END, entryOf, type Header, nameOf } from './format.js';
import { files, totals } from './read.js';
import { Totals } from './totals.js';

/** A directory that is written to from now on, and what was in it. */
interface Opened {
  folder: string;
  start: string;
  totals: Totals;
}

/** A file that is written to. */
interface Open {
  handle: FileHandle;
  /** What is known to be whole, in bytes. */
  size: number;
  day: string;
}

/** The ledger of one gateway. */
export class Ledger {
  readonly #log: Log;
  #ready: Opened | undefined;
  #opened: Opened | undefined;
  #native: Pick<Native, 'takeUsage'> | undefined;
  #file: Open | undefined;
  #files = 0;
  /** Taken from the core and not yet written. */
  #pending = '';
  #failed = false;
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();

  constructor(log: Log) {
    this.#log = log;
  }

  /** What consumers had used, if the ledger is to be opened for this config; then comes `commit` or `abandon`. */
  async prepare(settings: Settings): Promise<KeptUsage[] | undefined> {
    const { hasQuotas, stateDir } = settings;
    const folder = stateDir === undefined ? undefined : join(resolve(stateDir), 'ledger');
    if (this.#opened !== undefined) {
      if (folder !== this.#opened.folder) {
        this.#log.warn(
          { folder: this.#opened.folder },
          'the ledger stays where it is until the gateway starts again',
        );
      }
      return undefined;
    }
    if (!hasQuotas) return undefined;
    if (folder === undefined) {
      this.#log.warn(
        'without state_dir there is no ledger: a restart sets quotas to 0, but for those of scope global',
      );
      return undefined;
    }
    let sum = new Totals();
    let newest = 0;
    try {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      await own(folder);
      sum = await totals(folder);
      newest = Number((await files(folder)).at(-1)?.start.slice(0, 13) ?? 0);
    } catch (error) {
      this.#log.error({ err: wrap(error), folder }, 'the ledger cannot be read: quotas begin at 0');
    }
    // Greater than all before, also after the clock was set back.
    const start = `${Math.max(Date.now(), newest + 1)}-${randomBytes(2).toString('hex')}`;
    this.#ready = { folder, start, totals: sum };
    return sum.kept();
  }

  /** What was prepared is in force. */
  commit(native: Pick<Native, 'takeUsage'>): void {
    if (this.#ready === undefined) return;
    this.#opened = this.#ready;
    this.#ready = undefined;
    this.#native = native;
    this.#plan();
  }

  abandon(): void {
    this.#ready = undefined;
  }

  /** Writes what was charged since the last time; resolves when it is on disk, or was refused. */
  write(): Promise<void> {
    this.#writing = this.#writing.then(() => this.#write());
    return this.#writing;
  }

  /** Writes the last of it and that this was the end. The core must be closed. */
  async close(): Promise<void> {
    if (this.#opened === undefined) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    await this.write();
    const file = this.#file;
    this.#file = undefined;
    this.#opened = undefined;
    if (file === undefined) return;
    try {
      if (this.#pending === '') await file.handle.write(END, file.size);
      await file.handle.datasync();
    } catch (error) {
      this.#log.error({ err: wrap(error) }, 'the end of the ledger could not be written');
    } finally {
      await file.handle.close();
    }
  }

  #plan(): void {
    this.#timer = setTimeout(() => {
      void this.write().finally(() => {
        if (this.#timer !== undefined) this.#plan();
      });
    }, INTERVAL_MS);
    this.#timer.unref();
  }

  async #write(): Promise<void> {
    const opened = this.#opened;
    if (opened === undefined) return;
    if (this.#pending === '') this.#pending = this.#native?.takeUsage() ?? '';
    if (this.#pending === '') return;
    try {
      const file = await this.#open(opened);
      const bytes = Buffer.from(this.#pending);
      await put(file.handle, bytes, file.size);
      file.size += bytes.length;
    } catch (error) {
      if (!this.#failed) {
        const { folder } = opened;
        this.#log.error({ err: wrap(error), folder }, 'the ledger cannot be written: usage waits in memory');
      }
      this.#failed = true;
      return;
    }
    if (this.#failed) this.#log.warn({ folder: opened.folder }, 'the ledger is written again');
    this.#failed = false;
    for (const line of this.#pending.split('\n')) {
      const entry = entryOf(line);
      if (entry !== undefined) opened.totals.add(opened.start, entry);
    }
    this.#pending = '';
  }

  /** The file to write to now. */
  async #open(opened: Opened): Promise<Open> {
    const now = new Date();
    const day = now.toISOString().slice(0, 10);
    const before = this.#file;
    if (before !== undefined && before.day === day && before.size < MAX_BYTES) return before;
    const { folder, start, totals } = opened;
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await own(folder);
    const time = Math.floor(now.getTime() / 1000);
    const header: Header = {
      ledger: 1,
      start,
      file: this.#files + 1,
      time,
      carried: totals.carry(time - KEPT_SECONDS),
    };
    const path = join(folder, nameOf(start, header.file));
    const handle = await open(path, 'wx', 0o600);
    const bytes = Buffer.from(`${JSON.stringify(header)}\n`);
    try {
      await put(handle, bytes, 0);
      const directory = await open(folder, 'r');
      await directory.sync().finally(() => directory.close());
    } catch (error) {
      await handle.close();
      await rm(path, { force: true });
      throw error;
    }
    this.#files = header.file;
    this.#file = { handle, size: bytes.length, day };
    await before?.handle.close();
    return this.#file;
  }
}

/** Writes all of it at this place and syncs it; what an earlier try left behind it is cut off. */
async function put(handle: FileHandle, bytes: Buffer, at: number): Promise<void> {
  await handle.truncate(at);
  let done = 0;
  while (done < bytes.length) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, at + done);
    done += bytesWritten;
  }
  await handle.datasync();
}

const INTERVAL_MS = 1_000;
/** 64 MiB. */
const MAX_BYTES = 64 * 1024 * 1024;
/** Windows that began longer ago are not carried on: a month and its neighbour. */
const KEPT_SECONDS = 63 * 86_400;
