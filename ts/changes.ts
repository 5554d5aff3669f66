/**
 * changes: what is different between two configs, in a line for people. Names only, never a value: some are secret.
 *
 * ```text
 * routes +items -old ~api; drain_timeout
 * ```
 * Bounds: {@link MOST_NAMES} names of a kind; a name is cut at {@link LONGEST}.
 */

/** What has to be done to `before` to have `after`; both are JSON. */
export function changes(before: string, after: string): string {
  const from = keysOf(before);
  const to = keysOf(after);
  const said = [...new Set([...Object.keys(from), ...Object.keys(to)])].flatMap((key) => {
    if (same(from[key], to[key])) return [];
    const names = NAMED.has(key) ? items(from[key], to[key]) : '';
    return [names === '' ? key : `${key} ${names}`];
  });
  return said.length === 0 ? 'no difference' : said.join('; ');
}

function items(before: unknown, after: unknown): string {
  const from = byName(before);
  const to = byName(after);
  const added = [...to.keys()].filter((name) => !from.has(name));
  const removed = [...from.keys()].filter((name) => !to.has(name));
  const changed = [...to].filter(([name, item]) => from.has(name) && !same(from.get(name), item));
  return [
    signed('+', added),
    signed('-', removed),
    signed(
      '~',
      changed.map(([name]) => name),
    ),
  ]
    .filter((text) => text !== '')
    .join(' ');
}

function signed(sign: string, names: readonly string[]): string {
  const shown = names.slice(0, MOST_NAMES).map((name) => `${sign}${name.slice(0, LONGEST)}`);
  const more = names.length - shown.length;
  return [...shown, ...(more > 0 ? [`${sign}(${more} more)`] : [])].join(' ');
}

function byName(list: unknown): Map<string, unknown> {
  const found = new Map<string, unknown>();
  for (const item of Array.isArray(list) ? list : []) {
    const { name } = (item ?? {}) as { name?: unknown };
    if (typeof name === 'string') found.set(name, item);
  }
  return found;
}

function same(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

function keysOf(json: string): Record<string, unknown> {
  const value: unknown = JSON.parse(json);
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

const NAMED: ReadonlySet<string> = new Set(['listeners', 'apps', 'upstreams', 'routes']);
const MOST_NAMES = 4;
const LONGEST = 64;
