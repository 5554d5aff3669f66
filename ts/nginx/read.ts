/**
 * read: an nginx config with all that it includes.
 *
 * As nginx does, a path of `include` begins at the folder of the main file; where nothing is there, at that of the file which
 * says it, so that a part of a config can be read alone. A pattern (`*`, `?`, `[…]`) may match nothing; its files come in the order
 * of their names.
 * Errors: `config_not_found`, `config_unreadable`, `config_invalid`. Bounds: {@link MAX_FILES}, {@link MAX_BYTES} in all.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, isAbsolute, join, relative, resolve } from 'node:path';
import { GateError } from '../errors.js';
import { type Directive, parse } from './syntax.js';

/** A config that was read. */
export interface Source {
  /** The directives; an `include` that was followed is replaced by what it has. */
  readonly directives: Directive[];
  /** Where paths of nginx begin. */
  readonly folder: string;
  /** Those `include` that name a file which is not there. */
  readonly missing: Directive[];
}

/** Reads `file`. */
export function read(file: string): Source {
  const folder = dirname(resolve(file));
  const missing: Directive[] = [];
  let files = 0;
  let bytes = 0;
  const one = (path: string, label: string, above: readonly string[]): Directive[] => {
    if (above.includes(path))
      throw new GateError('config_invalid', `${label} includes itself`, 'remove that include');
    const text = contents(path, label);
    files += 1;
    bytes += text.length;
    if (files > MAX_FILES || bytes > MAX_BYTES) {
      const why = `there are more than ${MAX_FILES} files or ${MAX_BYTES} bytes`;
      throw new GateError('config_unreadable', why, 'import parts of it one by one');
    }
    return expand(parse(text, label), path, [...above, path]);
  };
  const expand = (directives: Directive[], path: string, above: readonly string[]): Directive[] =>
    directives.flatMap((directive) => {
      if (directive.name === 'include' && directive.block === undefined && directive.args[0] !== undefined) {
        const named = directive.args[0];
        const found = matching(named, folder, dirname(path));
        if (found.length === 0 && !PATTERN.test(named)) missing.push(directive);
        return found.flatMap((each) => one(each, labelOf(each, file), above));
      }
      const { block } = directive;
      return [block === undefined ? directive : { ...directive, block: expand(block, path, above) }];
    });
  return { directives: one(resolve(file), file, []), folder, missing };
}

/** As the main file was named: relative or absolute. */
function labelOf(path: string, main: string): string {
  return isAbsolute(main) ? path : relative('', path);
}

function matching(named: string, ...folders: string[]): string[] {
  for (const folder of folders) {
    const whole = resolve(folder, named);
    const found = PATTERN.test(named) ? glob(whole) : isFile(whole) ? [whole] : [];
    if (found.length > 0) return found;
  }
  return [];
}

/** Files that fit, in the order of their names. Names that begin with a dot fit only a pattern that does, as for `glob(3)`. */
function glob(pattern: string): string[] {
  let folders = ['/'];
  const steps = pattern.split('/').filter(Boolean);
  for (const [i, step] of steps.entries()) {
    const isLast = i === steps.length - 1;
    const next = folders.flatMap((folder) => {
      if (!PATTERN.test(step)) return [join(folder, step)];
      const fits = new RegExp(`^${step.replace(SIGNS, (sign) => GLOB[sign] ?? `\\${sign}`)}$`);
      return names(folder)
        .filter((name) => fits.test(name) && name.startsWith('.') === step.startsWith('.'))
        .map((name) => join(folder, name));
    });
    folders = isLast ? next.filter(isFile) : next;
  }
  return folders.sort();
}

function names(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true;
}

function contents(path: string, label: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT')
      throw new GateError('config_not_found', `there is no file ${label}`, 'check the path', {
        cause: error,
      });
    const why =
      code === 'EISDIR' ? 'it is a directory' : code === 'EACCES' ? 'permission denied' : String(code);
    throw new GateError('config_unreadable', `${label} cannot be read: ${why}`, '', { cause: error });
  }
}

const MAX_FILES = 1000;
/** 16 MiB. */
const MAX_BYTES = 16 * 1024 * 1024;
const PATTERN = /[*?[]/;
/** What means something else in a regular expression; a set such as `[a-z]` means the same. */
const SIGNS = /[*?.+^${}()|\\]/g;
const GLOB: Record<string, string> = { '*': '[^/]*', '?': '[^/]' };
