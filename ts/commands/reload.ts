/**
 * reload: `ironsluice reload`, asks the running gateway to read its config again.
 *
 * The config says where the admin listener is; the running gateway reads the files itself.
 * Errors: `reload_refused` with the gateway's report, `admin_unreachable`.
 */
import { judge } from '../config/check.js';
import { discoverAll } from '../config/discover.js';
import { loadFiles } from '../config/load.js';
import { GateError } from '../errors.js';
import { publish } from './admin-client.js';
import { EXIT, type Flags, type Outcome } from './command.js';

/** Reloads, and prints the new revision. */
export async function reload(flags: Flags): Promise<Outcome> {
  const bind = flags.admin ?? judge(await loadFiles(discoverAll(flags.config))).adminBind;
  if (bind === undefined) {
    throw new GateError(
      'admin_unreachable',
      'the config says admin: off',
      'send SIGHUP to the gateway instead',
    );
  }
  process.stdout.write(`revision ${await publish(bind, '/reload')} is published\n`);
  return EXIT.ok;
}
