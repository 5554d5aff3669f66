/**
 * env: `${NAME}` and `${NAME:-default}` in the text values of a config file.
 *
 * As in a shell: without a default an unset variable is a fault, with one the default stands for a
 * variable that is unset or empty. `$${` is a literal `${`. A value that is one `${…}` and nothing else
 * takes the type its text has in YAML (`4`, `true`), unless the file wrote it in quotes and is YAML;
 * any other text stays text. Keys are never changed.
 *
 * Source: POSIX.1-2017 Shell Command Language, section 2.6.2 (`:-`).
 */
import type { Fault } from '../errors.js';
import { join } from './path.js';

/** The variables of the process, or a test's. */
export type Env = Readonly<Record<string, string | undefined>>;

/** True if `text` has anything to fill in, so that most files skip the walk. */
export function hasVariables(text: string): boolean {
  return text.includes('${');
}

/**
 * A copy of `value` with all variables filled in. Unset ones are added to `faults` and stay as written.
 * `keepText` says of a path that its value was quoted and must stay text.
 *
 * @throws RangeError if `value` is nested deeper than the stack.
 */
export function fill(
  value: unknown,
  env: Env,
  faults: Fault[],
  keepText: (path: string) => boolean,
): unknown {
  const walk = (node: unknown, path: string): unknown => {
    if (typeof node === 'string') return fillText(node, path, env, faults, keepText);
    if (Array.isArray(node)) return node.map((item, i) => walk(item, join(path, i)));
    if (typeof node !== 'object' || node === null) return node;
    return Object.fromEntries(Object.entries(node).map(([key, item]) => [key, walk(item, join(path, key))]));
  };
  return walk(value, '');
}

function fillText(
  text: string,
  path: string,
  env: Env,
  faults: Fault[],
  keepText: (path: string) => boolean,
): unknown {
  if (!hasVariables(text)) return text;
  let whole = false;
  const filled = text.replace(VARIABLE, (written: string, name?: string, fallback?: string) => {
    if (name === undefined) return '${';
    whole = written.length === text.length;
    const value = env[name];
    if (value !== undefined && (value !== '' || fallback === undefined)) return value;
    if (fallback !== undefined) return fallback;
    faults.push({
      path,
      onKey: false,
      why: `the environment variable ${name} is not set`,
      fix: `set it, or give a default: \${${name}:-…}`,
    });
    return written;
  });
  return whole && !keepText(path) ? typed(filled) : filled;
}

/** Numbers and booleans of the YAML 1.2 core schema; `null` stays text, for no key of a config takes it. */
function typed(text: string): unknown {
  if (text === 'true' || text === 'false') return text === 'true';
  if (!NUMBER.test(text)) return text;
  const number = Number(text);
  return Number.isFinite(number) ? number : text;
}

const VARIABLE = /\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}/g;
const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?$/;
