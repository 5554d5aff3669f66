/**
 * start: `ironsluice start`, a gateway in the foreground.
 *
 * A config with faults stops the start. A config that is gone or unreadable does not, if the last good
 * one was kept: a machine that reboots without its config mount serves what it served before.
 */
import { type Loaded, loadValue } from '../config/load.js';
import { GateError } from '../errors.js';
import { Gateway } from '../gateway.js';
import { History, sourceOf } from '../history.js';
import { createLog, LEVELS, type Level, type Log } from '../log.js';
import { lastGood } from '../state.js';
import { supervise } from '../supervisor.js';
import type { Flags, Outcome } from './command.js';
import { find, stateDirs } from './kept.js';

/** Starts; the process then lives until a signal ends it. */
export async function start(flags: Flags): Promise<Outcome> {
  const log = createLog({
    level: oneOf('log-level', LEVELS, flags['log-level'] ?? 'info') as Level,
    format: oneOf('log-format', FORMATS, flags['log-format'] ?? 'auto') as (typeof FORMATS)[number],
  });
  const loaded = await load(flags, log);
  const options = { log, admin: true, watch: flags.watch === true };
  const gateway = await supervise(Gateway.start(loaded, options), log);
  for (const { name, address } of gateway.addresses()) log.info({ listener: name, address }, 'listening');
  log.info({ address: gateway.admin }, 'admin listening');
  return undefined;
}

/** What was rolled back to, if that holds; else what the files say; if they are gone, the last good config. */
async function load(flags: Flags, log: Log): Promise<Loaded> {
  const found = await find(flags);
  for (const folder of stateDirs(found, flags)) {
    const history = new History(folder, sourceOf(found));
    const number = await history.pinned(found.touched);
    if (number === undefined) continue;
    log.warn({ number }, 'the config was rolled back, and its files have not changed since');
    return history.read(number, found);
  }
  const { loaded, error, source, named, touched } = found;
  if (loaded !== undefined) return loaded;
  if (!(error instanceof GateError) || !GONE.has(error.code)) throw error;
  for (const folder of stateDirs(found, flags)) {
    const kept = await lastGood(folder, sourceOf(found));
    if (kept === undefined) continue;
    const label = named[0]?.label ?? 'config';
    log.error(
      { source: label, why: error.message, kept: kept.at },
      'THE CONFIG IS GONE: running the last good one',
    );
    return { ...loadValue(JSON.parse(kept.json), label), source, named, touched };
  }
  throw error;
}

function oneOf(flag: string, known: readonly string[], value: string): string {
  if (known.includes(value)) return value;
  throw new GateError('usage', `--${flag} ${JSON.stringify(value)} is none of ${known.join(', ')}`);
}

const GONE: ReadonlySet<string> = new Set(['config_not_found', 'config_unreadable']);
const FORMATS = ['auto', 'json', 'text'] as const;
