/**
 * check: `ironsluice check`, all faults of a config at once.
 *
 * With `--json` standard output is a list of faults, empty for a good config; otherwise faults go to
 * standard error as people read them.
 */
import { judge } from '../config/check.js';
import { discoverAll } from '../config/discover.js';
import { loadFiles } from '../config/load.js';
import { appModules, bundles, pluginModules } from '../config/modules.js';
import { ConfigError, GateError, type LocatedFault } from '../errors.js';
import { EXIT, type Flags, type Outcome } from './command.js';

/** Checks the config at `path`, those that are named, or the one that is found. */
export async function check(path: string | undefined, flags: Flags): Promise<Outcome> {
  let labels: string[] = [];
  try {
    labels = discoverAll(path === undefined ? flags.config : [path, ...(flags.config ?? [])]);
    const loaded = await loadFiles(labels);
    const settings = judge(loaded, true);
    await bundles(loaded, [...appModules(settings), ...pluginModules(settings)]);
  } catch (error) {
    if (flags.json !== true || !(error instanceof GateError) || !error.code.startsWith('config_'))
      throw error;
    const faults = error instanceof ConfigError ? error.faults : [whole(error)];
    const [label] = labels;
    process.stdout.write(
      `${JSON.stringify(
        faults.map((fault) => row(fault, label)),
        null,
        2,
      )}\n`,
    );
    return EXIT.config;
  }
  process.stdout.write(flags.json === true ? '[]\n' : `${labels.join(', ')}: no faults\n`);
  return EXIT.ok;
}

/** A fault as programs read it: every key is there, `null` for what is not known. */
function row({ file, line, column, path, onKey, why, fix }: LocatedFault, label: string | undefined): object {
  return { file: file ?? label ?? null, line: line ?? null, column: column ?? null, path, onKey, why, fix };
}

/** An error that is about the file as such. */
function whole({ message, fix }: GateError): LocatedFault {
  return { path: '', onKey: false, why: message.replace(` (${fix})`, ''), fix };
}
