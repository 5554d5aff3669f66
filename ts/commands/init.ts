/**
 * init: `ironsluice init`, a config to begin with.
 *
 * Its first line leads editors to the schema of the installed package: by a path from the file where that holds on
 * every machine, which is below a folder whose `node_modules` has this package, else by a URL of this machine.
 * Errors: `usage`, `config_exists`, `config_unwritable`.
 */
import { realpathSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { discover } from '../config/discover.js';
import { starter } from '../config/starter.js';
import { GateError } from '../errors.js';
import { EXIT, type Flags, type Outcome } from './command.js';

/** Writes the config to `named`, and says what to do next. */
export async function init(named: string | undefined, flags: Flags): Promise<Outcome> {
  const label = named ?? USUAL;
  if (!/\.ya?ml$/.test(label)) {
    throw new GateError(
      'usage',
      `init writes YAML, and ${label} does not end in .yaml`,
      `name it ${label}.yaml`,
    );
  }
  const path = resolve(label);
  await write(path, label, flags.force === true);
  process.stdout.write(next(path, label));
  return EXIT.ok;
}

/** How an editor finds the schema from a file at `path`. */
export function schemaOf(path: string, root: string = ROOT): string {
  const own = real(root);
  const folder = real(dirname(path)) ?? dirname(path);
  for (let at = folder; ; at = dirname(at)) {
    // Inside of a clone, or of a project that has the package.
    const way = own === at ? at : join(at, 'node_modules/ironsluice');
    if (own !== undefined && real(way) === own)
      return `./${relative(folder, join(way, SCHEMA))}`.replace('./../', '../');
    if (at === dirname(at)) return pathToFileURL(join(root, SCHEMA)).href;
  }
}

async function write(path: string, label: string, overwrite: boolean): Promise<void> {
  try {
    await writeFile(path, starter(schemaOf(path)), { flag: overwrite ? 'w' : 'wx' });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') {
      const fix = `begin another with "ironsluice init FILE", or overwrite it with "ironsluice init --force ${label}"`;
      throw new GateError('config_exists', `${label} is there already and was not touched`, fix, {
        cause: error,
      });
    }
    const why = WHY[code ?? ''] ?? String(code);
    throw new GateError('config_unwritable', `${label} cannot be written: ${why}`, '', { cause: error });
  }
}

function next(path: string, label: string): string {
  const command = process.env.npm_command === 'exec' ? 'npx ironsluice' : 'ironsluice';
  const [file, flag] = found() === path ? ['', ''] : [` ${label}`, ` --config ${label}`];
  const lines = [
    [`${command} start${flag}`, 'serves it: http://127.0.0.1:8080, or PORT=8081 in front for another port'],
    [`${command} check${file}`, 'says what is wrong with it, after you have edited it'],
    [`${command} reload${flag}`, 'makes the running gateway read it again'],
  ];
  const width = Math.max(...lines.map(([words = '']) => words.length));
  const shown = lines.map(([words = '', what]) => `  ${words.padEnd(width)}   ${what}`);
  return `${[`${label} is written. Next:`, ...shown].join('\n')}\n`;
}

/** What the other commands take when no file is named. */
function found(): string | undefined {
  try {
    return resolve(discover(undefined));
  } catch {
    return undefined;
  }
}

function real(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch {
    return undefined;
  }
}

/** This file runs as `dist/ts/commands/init.js`. */
const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const SCHEMA = 'bindings/config.schema.json';
const USUAL = 'ironsluice.yaml';
const WHY: Record<string, string> = {
  EACCES: 'permission denied',
  EISDIR: 'it is a directory',
  ENOENT: 'its folder is not there',
  EROFS: 'the file system is read-only',
};
