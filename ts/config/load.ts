/**
 * load: from a file, or a value of a program, to what the core is given.
 *
 * Nothing here knows what a config may say: that is the core's. This finds the text, fills in variables,
 * and remembers enough to point at a place when the core names one.
 * Errors: `config_not_found`, `config_unreadable`, `config_invalid`. Bounds: {@link MAX_BYTES} a file.
 */
import { open } from 'node:fs/promises';
import { dirname, extname, resolve } from 'node:path';
import { ConfigError, type Fault, GateError } from '../errors.js';
import { type Env, fill, hasVariables } from './env.js';
import { scan } from './json.js';
import { loadModule } from './module.js';
import { steps } from './path.js';
import { redact } from './redact.js';
import { type Finding, report } from './report.js';
import { type Placed, type Position, readFast, readPlaced } from './yaml.js';

/** A config that was read and filled in, but not yet judged by the core. */
export interface Loaded {
  /** Absolute path of the file; `undefined` for a value that a program made. */
  source: string | undefined;
  /** What messages call it: the path as it was given, or `config`. */
  label: string;
  /** The config as the core takes it: JSON. */
  json: string;
  /** The keys of the whole, to tell a default from what was said. */
  keys: ReadonlySet<string>;
  /** Variables that are not set; with any, the config must not run. */
  unset: readonly Fault[];
  /** The config as people may see it: variables as written, secrets hidden. Computed on demand. */
  shown(): unknown;
  /** The error for `faults` of the core and the {@link unset}, each with its line and column where the source has them. */
  error(faults: readonly Fault[]): ConfigError;
}

/** Where relative paths of a config begin: beside its file, or in the working directory. */
export function folderOf({ source }: Pick<Loaded, 'source'>): string {
  return source === undefined ? process.cwd() : dirname(source);
}

/** Reads the file at `path`; its ending says how. */
export async function loadFile(path: string, env: Env = process.env): Promise<Loaded> {
  const source = resolve(path);
  if (MODULES.has(extname(source))) {
    await read(source, path); // so that a missing file is said in the same words
    return { ...loadValue(await loadModule(source), path), source };
  }
  const text = await read(source, path);
  const parts = extname(source) === '.json' ? parseJson(text, path) : parseYaml(text, path);
  return { ...finish(parts, path, env), source };
}

/** Takes a value that a program made; nothing is filled in, for a program has its own ways. */
export function loadValue(value: unknown, label = 'config'): Loaded {
  let json: string | undefined;
  try {
    json = JSON.stringify(value);
  } catch (error) {
    throw new GateError(
      'config_invalid',
      `${label}: ${(error as Error).message.split('\n', 1)[0]}`,
      'use plain data',
    );
  }
  return {
    source: undefined,
    label,
    json: json ?? 'null',
    keys: keysOf(value),
    unset: [],
    shown: () => redact(value),
    error: (faults) => fail(label, faults, () => undefined),
  };
}

interface Parsed {
  value: unknown;
  quoted(path: string): boolean;
  place(faults: readonly Fault[]): (fault: Fault) => Position | undefined;
}

function finish(parsed: Parsed, label: string, env: Env): Omit<Loaded, 'source'> {
  const unset: Fault[] = [];
  const written = parsed.value;
  let value = written;
  let json = JSON.stringify(written ?? null);
  if (hasVariables(json)) {
    value = fill(written, env, unset, parsed.quoted);
    json = JSON.stringify(value ?? null);
  }
  return {
    label,
    json,
    keys: keysOf(value),
    unset,
    shown: () => redact(written),
    error(faults) {
      // What the core says of a value whose variable is unset is only a consequence.
      const places = new Set(unset.map((fault) => fault.path));
      const all = [...unset, ...faults.filter((fault) => !places.has(fault.path))];
      return fail(label, all, parsed.place(all));
    },
  };
}

function parseJson(text: string, label: string): Parsed {
  const found = scan(text, []);
  if (found.blemishes.length > 0) {
    const findings = found.blemishes.map((blemish) => ({
      ...positionIn(text, blemish.at),
      fault: { path: blemish.path, onKey: false, why: blemish.why, fix: '' },
    }));
    throw new ConfigError(
      report(label, findings),
      findings.map((finding) => finding.fault),
    );
  }
  return {
    value: JSON.parse(text),
    quoted: () => false,
    place(faults) {
      const wanted = faults.map((fault) => steps(fault.path));
      const places = scan(text, wanted);
      return (fault) => {
        const path = steps(fault.path);
        const place = places.place(path);
        if (place === undefined) return undefined;
        return positionIn(text, fault.onKey && places.has(path) ? place.key : place.value);
      };
    },
  };
}

function parseYaml(text: string, label: string): Parsed {
  const fast = hasVariables(text) ? undefined : readFast(text);
  let placed: Placed | undefined;
  const withPlaces = (): Placed => {
    placed ??= readPlaced(text);
    return placed;
  };
  if (fast === undefined) {
    const { blemishes } = withPlaces();
    if (blemishes.length > 0) {
      const findings = blemishes.map(({ line, column, why }) => ({
        line,
        column,
        fault: { path: '', onKey: false, why, fix: '' },
      }));
      throw new ConfigError(
        report(label, findings),
        findings.map((finding) => finding.fault),
      );
    }
  }
  return {
    value: fast === undefined ? withPlaces().value : fast.value,
    quoted: (path) => withPlaces().quoted(steps(path)),
    place: () => (fault) => withPlaces().place(steps(fault.path), fault.onKey),
  };
}

function fail(
  label: string,
  faults: readonly Fault[],
  place: (fault: Fault) => Position | undefined,
): ConfigError {
  const findings: Finding[] = faults.map((fault) => ({ fault, ...place(fault) }));
  findings.sort((a, b) => (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0));
  return new ConfigError(
    report(label, findings),
    findings.map((finding) => finding.fault),
  );
}

function keysOf(value: unknown): ReadonlySet<string> {
  return new Set(typeof value === 'object' && value !== null ? Object.keys(value) : []);
}

async function read(source: string, label: string): Promise<string> {
  try {
    const file = await open(source, 'r');
    try {
      const { size } = await file.stat();
      if (size > MAX_BYTES) {
        throw new GateError(
          'config_unreadable',
          `${label} has ${size} bytes`,
          `at most ${MAX_BYTES} are read`,
        );
      }
      const text = await file.readFile('utf8');
      return text.startsWith('\uFEFF') ? text.slice(1) : text;
    } finally {
      await file.close();
    }
  } catch (error) {
    if (error instanceof GateError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') {
      throw new GateError('config_not_found', `there is no file ${label}`, 'check the path', {
        cause: error,
      });
    }
    const why =
      code === 'EISDIR' ? 'it is a directory' : code === 'EACCES' ? 'permission denied' : String(code);
    throw new GateError('config_unreadable', `${label} cannot be read: ${why}`, '', { cause: error });
  }
}

function positionIn(text: string, offset: number): Position {
  const before = text.lastIndexOf('\n', offset - 1);
  let line = 1;
  for (let at = text.indexOf('\n'); at !== -1 && at < offset; at = text.indexOf('\n', at + 1)) line += 1;
  return { line, column: offset - before };
}

const MODULES: ReadonlySet<string> = new Set(['.ts', '.mts', '.mjs', '.js', '.cjs', '.cts']);
/** 64 MiB: four hundred thousand routes. */
const MAX_BYTES = 64 * 1024 * 1024;
