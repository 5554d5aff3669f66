/**
 * gather: the files of a config, those that are named and those that they include.
 *
 * What a file includes comes after it, in the order of the patterns, and for one pattern by path. Patterns begin beside the
 * file that has them. A file that comes by two ways, or includes itself, is a fault that says by which.
 * Bounds: {@link MOST_FILES} files, {@link DEEPEST} deep, {@link MAX_BYTES} of text each.
 */
import { dirname, isAbsolute, join, relative } from 'node:path';
import { isDynamicPattern } from 'tinyglobby';
import { ConfigError, type Fault, GateError } from '../errors.js';
import { type Env, fill, hasVariables } from './env.js';
import { isMap } from './merge.js';
import { type Parsed, parseFile } from './parsed.js';
import { type Finding, report } from './report.js';
import { matches, type Touched } from './touched.js';

/** A file, and what messages call it. */
export interface Named {
  /** Absolute path. */
  source: string;
  label: string;
}

/** One file, read and filled in. */
export interface Part extends Named {
  parsed: Parsed;
  /** As written, without what it includes. */
  written: unknown;
  /** With variables filled in. */
  value: unknown;
  /** Variables that are not set, and includes that lead nowhere. */
  faults: Fault[];
}

/**
 * Reads files that are named, and all that these include; adds to `touched` what was looked at, also if it throws.
 *
 * @throws GateError for a named file that cannot be read; ConfigError for texts that have no value.
 */
export async function gather(named: readonly Named[], env: Env, touched: Touched): Promise<Part[]> {
  const gathering = new Gathering(env, touched);
  for (const file of named) await gathering.named(file);
  if (gathering.findings.length > 0) {
    throw new ConfigError(report(named[0]?.label ?? 'config', gathering.findings), gathering.findings);
  }
  return gathering.parts;
}

class Gathering {
  readonly parts: Part[] = [];
  readonly findings: Finding[] = [];
  readonly #env: Env;
  readonly #touched: Touched;
  /** By whom each file was brought. */
  readonly #by = new Map<string, string>();

  constructor(env: Env, touched: Touched) {
    this.#env = env;
    this.#touched = touched;
  }

  async named({ label, source }: Named): Promise<void> {
    if (this.#by.has(source)) {
      throw new GateError('usage', `${label} is named twice`, 'name each file once');
    }
    this.#by.set(source, 'the command line');
    await this.#file(source, label, []);
  }

  async #file(source: string, label: string, chain: readonly string[]): Promise<void> {
    await this.#touched.note(source);
    const parsed = await parseFile(source, label, this.#touched);
    this.findings.push(...parsed.blemishes.map((finding) => ({ ...finding, file: label })));
    if (parsed.blemishes.length > 0) return;
    const part = this.#filled({ source, label, parsed });
    const isFirst = this.parts.length === 0;
    if (!isFirst && part.value === null) return; // a file of comments
    if (!isFirst && !isMap(part.value)) {
      const why = 'a file of a config has keys at its top, and this one has none';
      this.#fault(part, { path: '', onKey: false, why, fix: 'write routes: or another key above it' });
    }
    const patterns = includesOf(part);
    this.parts.push(part);
    for (const [at, pattern] of patterns.entries()) {
      await this.#include(part, `include[${at}]`, pattern, [...chain, source]);
    }
  }

  #filled({ source, label, parsed }: Named & Pick<Part, 'parsed'>): Part {
    const faults: Fault[] = [];
    const written = parsed.value ?? null;
    let value: unknown = written;
    if (parsed.hasText && hasVariables(JSON.stringify(written))) {
      value = fill(written, this.#env, faults, (path) => parsed.quoted(path));
    }
    return { source, label, parsed, written, value, faults };
  }

  async #include(part: Part, path: string, pattern: string, chain: readonly string[]): Promise<void> {
    const fault = (why: string, fix: string): void => {
      part.faults.push({ path, onKey: false, why, fix });
    };
    if (chain.length > DEEPEST) {
      fault(`files include each other more than ${DEEPEST} deep`, 'include it from a file further up');
      return;
    }
    const where = { folder: dirname(part.source), pattern };
    const isOpen = isDynamicPattern(pattern);
    if (isOpen) this.#touched.patterns.push(where);
    for (const source of await matches(where)) {
      // A pattern such as *.yaml matches the file it stands in, which is not meant.
      if (isOpen && source === part.source) continue;
      const label = labelOf(part, source);
      const by = this.#by.get(source);
      if (chain.includes(source)) {
        const way = [...chain.slice(chain.indexOf(source)), source].map((file) => labelOf(part, file));
        fault(`${label} includes itself: ${way.join(' > ')}`, 'take one of these includes away');
      } else if (by !== undefined) {
        fault(`${label} is a part of the config already, by ${by}`, 'include each file once');
      } else if (this.#by.size >= MOST_FILES) {
        fault(`the config has more than ${MOST_FILES} files`, 'put some of them together');
        return;
      } else {
        this.#by.set(source, placeOf(part, path));
        await this.#included(source, label, chain, fault);
      }
    }
  }

  async #included(
    source: string,
    label: string,
    chain: readonly string[],
    fault: (why: string, fix: string) => void,
  ): Promise<void> {
    try {
      await this.#file(source, label, chain);
    } catch (error) {
      if (!(error instanceof GateError) || !UNREADABLE.has(error.code)) throw error;
      fault(
        error.message.replace(` (${error.fix})`, ''),
        'mend the path; it begins beside the file that has it',
      );
    }
  }

  #fault(part: Part, fault: Fault): void {
    this.findings.push({ fault, file: part.label, ...part.parsed.place([fault])(fault) });
  }
}

/** Takes `include` out of a part; one that is no list of texts stays, for the core to judge. */
function includesOf(part: Part): string[] {
  if (!isMap(part.value) || !isMap(part.written)) return [];
  const { include, ...value } = part.value;
  if (!Array.isArray(include) || !include.every((item) => typeof item === 'string')) return [];
  part.value = value;
  part.written = Object.fromEntries(Object.entries(part.written).filter(([key]) => key !== 'include'));
  return include;
}

/** Where a path of a part is: `a.yaml:3:5`. */
export function placeOf(part: Part, path: string, onKey = false): string {
  const fault = { path, onKey, why: '', fix: '' };
  const position = part.parsed.place([fault])(fault);
  return position === undefined ? part.label : `${part.label}:${position.line}:${position.column}`;
}

/** What a file is called that another one names: seen from the working directory, as that one is. */
function labelOf(by: Part, source: string): string {
  if (isAbsolute(by.label)) return source;
  return join(dirname(by.label), relative(dirname(by.source), source));
}

const MOST_FILES = 1_000;
const DEEPEST = 8;
const UNREADABLE: ReadonlySet<string> = new Set(['config_not_found', 'config_unreadable']);
