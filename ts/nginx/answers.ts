/**
 * answers: `return` and `rewrite`, to the filters respond, redirect and rewrite.
 *
 * nginx replaces the whole path by the replacement wherever its expression is found; ours replaces what was found. So the expression
 * is made to find all of the path.
 */
import type { Filter } from '../generated/config.js';
import { type Context, closed, from } from './context.js';
import { expressionFault } from './expression.js';
import { added } from './headers.js';
import type { Scope } from './scope.js';
import type { Directive } from './syntax.js';

/** The filters that do what a `return` says. */
export function returned(context: Context, directive: Directive, scope: Scope): Filter[] {
  const { notes } = context;
  const [first = '', ...rest] = directive.args;
  const isUrl = !/^\d+$/.test(first);
  const status = isUrl ? 302 : Number(first);
  const text = scope.filled(isUrl ? first : rest.join(' '));
  notes.take(directive);
  if (REDIRECTS.has(status)) {
    const filter = redirect(text, status, scope);
    if (filter !== undefined) return [...headers(context, scope, status), from(context, filter, directive)];
    notes.leave(
      directive,
      `no redirect leads to ${text}`,
      'see the filter redirect: scheme, host, port and path',
    );
    return [closed(context, directive)];
  }
  if (status === 444) {
    notes.leave(directive, 'a connection is not closed without an answer', 'answer with a status');
    return [closed(context, directive)];
  }
  if (text.includes('$')) {
    notes.leave(directive, 'a fixed answer has no variables', 'answer from an app');
    return [closed(context, directive)];
  }
  const type = added(scope).find(({ args }) => args[0]?.toLowerCase() === 'content-type')?.args[1];
  const content_type = type ?? scope.value('default_type') ?? 'text/plain';
  const filter: Filter =
    text === '' ? { use: 'respond', status } : { use: 'respond', status, body: text, content_type };
  return [...headers(context, scope, status), from(context, filter, directive)];
}

function headers(context: Context, scope: Scope, status: number): Filter[] {
  const own = added(scope).filter(
    ({ args }) => args[0]?.toLowerCase() !== 'content-type' && (args[2] === 'always' || ADDED_TO.has(status)),
  );
  return own.flatMap((each) => {
    const [name = '', value = ''] = [each.args[0], scope.filled(each.args[1] ?? '')];
    if (value.includes('$')) {
      context.notes.leave(each, 'values of fields are fixed', 'set it in the app');
      return [];
    }
    return [from(context, { use: 'headers', response: { add: { [name]: value } } } as Filter, each)];
  });
}

/** A redirect to `url`, or none if ours cannot say it. */
function redirect(url: string, status: number, scope: Scope): Filter | undefined {
  if (!url.includes('$')) return { use: 'respond', status, headers: { location: url } };
  const [, scheme, host, port, path = '', rest] = GOAL.exec(url) ?? [];
  if (rest === undefined) return undefined;
  const own = scope.value('server_name');
  const named = host === '$server_name' ? own : host === '$host' || host === '$http_host' ? undefined : host;
  if (named?.includes('$') === true) return undefined;
  const found: Record<string, unknown> = { use: 'redirect', status };
  if (scheme !== undefined && scheme !== '$scheme') found.scheme = scheme;
  if (named !== undefined) found.host = named;
  if (port !== undefined) found.port = Number(port);
  if (rest === '') found.path = path === '' ? '/' : path;
  else if (path !== '' && path !== '/') found.add_prefix = path.replace(/\/$/, '');
  if (rest === '' || rest === '$uri') found.keep_query = false;
  return found as unknown as Filter;
}

/** A rewrite of nginx's. */
export interface Rewritten {
  filter: Filter;
  /** The expression of the paths that it is for, if the filter would take others too: it redirects to another host. */
  only: string | undefined;
  directive: Directive;
}

/** The rewrites of one block: those that redirect, and those that change the path on its way. */
export function rewritten(context: Context, scope: Scope, isServer = false): Rewritten[] {
  return scope.own('rewrite').flatMap((directive): Rewritten[] => {
    const { notes } = context;
    const [pattern = '', to = '', flag = ''] = directive.args;
    const leave = (why: string, instead: string): Rewritten[] => {
      notes.leave(directive, why, instead);
      return [];
    };
    const [target = to, query] = to.split('?', 2);
    const replace = replacement(scope.filled(target));
    if (replace === undefined || (query !== undefined && query !== '')) {
      return leave('only the path is rewritten, from the path', 'do it in the app');
    }
    const regex = whole(pattern);
    const fault = expressionFault(regex);
    if (fault !== undefined) return leave(fault, 'write it without looking around and back');
    const url = /^(https?):\/\/([^/$]+)(\/.*)?$/.exec(replace);
    if (flag === 'permanent' || flag === 'redirect' || url !== null) {
      const status = flag === 'permanent' ? 301 : 302;
      const found: Record<string, unknown> = {
        use: 'redirect',
        status,
        regex,
        replace: url?.[3] ?? (url === null ? replace : '/'),
      };
      if (url !== null) {
        const [host = '', port] = (url[2] ?? '').split(':');
        Object.assign(found, { scheme: url[1], host }, port === undefined ? {} : { port: Number(port) });
      }
      if (query === '') found.keep_query = false;
      if (url !== null && !isServer)
        return leave('a redirect to another host is for all of a route', 'write a route for its paths');
      const only = url === null ? undefined : regex;
      return [{ filter: from(context, found as unknown as Filter, directive), only, directive }];
    }
    if (!replace.startsWith('/')) return leave('what comes out is no path', 'write / at its beginning');
    if (query === '') return leave('the query always stays', 'do it in the app');
    if (isServer || flag !== 'break') {
      return leave(
        'a path that was rewritten is not routed again',
        'write a route for the old path, with the filter rewrite',
      );
    }
    return [
      { filter: from(context, { use: 'rewrite', regex, replace }, directive), only: undefined, directive },
    ];
  });
}

/** An expression that finds the whole of a path in which `pattern` is found. */
function whole(pattern: string): string {
  const inner = pattern.includes('|') ? `(?:${pattern})` : pattern;
  const isFromStart = pattern.startsWith('^');
  const isToEnd = pattern.endsWith('$') && !pattern.endsWith('\\$');
  return `${isFromStart ? '' : '^.*?'}${inner}${isToEnd && inner === pattern ? '' : '.*$'}`;
}

/** `/new/$1` with the groups as ours names them; undefined if it has other variables. */
function replacement(text: string): string | undefined {
  let isKnown = true;
  const found = text.replaceAll(/\$(?:\{(\w+)\}|(\w+)|)/g, (_, long?: string, short?: string) => {
    const name = long ?? short ?? '';
    if (!/^\d$/.test(name)) isKnown = false;
    return `\${${name}}`;
  });
  return isKnown ? found : undefined;
}

/** The statuses with a Location. */
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
/** Statuses that `add_header` without `always` adds to. */
export const ADDED_TO: ReadonlySet<number> = new Set([200, 201, 204, 206, 301, 302, 303, 304, 307, 308]);
/** Scheme, host, port, a path, and what of the request's own follows. */
const GOAL =
  /^(?:(https?|\$scheme):\/\/(\$host|\$http_host|\$server_name|[A-Za-z0-9.-]+)(?::(\d+))?)?(\/[A-Za-z0-9\-._~/]*)?(\$request_uri|\$uri\$is_args\$args|\$uri|)$/;
