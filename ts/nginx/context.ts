/**
 * context: what all parts of an import share.
 */
import type { Filter } from '../generated/config.js';
import { at, type Notes, words } from './notes.js';
import type { Directive } from './syntax.js';
import type { Upstreams } from './upstreams.js';

/** One import. */
export interface Context {
  notes: Notes;
  upstreams: Upstreams;
  /** `limit_req_zone` and `limit_conn_zone`, by the zone's name. */
  zones: Map<string, Directive>;
  /** The folder that relative paths of nginx begin at. */
  folder: string;
  /** What a part of the new config came from, for the comment at it. */
  origins: WeakMap<object, string>;
}

/** Notes where `value` came from, and hands it back. */
export function from<T extends object>(context: Context, value: T, ...directives: Directive[]): T {
  const said = directives.map((directive) => `${at(directive)} ${words(directive)}`);
  if (said.length > 0) context.origins.set(value, said.join(', '));
  return value;
}

/** True if it is the filter of this name, which may be one that this version does not have. */
export function uses(filter: Filter, name: string): boolean {
  return (filter.use as string) === name;
}

/** Answers in place of what was not carried over, so that no request goes where nginx would not let it. */
export function closed(context: Context, directive: Directive): Filter {
  const body = `Not carried over from nginx: ${at(directive)}\n`;
  return from(context, { use: 'respond', status: 501, body }, directive);
}
