/**
 * import: `ironsluice import nginx FILE`, a config of nginx as one of ours.
 *
 * The config goes to standard output or to `--output FILE`, the report to standard error; with `--json` the report is what standard
 * output has.
 * Errors: `usage`, `config_not_found`, `config_unreadable`, `config_invalid`, `config_exists`, `config_unwritable`.
 */
import { writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { GateError } from '../errors.js';
import { importNginx } from '../nginx/import.js';
import { report } from '../nginx/notes.js';
import { EXIT, type Flags, type Outcome } from './command.js';
import { schemaOf } from './init.js';

/** Imports `file`, and says what was left out. */
export async function importFrom(
  kind: string | undefined,
  file: string | undefined,
  flags: Flags,
): Promise<Outcome> {
  if (kind !== 'nginx' || file === undefined) {
    const fix = 'write ironsluice import nginx /etc/nginx/nginx.conf';
    throw new GateError('usage', 'import reads a config of one kind: nginx', fix);
  }
  const { output, json, force } = flags;
  if (json === true && output === undefined) {
    throw new GateError('usage', '--json prints the report where the config would be', 'add --output FILE');
  }
  const { faults, notes, text } = importNginx(file, schemaOf(resolve(output ?? 'ironsluice.yaml')));
  if (output === undefined) process.stdout.write(text);
  else await write(output, text, force === true);
  const left = notes.filter((note) => note.kind === 'left_out').length;
  if (json === true) process.stdout.write(`${JSON.stringify({ notes, faults }, null, 2)}\n`);
  else {
    const checks = faults.map(({ fix, path, why }) => `  ${path}  ${why}${fix === '' ? '' : ` (${fix})`}`);
    const lines = [
      report(notes),
      ...(checks.length === 0 ? [] : ['What ironsluice check says here:', ...checks]),
    ];
    lines.push(
      left === 0
        ? 'All of it was carried over.'
        : `${left} left out: look at each before this takes traffic.`,
    );
    process.stderr.write(`${lines.filter(Boolean).join('\n')}\n`);
  }
  return left === 0 && faults.length === 0 ? EXIT.ok : EXIT.config;
}

async function write(path: string, text: string, overwrite: boolean): Promise<void> {
  try {
    await writeFile(path, text, { flag: overwrite ? 'w' : 'wx' });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') {
      const fix = 'name another, or overwrite it with --force';
      throw new GateError('config_exists', `${path} is there already and was not touched`, fix, {
        cause: error,
      });
    }
    throw new GateError('config_unwritable', `${path} cannot be written: ${code}`, '', { cause: error });
  }
}
