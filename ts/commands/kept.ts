/**
 * kept: what `state_dir` has of a config, found without a gateway that runs.
 *
 * A config that is gone or has faults cannot say where its `state_dir` is: `--state-dir` or `IRONSLUICE_STATE_DIR` does, or
 * `state` is tried, beside the config and in the working directory.
 */
import { dirname, join, resolve } from 'node:path';
import { discoverAll } from '../config/discover.js';
import { type Loaded, loadFiles } from '../config/load.js';
import { Touched } from '../config/touched.js';
import { History, sourceOf } from '../history.js';
import type { Flags } from './command.js';

/** A config as it was found, good or not. */
export interface Found {
  named: Loaded['named'];
  source: string;
  touched: Touched;
  /** Without it, {@link error} says why. */
  loaded?: Loaded;
  error?: unknown;
}

/** Reads the config that is named or found; a fault of it is handed back, not thrown. */
export async function find(flags: Flags): Promise<Found> {
  const named = discoverAll(flags.config).map((label) => ({ label, source: resolve(label) }));
  const touched = new Touched();
  const found: Found = { named, source: named[0]?.source ?? '', touched };
  try {
    found.loaded = await loadFiles(named, process.env, touched);
  } catch (error) {
    found.error = error;
  }
  return found;
}

/** The directories that can be its `state_dir`. */
export function stateDirs({ loaded, source }: Found, flags: Flags): string[] {
  const said = loaded === undefined ? undefined : (JSON.parse(loaded.json) as { state_dir?: unknown });
  if (typeof said?.state_dir === 'string') return [said.state_dir];
  const named = flags['state-dir'] ?? process.env.IRONSLUICE_STATE_DIR;
  return named === undefined ? [join(dirname(source), USUAL), resolve(USUAL)] : [named];
}

/** The first of them that has a history of the config. */
export async function historyOf(found: Found, flags: Flags): Promise<History | undefined> {
  for (const folder of stateDirs(found, flags)) {
    const history = new History(folder, sourceOf(found));
    if ((await history.list()).length > 0) return history;
  }
  return undefined;
}

const USUAL = 'state';
