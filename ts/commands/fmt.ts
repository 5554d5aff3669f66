/**
 * fmt: `ironsluice fmt`, configs in one style: what they say, their comments and their order stay.
 *
 * YAML is written by the library that reads it, JSON as `JSON.stringify` has it, both with two spaces. A text that would say
 * something else afterwards is not written. Files are replaced by a rename, with the mode they had.
 * Errors: `config_invalid` with all faults of a text, `config_unwritable`, `usage`.
 */
import { randomBytes } from 'node:crypto';
import { chmod, realpath, rename, rm, stat, writeFile } from 'node:fs/promises';
import { extname, resolve } from 'node:path';
import { text as textOf } from 'node:stream/consumers';
import { isDeepStrictEqual } from 'node:util';
import { discover } from '../config/discover.js';
import { loadFiles } from '../config/load.js';
import { isModule, parseText } from '../config/parsed.js';
import { read } from '../config/read.js';
import { report } from '../config/report.js';
import { Touched } from '../config/touched.js';
import { formatYaml } from '../config/yaml.js';
import { ConfigError, GateError } from '../errors.js';
import { EXIT, type Flags, type Outcome } from './command.js';

/** Formats files, by default the config that is found and all it includes; with `--check` it only says which differ. */
export async function fmt(files: readonly string[], flags: Flags): Promise<Outcome> {
  if (files.includes('-')) return stream(files, flags);
  const isCheck = flags.check === true;
  let differ = 0;
  for (const label of files.length > 0 ? files : await whole()) {
    const path = resolve(label);
    const before = await read(path, label);
    const after = format(before, label);
    if (before === after) continue;
    differ += 1;
    if (!isCheck) await replace(path, label, after);
    process.stdout.write(`${label}${isCheck ? ' is not formatted' : ''}\n`);
  }
  return isCheck && differ > 0 ? EXIT.config : EXIT.ok;
}

/**
 * The text in the one style.
 *
 * @throws ConfigError for a text that cannot be read.
 */
export function format(text: string, label: string): string {
  if (isModule(label)) {
    throw new GateError('usage', `${label} is a program`, 'fmt formats YAML and JSON');
  }
  const ending = extname(label) === '.json' ? '.json' : '.yaml';
  const parsed = parseText(text, ending);
  if (parsed.blemishes.length > 0) throw new ConfigError(report(label, parsed.blemishes), parsed.blemishes);
  const after = ending === '.json' ? `${JSON.stringify(parsed.value, null, 2)}\n` : formatYaml(text);
  if (!isDeepStrictEqual(parseText(after, ending).value, parsed.value)) {
    throw new Error(`${label} would say something else when formatted`);
  }
  return after;
}

/** `-`: YAML from standard input to standard output, for editors. */
async function stream(files: readonly string[], flags: Flags): Promise<Outcome> {
  if (files.length > 1) throw new GateError('usage', '- goes with no other file', 'ironsluice fmt --help');
  const before = await textOf(process.stdin);
  const after = format(before, 'standard input');
  if (flags.check === true) {
    if (before === after) return EXIT.ok;
    process.stdout.write('standard input is not formatted\n');
    return EXIT.config;
  }
  process.stdout.write(after);
  return EXIT.ok;
}

async function whole(): Promise<string[]> {
  const label = discover(undefined);
  if (isModule(label)) return [label]; // which is refused
  const touched = new Touched();
  await loadFiles([label], process.env, touched);
  const [, ...included] = touched.files.keys();
  return [label, ...included.filter((file) => !isModule(file) && touched.files.get(file) !== 'gone')];
}

async function replace(path: string, label: string, text: string): Promise<void> {
  const real = await realpath(path);
  const temporary = `${real}.${randomBytes(6).toString('hex')}`;
  try {
    const { mode } = await stat(real);
    await writeFile(temporary, text, { flag: 'wx', mode: 0o600 });
    await chmod(temporary, mode & 0o777);
    await rename(temporary, real);
  } catch (error) {
    await rm(temporary, { force: true });
    const { code } = error as NodeJS.ErrnoException;
    const why = code === 'EACCES' ? 'permission denied' : String(code);
    throw new GateError('config_unwritable', `${label} cannot be written: ${why}`, '', { cause: error });
  }
}
