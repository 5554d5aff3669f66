/**
 * yaml: YAML texts to values, and paths to places in them.
 *
 * Two libraries read the same YAML 1.2 core schema: `js-yaml` is about eight times as fast and knows no
 * positions; `yaml` knows where everything is. So a text without anchors and variables is read by the
 * first, and by the second only when there is something to point at.
 * Bounds: {@link MAX_ALIASES} uses of aliases, so that a small text cannot become a huge value.
 */
import { CORE_SCHEMA, load } from 'js-yaml';
import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type ParsedNode,
  parseDocument,
  Scalar,
  visit,
  type YAMLMap,
  type YAMLSeq,
} from 'yaml';
import type { Step } from './path.js';

/** Line and column, both from 1; the column counts UTF-16 units. */
export interface Position {
  line: number;
  column: number;
}

/** What is wrong with the text itself. */
export interface Blemish extends Position {
  why: string;
}

/** A YAML text that was read with positions. */
export interface Placed {
  value: unknown;
  blemishes: Blemish[];
  place(path: readonly Step[], onKey: boolean): Position | undefined;
  /** True if the value at `path` was written in quotes. */
  quoted(path: readonly Step[]): boolean;
}

/** The value of `text`, or `undefined` if only {@link readPlaced} can read it, or say what is wrong. */
export function readFast(text: string): { value: unknown } | undefined {
  if (ANCHOR.test(text)) return undefined;
  try {
    return { value: load(text, { schema: CORE_SCHEMA }) };
  } catch {
    return undefined;
  }
}

/** Reads `text` with positions; a text with blemishes has no value. */
export function readPlaced(text: string): Placed {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, stringKeys: true });
  const at = (offset: number): Position => {
    const { line, col } = lines.linePos(offset);
    return { line, column: col };
  };
  const blemishes = document.errors.map((error) => ({ ...at(error.pos[0]), why: plain(error.message) }));
  let value: unknown;
  if (blemishes.length === 0) {
    try {
      value = document.toJS({ maxAliasCount: MAX_ALIASES });
    } catch (error) {
      blemishes.push({ ...at(firstBadAlias(document)), why: plain((error as Error).message) });
    }
  }
  return {
    value,
    blemishes,
    place(path, onKey) {
      const offset = offsetOf(document, path, onKey);
      return offset === undefined ? undefined : at(offset);
    },
    quoted(path) {
      const node = document.getIn(path, true);
      return isScalar(node) && (node.type === Scalar.QUOTE_DOUBLE || node.type === Scalar.QUOTE_SINGLE);
    },
  };
}

/** The text of a YAML document without blemishes in one style: two spaces, comments and quotes as they were. */
export function formatYaml(text: string): string {
  const document = parseDocument(text, { stringKeys: true });
  if (document.contents === null) return text.trim() === '' ? '' : `${text.replace(/\s+$/, '')}\n`;
  visit(document, { Collection: (_key, node) => padded(node) });
  // Lines are never folded: a long text stays one line, which can be searched for.
  return document.toString({ lineWidth: 0, indentSeq: true });
}

/** `{ a: 1 }`, but `[a, b]`: the library has one padding for both. */
function padded(node: YAMLMap | YAMLSeq): void {
  const write = node.toString.bind(node);
  const flowCollectionPadding = isMap(node) ? ' ' : '';
  node.toString = (context, ...rest) =>
    write(context === undefined ? context : { ...context, flowCollectionPadding }, ...rest);
}

/** The offset of the first alias that means nothing; else of the first, for together they mean too much. */
function firstBadAlias(document: Document.Parsed): number {
  let first: number | undefined;
  let unset: number | undefined;
  visit(document, {
    Alias(_key, alias) {
      first ??= start(alias);
      if (alias.resolve(document) !== undefined) return undefined;
      unset = start(alias);
      return visit.BREAK;
    },
  });
  return unset ?? first ?? 0;
}

/** The offset of what `path` names, or of the nearest thing above it that is there. */
function offsetOf(document: Document.Parsed, path: readonly Step[], onKey: boolean): number | undefined {
  let node: Node | null | undefined = document.contents;
  let offset = start(node);
  for (const [i, step] of path.entries()) {
    if (isAlias(node)) node = node.resolve(document);
    if (isSeq(node) && typeof step === 'number') {
      node = node.items[step] as ParsedNode | undefined;
      if (node === undefined) break;
      offset = start(node) ?? offset;
    } else if (isMap(node)) {
      const pair = node.items.find(
        (item) => String(isScalar(item.key) ? item.key.value : item.key) === String(step),
      );
      if (pair === undefined) break;
      const key = start(pair.key as Node | null);
      node = pair.value as Node | null;
      const isLast = i === path.length - 1;
      offset = (isLast && onKey ? key : (filled(node) ?? key)) ?? offset;
    } else break;
  }
  return offset;
}

function start(node: Node | null | undefined): number | undefined {
  return node?.range?.[0];
}

/** The offset of a value that has characters; an empty one is better shown by its key. */
function filled(node: Node | null | undefined): number | undefined {
  const range = node?.range;
  return range !== undefined && range !== null && range[1] > range[0] ? range[0] : undefined;
}

function plain(message: string): string {
  const line = message.split('\n', 1)[0] ?? message;
  return line.replace(/[:.]$/, '');
}

/** `&name` where an anchor can stand, or `<<:`; a false alarm only costs time. */
const ANCHOR = /(?:^|[\s[{,:-])[&*][^\s,[\]{}]|<<\s*:/m;
/** The most aliases of one text, each counted with what it expands to. */
const MAX_ALIASES = 1000;
