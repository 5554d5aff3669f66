/**
 * proxy: `proxy_pass` and `grpc_pass`, to an upstream and the filters in front of it.
 */
import { isAbsolute, join } from 'node:path';
import type { Filter, Upstream } from '../generated/config.js';
import { rewritten } from './answers.js';
import { type Context, closed, from, uses } from './context.js';
import { told } from './headers.js';
import { bodies } from './limits.js';
import { escaped, literal, type Place } from './places.js';
import type { Scope } from './scope.js';
import type { Directive } from './syntax.js';
import { duration, milliseconds } from './units.js';

/** Where a route leads, and through what. */
export interface Passed {
  filters: Filter[];
  /** An upstream's name; undefined if the filters answer. */
  to: string | undefined;
  /** How long a WebSocket may be silent, in milliseconds, if the location is for them. */
  tunnel: number | undefined;
}

/** What the `proxy_pass` of a place does; undefined if it has none. */
export function passed(context: Context, place: Place): Passed | undefined {
  const { scope } = place;
  const directive = scope.own('proxy_pass', 'grpc_pass').at(-1);
  if (directive === undefined) return undefined;
  const isGrpc = directive.name === 'grpc_pass';
  const target = scope
    .filled(directive.args[0] ?? '')
    .replace(/^(?!\w+:\/\/)/, isGrpc ? 'grpc://' : 'http://');
  const [, scheme = '', host = '', uri = ''] = TARGET.exec(target) ?? [];
  if (host === '' || host.includes('$')) {
    context.notes.leave(directive, 'a variable decides where it leads', 'write a route for each upstream');
    return { filters: [closed(context, directive)], to: undefined, tunnel: undefined };
  }
  const isTls = scheme.endsWith('s');
  const kind = isGrpc ? 'grpc' : 'proxy';
  const settings: Pick<Upstream, 'timeouts' | 'tls' | 'protocol'> = { timeouts: timeouts(scope, kind) };
  if (isGrpc) settings.protocol = 'http2';
  if (isTls) settings.tls = tls(context, scope, kind, directive);
  const to = context.upstreams.named(host.replace(/:$/, ''), isTls, settings, directive);

  const usual = host.startsWith('unix:') ? 'localhost' : host;
  const fields = told(context, scope, usual, scope.all(`${kind}_set_header`));
  const own = rewritten(context, scope).map(({ filter }) => filter);
  const redirects = own.filter((filter) => uses(filter, 'redirect'));
  const rewrites = own.filter((filter) => uses(filter, 'rewrite'));
  const path = rewrites.length > 0 ? undefined : replaced(context, place, uri, directive);
  const filters = [...redirects, ...bodies(context, scope), ...fields.filters, ...rewrites];
  if (path !== undefined || fields.host !== undefined) {
    const rewrite = {
      use: 'rewrite',
      ...path,
      ...(fields.host === undefined ? {} : { host: fields.host }),
    } as Filter;
    filters.push(from(context, rewrite, directive));
  }
  others(context, scope);
  const read = milliseconds(scope.value(`${kind}_read_timeout`) ?? '60s');
  return { filters, to, tunnel: fields.isUpgrade ? read : undefined };
}

/** How the path changes, by what stands behind the host in `proxy_pass`. */
function replaced(
  context: Context,
  { form, text }: Place,
  uri: string,
  directive: Directive,
): Record<string, string> | undefined {
  if (uri === '' || form === 'regex') return undefined;
  if (/[?$]/.test(uri)) {
    context.notes.leave(
      directive,
      `a path with a query or variables is not sent on: ${uri}`,
      'do it in the app',
    );
    return undefined;
  }
  if (uri === text) return undefined;
  if (form === 'exact') return { path: escaped(uri) };
  if (text.endsWith('/') && uri.endsWith('/')) {
    const [strip, add] = [text.slice(0, -1), uri.slice(0, -1)];
    return {
      ...(strip === '' ? {} : { strip_prefix: escaped(strip) }),
      ...(add === '' ? {} : { add_prefix: escaped(add) }),
    };
  }
  return { regex: `^${literal(text)}`, replace: escaped(uri).replaceAll('$', '$$$$') };
}

/** All three are said, for nginx waits longer than the gateway does by itself. */
function timeouts(scope: Scope, kind: string): NonNullable<Upstream['timeouts']> {
  const ms = (name: string): number =>
    milliseconds(scope.value(`${kind}_${name}_timeout`) ?? '60s') ?? 60_000;
  const [connect, read, send] = [ms('connect'), ms('read'), ms('send')];
  return { connect: duration(connect), response: duration(read), stall: duration(Math.max(read, send)) };
}

function tls(
  context: Context,
  scope: Scope,
  kind: string,
  directive: Directive,
): NonNullable<Upstream['tls']> {
  const file = (name: string): string | undefined => {
    const path = scope.value(`${kind}_ssl_${name}`);
    return path === undefined || isAbsolute(path) ? path : join(context.folder, path);
  };
  const isVerified = scope.value(`${kind}_ssl_verify`) === 'on';
  const found: NonNullable<Upstream['tls']> = {};
  if (!isVerified) {
    found.verify = false;
    const instead = 'remove verify: false to have it verified';
    context.notes.differ(directive, 'as in nginx nobody verifies the certificate of this upstream', instead);
  }
  const [ca, cert, key] = [file('trusted_certificate'), file('certificate'), file('certificate_key')];
  if (ca !== undefined) found.ca = ca;
  if (cert !== undefined) found.client_cert = cert;
  if (key !== undefined) found.client_key = key;
  const name = scope.value(`${kind}_ssl_name`);
  if (name !== undefined && !name.includes('$')) found.sni = name;
  scope.last(`${kind}_ssl_server_name`);
  return found;
}

/** What is said of an upstream's exchange and has a meaning only in nginx. */
function others(context: Context, scope: Scope): void {
  const version = scope.last('proxy_http_version');
  if (version?.args[0] === '1.0') context.notes.differ(version, 'upstreams are spoken to in HTTP/1.1');
  const moved = scope.last('proxy_redirect');
  if (moved !== undefined && moved.args[0] !== 'off' && moved.args[0] !== 'default') {
    context.notes.leave(
      moved,
      'Location of an upstream passes as it is',
      'let the app build it from X-Forwarded-Host and -Proto',
    );
  }
}

/** Scheme, host or socket, and what follows. */
const TARGET = /^(https?|grpcs?):\/\/(unix:[^:]+(?::(?=\/|$))?|[^/?#]+)(.*)$/;
