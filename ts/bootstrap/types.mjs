/**
 * types: `bindings/index.d.ts` from what the `#[napi]` macros noted while the addon was compiled.
 *
 * napi-derive (feature `type-def`) writes one JSON object a line into `NAPI_TYPE_DEF_TMP_FOLDER`:
 * `{ kind, name, def, js_doc }`, where an `impl` adds members to the `struct` of the same name.
 * The result is committed; `npm run ready` fails if it is not fresh.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Writes `target` if `folder` has notes; without any (cargo had nothing to do) the file stands. */
export function writeTypes(folder, target) {
  const notes = readdirSync(folder)
    .flatMap((name) => readFileSync(join(folder, name), 'utf8').split('\n'))
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line));
  if (notes.length === 0) return;
  const members = Map.groupBy?.(notes, byName) ?? group(notes);
  const parts = [...members.values()]
    .map(declaration)
    .filter((text) => text !== '')
    .sort();
  writeFileSync(target, `${[HEADER, ...parts].join('\n\n')}\n`);
}

function declaration(notes) {
  const doc = notes.find(({ js_doc }) => js_doc)?.js_doc ?? '';
  const fn = notes.find(({ kind }) => kind === 'fn');
  if (fn !== undefined) return `${lines(fn.js_doc)}export declare ${fn.def}`;
  const [{ kind, name }] = notes;
  const body = notes
    .map(({ def }) => def)
    .filter(Boolean)
    .join('\n');
  // A class that only the addon makes.
  const made =
    kind === 'interface' || /^\s*constructor\(/m.test(body) ? body : `private constructor()\n${body}`;
  const head = kind === 'interface' ? `export interface ${name}` : `export declare class ${name}`;
  return `${lines(doc)}${head} {\n${indent(made)}\n}`;
}

function lines(doc) {
  return doc ? `${doc.trim().replace(/ +$/gm, '')}\n` : '';
}

function indent(text) {
  return text
    .split('\n')
    .map((line) =>
      line.trim() === ''
        ? ''
        : `  ${line
            .trimEnd()
            .replace(/^\s+\*/, ' *')
            .replace(/^(?! \*)\s+/, '')}`,
    )
    .join('\n');
}

function byName({ name }) {
  return name;
}

/** `Map.groupBy` for Node 20. */
function group(notes) {
  const groups = new Map();
  for (const note of notes) groups.set(byName(note), [...(groups.get(byName(note)) ?? []), note]);
  return groups;
}

const HEADER = '/* Generated from bindings/src by the build; do not edit. */';
