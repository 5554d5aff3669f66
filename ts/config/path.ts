/**
 * path: the text of a fault's place, `routes[0].match["odd key"]`, as steps.
 *
 * The syntax is the core's (`crates/core/src/config/walk.rs`): names joined by dots, list positions in
 * brackets, keys that are no plain names in brackets as JSON strings. Total: text that is not of this
 * form yields the steps before it.
 */

/** A key of an object, or a position in a list. */
export type Step = string | number;

/** The steps of `path`; the empty path has none. */
export function steps(path: string): Step[] {
  const found: Step[] = [];
  STEP.lastIndex = 0;
  while (STEP.lastIndex < path.length) {
    const match = STEP.exec(path);
    if (match === null) break;
    const [, index, quoted, name] = match;
    if (index !== undefined) found.push(Number(index));
    else if (quoted !== undefined) found.push(unquote(quoted));
    else found.push(name ?? '');
  }
  return found;
}

/** The path of `step` below `path`. */
export function join(path: string, step: Step): string {
  if (typeof step === 'number') return `${path}[${step}]`;
  if (!PLAIN.test(step)) return `${path}[${JSON.stringify(step)}]`;
  return path === '' ? step : `${path}.${step}`;
}

function unquote(text: string): string {
  try {
    return String(JSON.parse(text));
  } catch {
    return text.slice(1, -1);
  }
}

const STEP = /\[(\d+)\]|\[("(?:[^"\\]|\\.)*")\]|\.?([^.[\]]+)/y;
const PLAIN = /^[A-Za-z0-9_-]+$/;
