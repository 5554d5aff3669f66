/**
 * check: `ironsluice check`, all faults of a config at once.
 *
 * With `--json` standard output is a list of faults, empty for a good config; otherwise faults go to
 * standard error as people read them.
 */
import { judge } from '../config/check.js';
import { discover } from '../config/discover.js';
import { loadFile } from '../config/load.js';
import { appModules, bundles, pluginModules } from '../config/modules.js';
import { ConfigError } from '../errors.js';
import { EXIT, type Flags, type Outcome } from './command.js';

/** Checks the config at `path`, or the one that is found. */
export async function check(path: string | undefined, flags: Flags): Promise<Outcome> {
  const label = discover(path);
  try {
    const loaded = await loadFile(label);
    const settings = judge(loaded, true);
    await bundles(loaded, [...appModules(settings), ...pluginModules(settings)]);
  } catch (error) {
    if (!(error instanceof ConfigError) || flags.json !== true) throw error;
    process.stdout.write(`${JSON.stringify(error.faults, null, 2)}\n`);
    return EXIT.config;
  }
  process.stdout.write(flags.json === true ? '[]\n' : `${label}: no faults\n`);
  return EXIT.ok;
}
