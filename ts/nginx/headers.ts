/**
 * headers: `proxy_set_header`, `add_header` and their kin, to the filters headers, rewrite (for Host) and request_id.
 */
import type { Filter } from '../generated/config.js';
import { type Context, from } from './context.js';
import type { Scope } from './scope.js';
import type { Directive } from './syntax.js';
import { milliseconds } from './units.js';

/** What is said of a request's fields. */
export interface Told {
  filters: Filter[];
  /** What Host becomes; undefined if the client's stays. */
  host: string | undefined;
  /** That the idiom for WebSockets is there. */
  isUpgrade: boolean;
}

/** What upstreams are told, by `directives` of `proxy_set_header` or `grpc_set_header`; `usual` is nginx's own Host. */
export function told(context: Context, scope: Scope, usual: string, directives: readonly Directive[]): Told {
  const { notes } = context;
  const found: Told = { filters: [], host: usual, isUpgrade: false };
  for (const directive of directives) {
    const [name = '', raw = ''] = directive.args;
    const [lower, value] = [name.toLowerCase(), scope.filled(raw)];
    if (lower === 'host') {
      if (value === '$host' || value === '$http_host') found.host = undefined;
      else if (value === '$server_name') found.host = scope.value('server_name');
      else if (value === '$host:$server_port') found.host = undefined;
      else if (value.includes('$') && value !== '$proxy_host')
        notes.leave(directive, `${value} is no host here`, 'write host in the filter rewrite');
      else if (value !== '$proxy_host') found.host = value;
      continue;
    }
    if (lower === 'upgrade' || lower === 'connection') {
      found.isUpgrade ||= lower === 'upgrade';
      continue;
    }
    if (WRITTEN[lower] !== undefined) {
      const { values, says } = WRITTEN[lower];
      if (!values.includes(value)) notes.leave(directive, `the gateway writes ${name} itself: ${says}`, '');
      continue;
    }
    if (lower === 'x-real-ip' || lower === 'forwarded') {
      const instead = 'let the app read X-Forwarded-For, whose last entry the gateway vouches for';
      notes.leave(directive, `the gateway does not write ${name}, and takes it from nobody`, instead);
      continue;
    }
    if (value === '$request_id') {
      const filter: Filter = { use: 'request_id', header: lower, response: false };
      found.filters.push(from(context, filter, directive));
      continue;
    }
    if (value === `$http_${lower.replaceAll('-', '_')}`) {
      notes.spare(directive, 'fields of the client pass as they are');
      continue;
    }
    if (value.includes('$')) {
      notes.leave(directive, `values of fields are fixed, and ${value} is not`, 'a plugin can set it');
      continue;
    }
    const request = value === '' ? { remove: [name] } : { set: { [name]: value } };
    found.filters.push(from(context, { use: 'headers', request }, directive));
  }
  return found;
}

/** The `add_header` that hold. */
export function added(scope: Scope): Directive[] {
  return scope.all('add_header');
}

/** What becomes of a response's fields. */
export function answered(context: Context, scope: Scope): Filter[] {
  const { notes } = context;
  const found: Filter[] = [];
  for (const directive of added(scope)) {
    const [name = '', raw = '', always] = directive.args;
    const value = scope.filled(raw);
    if (value.includes('$')) {
      notes.leave(directive, `values of fields are fixed, and ${value} is not`, 'set it in the app');
      continue;
    }
    if (always === undefined) {
      notes.differ(directive, 'it is added whatever the status is, as with always');
    }
    found.push(from(context, { use: 'headers', response: { add: { [name]: value } } }, directive));
  }
  const hidden = scope.all('proxy_hide_header');
  if (hidden.length > 0) {
    const remove = hidden.flatMap(({ args }) => args.slice(0, 1));
    found.push(from(context, { use: 'headers', response: { remove } }, ...hidden));
  }
  const expires = scope.last('expires');
  if (expires !== undefined) {
    const value = cacheControl(expires.args);
    if (value === undefined)
      notes.leave(expires, 'only a fixed time from now is carried over', 'set it in the app');
    else if (value !== '') {
      notes.differ(expires, 'Cache-Control says it, and there is no Expires', '');
      found.push(from(context, { use: 'headers', response: { add: { 'cache-control': value } } }, expires));
    }
  }
  return found;
}

/** What `expires` means; empty for `off`. */
function cacheControl([value = '', ...more]: readonly string[]): string | undefined {
  if (value === 'off') return '';
  if (value === 'max') return 'max-age=315360000';
  if (value === 'epoch' || value.startsWith('-')) return 'no-cache';
  const ms = milliseconds(value);
  return ms === undefined || more.length > 0 ? undefined : `max-age=${ms / 1000}`;
}

/** Fields that the gateway writes after all filters, and the values of nginx that mean the same. */
const WRITTEN: Record<string, { values: string[]; says: string }> = {
  'x-forwarded-for': {
    values: ['$proxy_add_x_forwarded_for', '$remote_addr'],
    says: 'the client that is proved, and the trusted proxies behind it',
  },
  'x-forwarded-proto': { values: ['$scheme'], says: 'http or https' },
  'x-forwarded-host': {
    values: ['$host', '$http_host', '$host:$server_port'],
    says: 'the host that the client asked for',
  },
};
