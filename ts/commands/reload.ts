/**
 * reload: `ironsluice reload`, asks the running gateway to read its config again.
 *
 * The config says where the admin listener is; the running gateway reads the file itself.
 * Errors: `reload_refused` with the gateway's report, `admin_unreachable`. Bounds: {@link PATIENCE_MS}.
 */
import { judge } from '../config/check.js';
import { discover } from '../config/discover.js';
import { loadFile } from '../config/load.js';
import { GateError } from '../errors.js';
import { EXIT, type Flags, type Outcome } from './command.js';

/** Reloads, and prints the new revision. */
export async function reload(flags: Flags): Promise<Outcome> {
  const bind = flags.admin ?? judge(await loadFile(discover(flags.config))).adminBind;
  if (bind === undefined) {
    throw new GateError(
      'admin_unreachable',
      'the config says admin: off',
      'send SIGHUP to the gateway instead',
    );
  }
  const address = bind.replace(/^0\.0\.0\.0:/, '127.0.0.1:').replace(/^\[::\]:/, '[::1]:');
  const answer = await ask(address);
  const text = await answer.text();
  if (answer.ok) {
    const { revision } = JSON.parse(text) as { revision: number };
    process.stdout.write(`revision ${revision} is published\n`);
    return EXIT.ok;
  }
  throw new GateError('reload_refused', detailOf(text) ?? `${address} answered ${answer.status}`);
}

async function ask(address: string): Promise<Response> {
  try {
    return await fetch(`http://${address}/reload`, {
      method: 'POST',
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
  } catch (error) {
    const { cause = error } = error as { cause?: unknown };
    const { code, message } = cause as NodeJS.ErrnoException;
    const why = code === 'ECONNREFUSED' ? 'nothing listens there' : (code ?? message);
    throw new GateError(
      'admin_unreachable',
      `the admin listener at ${address} cannot be reached: ${why}`,
      'is the gateway running? its admin.bind, or --admin IP:PORT, says where',
      { cause: error },
    );
  }
}

function detailOf(text: string): string | undefined {
  try {
    const { detail } = JSON.parse(text) as { detail?: unknown };
    return typeof detail === 'string' ? detail : undefined;
  } catch {
    return undefined;
  }
}

/** Longer than the gateway's own deadline for a reload. */
const PATIENCE_MS = 35_000;
