/**
 * merge: the values of several files as one, and the way back from a place in it.
 *
 * Lists of one name are put one after the other, maps are joined key by key; anything else may stand in one
 * file only. Pure.
 */
import { join, type Step } from './path.js';

/** A place in one of the files. */
export interface Origin {
  /** Which of the files, from 0. */
  part: number;
  /** Where in it. */
  path: Step[];
}

/** A key that two files give, though one alone may. */
export interface Twice {
  /** Where it is, in both. */
  path: string;
  first: number;
  second: number;
}

/** Several values as one. */
export interface Merged {
  value: unknown;
  twice: Twice[];
  /** Where a place of the whole comes from. */
  trace(path: readonly Step[]): Origin;
}

/** Joins values, each a map; those of the first come first. */
export function merge(values: readonly unknown[]): Merged {
  if (values.length < 2) {
    return { value: values[0], twice: [], trace: (path) => ({ part: 0, path: [...path] }) };
  }
  const twice: Twice[] = [];
  let root: Node = { kind: 'map', part: 0, keys: new Map() };
  for (const [part, value] of values.entries()) {
    root = add(root, value, part, '', twice);
  }
  return { value: whole(root), twice, trace: (path) => trace(root, path) };
}

/** What one place of the whole is made of. */
type Node =
  | { kind: 'map'; part: number; keys: Map<string, Node> }
  | { kind: 'list'; part: number; spans: { part: number; items: readonly unknown[] }[] }
  | { kind: 'value'; part: number; value: unknown };

function nodeOf(value: unknown, part: number): Node {
  if (Array.isArray(value)) return { kind: 'list', part, spans: [{ part, items: value }] };
  if (!isMap(value)) return { kind: 'value', part, value };
  const keys = Object.entries(value).map(([key, item]) => [key, nodeOf(item, part)] as const);
  return { kind: 'map', part, keys: new Map(keys) };
}

function add(node: Node, value: unknown, part: number, path: string, twice: Twice[]): Node {
  if (node.kind === 'list' && Array.isArray(value)) {
    node.spans.push({ part, items: value });
  } else if (node.kind === 'map' && isMap(value)) {
    for (const [key, item] of Object.entries(value)) {
      const there = node.keys.get(key);
      node.keys.set(
        key,
        there === undefined ? nodeOf(item, part) : add(there, item, part, join(path, key), twice),
      );
    }
  } else {
    twice.push({ path, first: node.part, second: part });
  }
  return node;
}

function whole(node: Node): unknown {
  if (node.kind === 'value') return node.value;
  if (node.kind === 'list') return node.spans.flatMap(({ items }) => items);
  return Object.fromEntries([...node.keys].map(([key, item]) => [key, whole(item)]));
}

function trace(root: Node, path: readonly Step[]): Origin {
  let node = root;
  for (const [at, step] of path.entries()) {
    if (node.kind === 'value') break;
    if (node.kind === 'map') {
      const below = node.keys.get(String(step));
      if (below === undefined) break;
      node = below;
      continue;
    }
    let index = Number(step);
    for (const { part, items } of node.spans) {
      if (index < items.length) return { part, path: [...path.slice(0, at), index, ...path.slice(at + 1)] };
      index -= items.length;
    }
    break;
  }
  return { part: node.part, path: [...path] };
}

/** True for an object with keys, and for nothing else. */
export function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
