/**
 * limits: `limit_req`, `limit_conn`, `client_max_body_size` and who is let in, to filters.
 */
import type { Filter, LimitKey } from '../generated/config.js';
import { access } from './access.js';
import { type Context, from } from './context.js';
import type { Scope } from './scope.js';
import type { Directive } from './syntax.js';
import { bytes, rate, size } from './units.js';

/** What stands before a request's upstream, in the order of nginx's phases. */
export function guards(context: Context, scope: Scope): Filter[] {
  return [
    ...scope.all('limit_req').flatMap((each) => limitReq(context, scope, each)),
    ...scope.all('limit_conn').flatMap((each) => limitConn(context, scope, each)),
    ...access(context, scope),
  ];
}

/** The filter for bodies, where an upstream gets them; nginx's own bound is 1 MiB. */
export function bodies(context: Context, scope: Scope): Filter[] {
  const said = scope.last('client_max_body_size');
  const most = bytes(said?.args[0] ?? '1m');
  if (most === undefined || most === 0) return [];
  const filter: Filter = { use: 'body_limit', max: size(most) };
  if (said === undefined) context.origins.set(filter, "nginx's default of client_max_body_size");
  return [said === undefined ? filter : from(context, filter, said)];
}

/** Who the client is, by `set_real_ip_from`. */
export function clientIp(context: Context, scope: Scope): Filter[] {
  const trusted = scope.all('set_real_ip_from');
  const header = scope.last('real_ip_header');
  const recursive = scope.value('real_ip_recursive') === 'on';
  if (trusted.length === 0) return [];
  const field = header?.args[0]?.toLowerCase() ?? 'x-real-ip';
  if (field === 'proxy_protocol') return []; // the listener reads it
  if (field !== 'x-forwarded-for') {
    const what = header ?? trusted[0];
    if (what !== undefined) {
      const why = `the client's address is read from X-Forwarded-For or Forwarded, not from ${field}`;
      context.notes.leave(what, why, 'let the proxy in front write X-Forwarded-For, and use client_ip');
    }
    return [];
  }
  const trust = trusted.flatMap(({ args }) => args.slice(0, 1)).filter((block) => !block.startsWith('unix:'));
  const filter: Filter = recursive ? { use: 'client_ip', trust } : { use: 'client_ip', trust, hops: 1 };
  return [from(context, filter, ...trusted, ...(header === undefined ? [] : [header]))];
}

function limitReq(context: Context, scope: Scope, directive: Directive): Filter[] {
  const { notes } = context;
  const zone = context.zones.get(option(directive, 'zone') ?? '');
  const leave = (why: string): Filter[] => {
    notes.leave(directive, why, 'write the filter rate_limit');
    return [];
  };
  if (zone === undefined) return leave('there is no such zone');
  const [perTime, key] = [rate(option(zone, 'rate') ?? ''), limitKey(zone.args[0] ?? '')];
  if (perTime === undefined || key === undefined) return leave(`${zone.args[0]} is no key of a limit`);
  notes.take(zone);
  const waiting = Number(option(directive, 'burst') ?? 0);
  const isAtOnce = directive.args.includes('nodelay') || waiting === 0;
  const delay = option(directive, 'delay');
  if (delay !== undefined) notes.differ(directive, `delay=${delay}: none of a burst waits`);
  const filter: Filter = { use: 'rate_limit', rate: perTime, burst: waiting + 1, key };
  if (!isAtOnce && delay === undefined) filter.algorithm = 'leaky_bucket';
  const status = scope.value('limit_req_status') ?? '503';
  if (status !== '429') notes.differ(directive, `what is refused gets 429 in place of ${status}`);
  if ((scope.value('limit_req_dry_run') ?? 'off') !== 'off')
    notes.differ(directive, 'it is a limit, and no dry run');
  notes.differ(directive, 'each route counts for itself, where nginx counts all that name the zone together');
  return [from(context, filter, directive, zone)];
}

function limitConn(context: Context, scope: Scope, directive: Directive): Filter[] {
  const { notes } = context;
  const [name = '', most = ''] = directive.args;
  const zone = context.zones.get(name);
  const key = limitKey(zone?.args[0] ?? '');
  if (zone === undefined || key === undefined) {
    notes.leave(directive, 'its key is none of a limit', 'write the filter concurrency');
    return [];
  }
  notes.take(zone);
  notes.differ(directive, 'each route counts for itself, where nginx counts all that name the zone together');
  const status = Number(scope.value('limit_conn_status') ?? 503);
  const filter: Filter = { use: 'concurrency', limit: Number(most), key, status };
  return [from(context, filter, directive, zone)];
}

/** Keys of ours for variables of nginx. */
function limitKey(text: string): LimitKey | LimitKey[] | undefined {
  const parts = text.match(/\$\w+/g) ?? [];
  if (parts.join('') !== text || parts.length === 0) return undefined;
  const keys = parts.map((part) => {
    const [, kind, name = ''] = /^\$(http|cookie)_(\w+)$/.exec(part) ?? [];
    if (kind === 'http') return `header:${name.replaceAll('_', '-')}`;
    if (kind === 'cookie') return `cookie:${name}`;
    if (part === '$server_name') return 'route';
    return part === '$binary_remote_addr' || part === '$remote_addr' ? 'client_ip' : undefined;
  });
  if (keys.includes(undefined)) return undefined;
  const known = keys as LimitKey[];
  return known.length === 1 ? known[0] : known;
}

/** The value of `name=value`. */
function option(directive: Directive, name: string): string | undefined {
  return directive.args.find((arg) => arg.startsWith(`${name}=`))?.slice(name.length + 1);
}
