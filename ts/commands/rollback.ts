/**
 * rollback: `ironsluice rollback N`, publishes a config of the history again.
 *
 * The running gateway does it. If none is reached it is noted for the next start.
 * Errors: `usage`, `config_not_kept`, `reload_refused` with the gateway's words.
 */

import { folderOf } from '../config/load.js';
import { GateError } from '../errors.js';
import { check } from '../native.js';
import { publish } from './admin-client.js';
import { EXIT, type Flags, type Outcome } from './command.js';
import { type Found, find, historyOf } from './kept.js';

/** Rolls back, and says what runs now or when. */
export async function rollback(word: string | undefined, flags: Flags): Promise<Outcome> {
  if (word === undefined || !/^[1-9]\d{0,14}$/.test(word)) {
    throw new GateError('usage', 'rollback takes the number of a revision', 'ironsluice history lists them');
  }
  const number = Number(word);
  const found = await find(flags);
  const bind = flags.admin ?? adminOf(found);
  let why = 'the config says admin: off';
  if (bind !== undefined) {
    try {
      const revision = await publish(bind, '/rollback', { number });
      process.stdout.write(`number ${number} is published as revision ${revision}\n`);
      return EXIT.ok;
    } catch (error) {
      // A gateway that was named on purpose has to be there.
      const isGone = error instanceof GateError && error.code === 'admin_unreachable';
      if (!isGone || flags.admin !== undefined) throw error;
      why = error.message.replace(` (${error.fix})`, '');
    }
  }
  const history = await historyOf(found, flags);
  if (history === undefined) {
    throw new GateError(
      'config_not_kept',
      'nothing is kept of this config',
      'name its state_dir: --state-dir FOLDER',
    );
  }
  await history.read(number, found);
  await history.pin(number, found.named);
  process.stdout.write(`number ${number} will run at the next start: ${why}\n`);
  return EXIT.ok;
}

/** Where the gateway is, as the config says; the default if it has faults. */
function adminOf({ loaded }: Found): string | undefined {
  if (loaded === undefined) return USUAL;
  const { settings } = check(loaded.json, folderOf(loaded), false);
  return settings === undefined ? USUAL : settings.adminBind;
}

/** The default of `admin.bind`. */
const USUAL = '127.0.0.1:9901';
