/**
 * write: a config as YAML, with the place in nginx's files that each part came from.
 */
import type { Config } from '../generated/config.js';
import type { Note } from './notes.js';

/** The text; `schema` is what an editor finds the schema by, `source` what was imported. */
export function yaml(
  config: Config,
  origins: WeakMap<object, string>,
  notes: readonly Note[],
  { schema, source }: { schema: string; source: string },
): string {
  const left = notes.filter(({ kind }) => kind === 'left_out');
  const lines = [`# yaml-language-server: $schema=${schema}`, '#', `# Imported from ${printable(source)}.`];
  if (left.length > 0) {
    lines.push('#', '# Not carried over:');
    for (const { at, directive, why } of left)
      lines.push(`#   ${printable(at)} ${printable(directive)}: ${printable(why)}`);
  }
  for (const [key, value] of Object.entries(config)) {
    lines.push('');
    if (!Array.isArray(value)) {
      lines.push(...said(value, origins, ''), `${key}: ${flow(value)}`);
      continue;
    }
    lines.push(`${key}:`);
    for (const [i, item] of value.entries()) {
      if (i > 0) lines.push('');
      lines.push(...said(item, origins, '  '), ...entry(item, origins, '  '));
    }
  }
  return `${lines.join('\n')}\n`;
}

/** One item of a list, a line a key, and of a list of objects a line each. */
function entry(item: object, origins: WeakMap<object, string>, indent: string): string[] {
  const lines = Object.entries(item).flatMap(([key, value]) => {
    if (!Array.isArray(value) || value.every((each) => typeof each !== 'object'))
      return [`${key}: ${flow(value)}`];
    return [`${key}:`, ...value.flatMap((each) => [...said(each, origins, '  '), `  - ${flow(each)}`])];
  });
  return lines.map((line, i) => `${indent}${i === 0 ? '- ' : '  '}${line}`);
}

function said(value: unknown, origins: WeakMap<object, string>, indent: string): string[] {
  const origin = typeof value === 'object' && value !== null ? origins.get(value) : undefined;
  return origin === undefined ? [] : [`${indent}# ${printable(origin)}`];
}

/** A value on one line. `${` would be a variable. */
function flow(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(flow).join(', ')}]`;
  if (typeof value === 'object' && value !== null) {
    const pairs = Object.entries(value).map(([key, each]) => `${flow(key)}: ${flow(each)}`);
    return pairs.length === 0 ? '{}' : `{ ${pairs.join(', ')} }`;
  }
  if (typeof value !== 'string') return String(value);
  const isPlain = PLAIN.test(value) && !WORDS.test(value);
  return isPlain ? value : JSON.stringify(value).replaceAll('${', '$${');
}

/** A comment stays on its line. */
function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what would end it
  return text.replaceAll(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, ' ');
}

/** What YAML takes for a text without quotes, anywhere. */
const PLAIN = /^[A-Za-z/][A-Za-z0-9_./-]*$|^\d+[A-Za-z/][A-Za-z0-9/]*$/;
/** What it takes for something else. */
const WORDS = /^(true|false|null|yes|no|on|off|y|n|\d+[eE]\d+|0[xo].*)$/i;
