/**
 * places: nginx's locations in nginx's order, as paths of routes in ours.
 *
 * nginx takes an exact location; else it remembers the longest prefix, takes it at once if that is marked `^~`, else the first regular
 * expression that fits, else that prefix. Prefixes are compared sign by sign. Ours: exact, then templates, then prefixes, then
 * expressions in the order of the config, then `/*`. So:
 *
 * | nginx | ours |
 * |---|---|
 * | `= /a` | `/a` |
 * | `^~ /a/`, or `/a/` where no expressions are | `/a/{rest*}`: all that begins with `/a/` |
 * | `/a`, which is also `/ab` | `~^/a` |
 * | `~ re`, `~* re` | `~re`, `~(?i)re`, in their order |
 * | `/a/` where expressions are | `~^/a/` behind them, the longest first |
 * | `/` | `/*` |
 *
 * A template may not stand above a longer prefix that only an expression can say, for templates come first: then it is one too.
 */
import type { Scope } from './scope.js';
import type { Directive } from './syntax.js';

/** A location, or a part of a server that acts like one. */
export interface Place {
  form: 'exact' | 'prefix' | 'regex';
  /** The path or the expression, as nginx has it. */
  text: string;
  /** `^~`: no expression is tried. */
  isFinal: boolean;
  /** `~*`. */
  isCaseless: boolean;
  from: Directive;
  scope: Scope;
}

/** A place and the path of its route. */
export interface Placed {
  place: Place;
  /** What `match.path` says. */
  path: string;
}

/** All locations of a block, those within others too. */
export function places(scope: Scope, above?: Place): Place[] {
  return scope.own('location').flatMap((from) => {
    const { notes } = scope;
    const [sign = '', rest] = from.args.length > 1 ? from.args : ['', from.args[0] ?? ''];
    const [mark, text] = rest === undefined ? ['', sign] : sign === '' ? split(rest) : [sign, rest];
    const inner = scope.within(from.block ?? []);
    if (text.startsWith('@')) {
      notes.leave(
        from,
        'a named location is reached from error_page or try_files only',
        'write a route for it',
      );
      return [];
    }
    const form = mark === '=' ? 'exact' : mark === '~' || mark === '~*' ? 'regex' : 'prefix';
    if (form === 'regex' && above !== undefined && above.text !== '/') {
      const why = 'an expression within a location is tried for paths of that location only';
      notes.leave(from, why, `write it on its own, with ${above.text} in it`);
      return [];
    }
    const place: Place = {
      form,
      text,
      isFinal: mark === '^~',
      isCaseless: mark === '~*',
      from,
      scope: inner,
    };
    return [place, ...places(inner, place)];
  });
}

/** `=/a` is `= /a`. */
function split(text: string): [string, string] {
  const [, mark = '', rest = ''] = /^(=|\^~|~\*|~)?(.*)$/s.exec(text) ?? [];
  return [mark, rest];
}

/** Their paths, in the order that they have to have in the config. */
export function placed(found: readonly Place[]): Placed[] {
  const regexes = found.filter(({ form }) => form === 'regex');
  const exact = found.filter(({ form }) => form === 'exact');
  const prefixes = found
    .filter(({ form }) => form === 'prefix')
    .sort((a, b) => b.text.length - a.text.length);
  const hasRegex = regexes.length > 0;
  const finals = prefixes.filter(({ isFinal }) => isFinal);
  // What lies below a final prefix has to stand before it, and so before the expressions.
  const covered = (place: Place): boolean =>
    !place.isFinal && finals.some((final) => final !== place && place.text.startsWith(final.text));
  const first = hasRegex ? prefixes.filter((place) => place.isFinal || covered(place)) : prefixes;
  const last = hasRegex ? prefixes.filter((place) => !place.isFinal && !covered(place)) : [];
  for (const place of first.filter((place) => hasRegex && covered(place))) {
    const why = 'below a ^~ location nginx tries expressions for it, and the gateway does not';
    place.scope.notes.differ(
      place.from,
      why,
      'write ^~ there, or a route for what the expression is to take',
    );
  }
  const plain = (text: string): boolean =>
    text.endsWith('/') &&
    text !== '/' &&
    !text.includes('*') &&
    first.every((other) => !other.text.startsWith(text) || other.text === text || plain(other.text));
  const before = first.map((place) => {
    if (plain(place.text)) return { place, path: `${escaped(place.text)}{rest*}` };
    return { place, path: place.text === '/' && !hasRegex ? '/*' : `~^${literal(place.text)}` };
  });
  const behind = last.map((place) => ({
    place,
    path: place.text === '/' ? '/*' : `~^${literal(place.text)}`,
  }));
  return [
    ...exact.map((place) => ({
      place,
      path: place.text.includes('*') ? `~^${literal(place.text)}$` : escaped(place.text),
    })),
    ...before,
    ...regexes.map((place) => ({ place, path: `~${expression(place)}` })),
    ...behind,
  ];
}

/** A path as requests have it here: nginx compares what it has decoded, we what is escaped. */
export function escaped(path: string): string {
  return path.replaceAll(ODD, (sign) =>
    [...Buffer.from(sign)].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(''),
  );
}

/** An expression that finds this path as it stands. */
export function literal(path: string): string {
  return escaped(path).replaceAll(SIGNS, '\\$&');
}

/** The expression of a place, in the syntax of ours. */
export function expression({ text, isCaseless }: Pick<Place, 'text' | 'isCaseless'>): string {
  return (isCaseless ? '(?i)' : '') + text;
}

const ODD = /[^A-Za-z0-9\-._~!$&'()+,;=:@/*]/gu;
const SIGNS = /[.*+?^${}()|[\]\\]/g;
