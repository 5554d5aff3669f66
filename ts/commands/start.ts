/**
 * start: `ironsluice start`, a gateway in the foreground.
 *
 * A config with faults stops the start. A config that is gone or unreadable does not, if the last good
 * one was kept: a machine that reboots without its config mount serves what it served before.
 */
import { dirname, join, resolve } from 'node:path';
import { discover } from '../config/discover.js';
import { type Loaded, loadFile, loadValue } from '../config/load.js';
import { GateError } from '../errors.js';
import { Gateway } from '../gateway.js';
import { createLog, LEVELS, type Level, type Log } from '../log.js';
import { type LastGood, lastGood } from '../state.js';
import { supervise } from '../supervisor.js';
import type { Flags, Outcome } from './command.js';

/** Starts; the process then lives until a signal ends it. */
export async function start(flags: Flags): Promise<Outcome> {
  const log = createLog({
    level: oneOf('log-level', LEVELS, flags['log-level'] ?? 'info') as Level,
    format: oneOf('log-format', FORMATS, flags['log-format'] ?? 'auto') as (typeof FORMATS)[number],
  });
  const loaded = await load(discover(flags.config), flags['state-dir'], log);
  const gateway = await supervise(Gateway.start(loaded, { log, admin: true }), log);
  for (const { name, address } of gateway.addresses()) log.info({ listener: name, address }, 'listening');
  log.info({ address: gateway.admin }, 'admin listening');
  return undefined;
}

async function load(path: string, stateDir: string | undefined, log: Log): Promise<Loaded> {
  try {
    return await loadFile(path);
  } catch (error) {
    if (!(error instanceof GateError) || !GONE.has(error.code)) throw error;
    const source = resolve(path);
    const kept = await findLastGood(source, stateDir ?? process.env.IRONSLUICE_STATE_DIR);
    if (kept === undefined) throw error;
    log.error(
      { source: path, why: error.message, kept: kept.at },
      'THE CONFIG IS GONE: running the last good one',
    );
    return { ...loadValue(JSON.parse(kept.json), path), source };
  }
}

/** A config that is gone cannot say where its `state_dir` was: the flag does, or the usual name is tried. */
async function findLastGood(source: string, named: string | undefined): Promise<LastGood | undefined> {
  const folders = named === undefined ? [join(dirname(source), USUAL), resolve(USUAL)] : [named];
  for (const folder of folders) {
    const kept = await lastGood(folder, source);
    if (kept !== undefined) return kept;
  }
  return undefined;
}

function oneOf(flag: string, known: readonly string[], value: string): string {
  if (known.includes(value)) return value;
  throw new GateError('usage', `--${flag} ${JSON.stringify(value)} is none of ${known.join(', ')}`);
}

const GONE: ReadonlySet<string> = new Set(['config_not_found', 'config_unreadable']);
/** Looked for beside the config and in the working directory. */
const USUAL = 'state';
const FORMATS = ['auto', 'json', 'text'] as const;
