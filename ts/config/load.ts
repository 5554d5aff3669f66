/**
 * load: from files, or a value of a program, to what the core is given.
 *
 * Nothing here knows what a config may say: that is the core's. This finds the texts, fills in variables, puts files
 * together, and remembers enough to point at a place when the core names one.
 * Errors: `config_not_found`, `config_unreadable`, `config_invalid`. Bounds: see gather.ts.
 */
import { dirname, resolve } from 'node:path';
import { ConfigError, type Fault, GateError } from '../errors.js';
import type { Env } from './env.js';
import { gather, type Named, type Part, placeOf } from './gather.js';
import { isMap, type Merged, merge } from './merge.js';
import { join, type Step, steps } from './path.js';
import { redact } from './redact.js';
import { type Finding, report } from './report.js';
import { Touched } from './touched.js';

/** A config that was read and filled in, but not yet judged by the core. */
export interface Loaded {
  /** Absolute path of the file, the first if several were named; `undefined` for a value that a program made. */
  source: string | undefined;
  /** The files that were named; none for a value. */
  named: readonly Named[];
  /** All that it was read from. */
  touched: Touched;
  /** Its number in the history, if it is from there and not from its files. */
  number?: number;
  /** What messages call it: the path as it was given, or `config`. */
  label: string;
  /** The config as the core takes it: JSON. */
  json: string;
  /** The keys of the whole, to tell a default from what was said. */
  keys: ReadonlySet<string>;
  /** Variables that are not set, files that are not there, keys in two files; with any, the config must not run. */
  faults: readonly Fault[];
  /** The config as people may see it: variables as written, secrets hidden. Computed on demand. */
  shown(): unknown;
  /** The error for `faults` of the core and the own {@link faults}, each with its file, line and column where these are known. */
  error(faults: readonly Fault[]): ConfigError;
}

/** Where relative paths of a config begin: beside its (first) file, or in the working directory. */
export function folderOf({ source }: Pick<Loaded, 'source'>): string {
  return source === undefined ? process.cwd() : dirname(source);
}

/** Reads the file at `path`, and all that it includes; its ending says how. */
export function loadFile(path: string, env: Env = process.env): Promise<Loaded> {
  return loadFiles([path], env);
}

/** Reads several files as one config; adds to `touched` what was looked at, also if it throws. */
export async function loadFiles(
  paths: readonly (string | Named)[],
  env: Env = process.env,
  touched: Touched = new Touched(),
): Promise<Loaded> {
  const named = paths.map((path) =>
    typeof path === 'string' ? { label: path, source: resolve(path) } : path,
  );
  const parts = await gather(named, env, touched);
  const merged = merge(parts.map(({ value }) => value));
  const { label = 'config', source } = named[0] ?? {};
  for (const { path, first, second } of merged.twice) {
    const there = parts[first];
    const here = parts[second];
    if (there === undefined || here === undefined) continue;
    const why = `${path} is in ${placeOf(there, path, true)} already`;
    here.faults.push({ path, onKey: true, why, fix: 'keep it in one file; only lists are put together' });
  }
  return {
    source,
    named,
    touched,
    label,
    json: jsonOf(merged.value, label),
    keys: keysOf(merged.value),
    faults: parts.flatMap(({ faults }) => faults),
    shown: () => redact(merge(parts.map(({ written }) => written)).value),
    error: (faults) => fail(label, locate(parts, merged, faults)),
  };
}

/** Takes a value that a program made; nothing is filled in, for a program has its own ways. */
export function loadValue(value: unknown, label = 'config'): Loaded {
  return {
    source: undefined,
    named: [],
    touched: new Touched(),
    label,
    json: jsonOf(value, label),
    keys: keysOf(value),
    faults: [],
    shown: () => redact(value),
    error: (faults) =>
      fail(
        label,
        faults.map((fault) => ({ fault })),
      ),
  };
}

/** Each fault in the file it is in. What the core says of a value that is at fault already is only a consequence. */
function locate(parts: readonly Part[], merged: Merged, faults: readonly Fault[]): Finding[] {
  const byPart = parts.map((part) => [...part.faults]);
  const said = parts.map((part) => new Set(part.faults.map(({ path }) => path)));
  for (const fault of faults) {
    const { part, path } = merged.trace(steps(fault.path));
    const local = { ...fault, path: textOf(path) };
    if (parts.length > 1) local.why = inFiles(parts, merged, part, fault.why);
    if (!said[part]?.has(local.path)) byPart[part]?.push(local);
  }
  return parts.flatMap(({ label, parsed }, at) => {
    const own = byPart[at] ?? [];
    const place = parsed.place(own);
    const found = own.map((fault) => ({ fault, file: label, ...place(fault) }));
    return found.sort((a, b) => (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0));
  });
}

/** A text in which the core names another item: by the place it has in its file. */
function inFiles(parts: readonly Part[], merged: Merged, here: number, why: string): string {
  return why.replace(ITEM, (written) => {
    const { part, path } = merged.trace(steps(written));
    const there = parts[part];
    const local = textOf(path);
    return there === undefined || part === here ? local : `${local} of ${placeOf(there, local)}`;
  });
}

function textOf(path: readonly Step[]): string {
  return path.reduce<string>((text, step) => join(text, step), '');
}

function fail(label: string, findings: readonly Finding[]): ConfigError {
  return new ConfigError(report(label, findings), findings);
}

function jsonOf(value: unknown, label: string): string {
  try {
    return JSON.stringify(value) ?? 'null';
  } catch (error) {
    const why = `${label}: ${(error as Error).message.split('\n', 1)[0]}`;
    throw new GateError('config_invalid', why, 'use plain data');
  }
}

function keysOf(value: unknown): ReadonlySet<string> {
  return new Set(isMap(value) ? Object.keys(value) : []);
}

const ITEM = /\b(?:listeners|apps|upstreams|routes)\[\d+\]/g;
