/**
 * parsed: one file as a value, with what is needed to point into it.
 *
 * The ending says how it is read: `.json`, a module, else YAML.
 */
import { extname } from 'node:path';
import type { Fault } from '../errors.js';
import { scan } from './json.js';
import { loadModule } from './module.js';
import { steps } from './path.js';
import { read } from './read.js';
import type { Finding } from './report.js';
import type { Touched } from './touched.js';
import { type Placed, type Position, readFast, readPlaced } from './yaml.js';

/** A file that was read. */
export interface Parsed {
  /** What it says; `undefined` if there are blemishes. */
  value: unknown;
  /** What is wrong with the text itself. */
  blemishes: readonly Finding[];
  /** True if variables of the environment are to be filled in. */
  hasText: boolean;
  /** True if the value at the path was written in quotes and stays text. */
  quoted(path: string): boolean;
  /** Where each of these faults is; the function that it gives knows no others. */
  place(faults: readonly Fault[]): (fault: Fault) => Position | undefined;
}

/** Reads the file at `source` (absolute). What it was made of beside itself is added to `touched`. */
export async function parseFile(source: string, label: string, touched: Touched): Promise<Parsed> {
  const text = await read(source, label); // of modules too, so that a missing file is said in the same words
  if (isModule(source)) return fromModule(await loadModule(source, touched));
  return parseText(text, extname(source));
}

/** Reads a text; `ending` says how. */
export function parseText(text: string, ending: string): Parsed {
  return ending === '.json' ? parseJson(text) : parseYaml(text);
}

/** True if the ending says that the file is a program. */
export function isModule(path: string): boolean {
  return MODULES.has(extname(path));
}

function fromModule(value: unknown): Parsed {
  return { value, blemishes: [], hasText: false, quoted: () => false, place: () => () => undefined };
}

function parseJson(text: string): Parsed {
  const found = scan(text, []);
  const blemishes = found.blemishes.map((blemish) => ({
    ...positionIn(text, blemish.at),
    fault: { path: blemish.path, onKey: false, why: blemish.why, fix: '' },
  }));
  return {
    value: blemishes.length > 0 ? undefined : JSON.parse(text),
    blemishes,
    hasText: true,
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

function parseYaml(text: string): Parsed {
  const fast = text.includes('${') ? undefined : readFast(text);
  let placed: Placed | undefined;
  const withPlaces = (): Placed => {
    placed ??= readPlaced(text);
    return placed;
  };
  const blemishes = fast === undefined ? withPlaces().blemishes : [];
  return {
    value: fast === undefined ? withPlaces().value : fast.value,
    blemishes: blemishes.map(({ line, column, why }) => ({
      line,
      column,
      fault: { path: '', onKey: false, why, fix: '' },
    })),
    hasText: true,
    quoted: (path) => withPlaces().quoted(steps(path)),
    place: () => (fault) => withPlaces().place(steps(fault.path), fault.onKey),
  };
}

function positionIn(text: string, offset: number): Position {
  const before = text.lastIndexOf('\n', offset - 1);
  let line = 1;
  for (let at = text.indexOf('\n'); at !== -1 && at < offset; at = text.indexOf('\n', at + 1)) line += 1;
  return { line, column: offset - before };
}

const MODULES: ReadonlySet<string> = new Set(['.ts', '.mts', '.mjs', '.js', '.cjs', '.cts']);
