/**
 * import: from a file of nginx to a text of ours and a report.
 *
 * Errors: those of `read.ts`.
 */
import { judge } from '../config/check.js';
import { loadValue } from '../config/load.js';
import { ConfigError, type Fault } from '../errors.js';
import type { Config } from '../generated/config.js';
import { convert } from './convert.js';
import type { Note } from './notes.js';
import { read } from './read.js';
import { yaml } from './write.js';

/** What an import gave. */
export interface Imported {
  config: Config;
  /** The config as YAML, with comments. */
  text: string;
  notes: Note[];
  /** What `ironsluice check` would say here, such as that a certificate is not on this machine. */
  faults: readonly Fault[];
}

/** Imports `file`; `schema` is what an editor finds the schema by. */
export function importNginx(file: string, schema: string): Imported {
  const { config, notes, origins } = convert(read(file));
  const all = notes.all();
  return {
    config,
    text: yaml(config, origins, all, { schema, source: file }),
    notes: all,
    faults: faultsOf(config),
  };
}

function faultsOf(config: Config): readonly Fault[] {
  try {
    judge(loadValue(config), true);
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.faults;
    throw error;
  }
}
