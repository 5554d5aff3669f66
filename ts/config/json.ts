/**
 * json: where things are in a JSON text, and what is wrong with one.
 *
 * Source: RFC 8259. `JSON.parse` gives the values; this walks the same text once for the offsets that
 * faults need, and for what `JSON.parse` lets pass: a key that is written twice.
 * Bounds: one pass; nesting to {@link MAX_DEPTH}.
 */
import { join, type Step } from './path.js';

/** Offsets of a value and of the key before it, in UTF-16 units from the start of the text. */
export interface Place {
  /** Where the value begins. */
  value: number;
  /** Where its key begins; the value's own offset in a list. */
  key: number;
}

/** What is wrong with the text itself. */
export interface Blemish {
  /** Offset of the first wrong character. */
  at: number;
  /** The path of what was being read. */
  path: string;
  /** What is wrong, for people. */
  why: string;
}

/** What {@link scan} found. */
export interface Scan {
  /** The nearest place to `path` that exists. */
  place(path: readonly Step[]): Place | undefined;
  /** True if `path` itself is there, and was wanted. */
  has(path: readonly Step[]): boolean;
  /** The syntax error that ended the walk, and keys that are written twice. */
  blemishes: Blemish[];
}

/** Walks `text`, noting the places of `wanted` paths and of everything on the way to them. */
export function scan(text: string, wanted: readonly (readonly Step[])[]): Scan {
  const root: Wanted = { below: new Map() };
  for (const path of wanted) {
    let node = root;
    for (const step of path) {
      let next = node.below.get(step);
      if (next === undefined) {
        next = { below: new Map() };
        node.below.set(step, next);
      }
      node = next;
    }
  }
  const walker = new Walker(text);
  walker.whole(root);
  const has = (path: readonly Step[]): boolean => {
    let node: Wanted | undefined = root;
    for (const step of path) node = node?.below.get(step);
    return node?.place !== undefined;
  };
  return {
    blemishes: walker.blemishes,
    has,
    place(path) {
      let found = root.place;
      let node: Wanted | undefined = root;
      for (const step of path) {
        node = node.below.get(step);
        if (node?.place === undefined) break;
        found = node.place;
      }
      return found;
    },
  };
}

interface Wanted {
  place?: Place;
  below: Map<Step, Wanted>;
}

/** Thrown inside the walk only, to leave it at the first syntax error. */
class Stop extends Error {}

class Walker {
  readonly blemishes: Blemish[] = [];
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  whole(root: Wanted): void {
    try {
      this.#space();
      this.#value(root, '', 0, this.#at);
      this.#space();
      if (this.#at < this.#text.length) this.#stop('', 'the text goes on after its end');
    } catch (error) {
      if (!(error instanceof Stop)) throw error;
    }
  }

  #value(wanted: Wanted | undefined, path: string, depth: number, key: number): void {
    if (wanted !== undefined) wanted.place = { value: this.#at, key };
    if (depth > MAX_DEPTH) this.#stop(path, `it is nested deeper than ${MAX_DEPTH}`);
    const first = this.#text[this.#at];
    if (first === '{') this.#object(wanted, path, depth);
    else if (first === '[') this.#list(wanted, path, depth);
    else if (first === '"') this.#string(path);
    else if (!this.#match(ATOM)) this.#stop(path, this.#unexpected('a value'));
  }

  #object(wanted: Wanted | undefined, path: string, depth: number): void {
    const seen = new Set<string>();
    this.#at += 1;
    this.#space();
    if (this.#take('}')) return;
    for (;;) {
      const at = this.#at;
      if (this.#text[at] !== '"') this.#stop(path, this.#unexpected('a key in double quotes'));
      const name = this.#string(path);
      const below = join(path, name);
      if (seen.has(name)) {
        this.blemishes.push({ at, path: below, why: `the key ${JSON.stringify(name)} is written twice` });
      }
      seen.add(name);
      this.#space();
      if (!this.#take(':')) this.#stop(below, this.#unexpected('":"'));
      this.#space();
      this.#value(wanted?.below.get(name), below, depth + 1, at);
      this.#space();
      if (this.#take('}')) return;
      if (!this.#take(',')) this.#stop(path, this.#unexpected('"," or "}"'));
      this.#space();
    }
  }

  #list(wanted: Wanted | undefined, path: string, depth: number): void {
    this.#at += 1;
    this.#space();
    if (this.#take(']')) return;
    for (let i = 0; ; i += 1) {
      this.#value(wanted?.below.get(i), `${path}[${i}]`, depth + 1, this.#at);
      this.#space();
      if (this.#take(']')) return;
      if (!this.#take(',')) this.#stop(path, this.#unexpected('"," or "]"'));
      this.#space();
    }
  }

  #string(path: string): string {
    const from = this.#at;
    if (!this.#match(STRING))
      this.#stop(path, 'this text has no closing quote, or a character that must be escaped');
    const written = this.#text.slice(from, this.#at);
    return written.includes('\\') ? String(JSON.parse(written)) : written.slice(1, -1);
  }

  #space(): void {
    this.#match(SPACE);
  }

  #take(character: string): boolean {
    if (this.#text[this.#at] !== character) return false;
    this.#at += 1;
    return true;
  }

  #match(pattern: RegExp): boolean {
    pattern.lastIndex = this.#at;
    if (!pattern.test(this.#text)) return false;
    this.#at = pattern.lastIndex;
    return true;
  }

  #unexpected(wanted: string): string {
    const found = this.#text[this.#at];
    return found === undefined
      ? `the text ends where ${wanted} should be`
      : `${JSON.stringify(found)} stands where ${wanted} should be`;
  }

  #stop(path: string, why: string): never {
    this.blemishes.push({ at: this.#at, path, why });
    throw new Stop();
  }
}

/** As deep as `serde_json` reads. */
const MAX_DEPTH = 127;
const SPACE = /[ \t\r\n]*/y;
// biome-ignore lint/suspicious/noControlCharactersInRegex: RFC 8259 section 7 names them
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const ATOM = /(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?)(?![\w.])/y;
