/**
 * routes: a server's locations, to routes.
 */
import type { Filter, Route } from '../generated/config.js';
import { returned, rewritten } from './answers.js';
import { type Context, closed, from } from './context.js';
import { expressionFault } from './expression.js';
import { files } from './files.js';
import { answered } from './headers.js';
import { clientIp, guards } from './limits.js';
import { hostsAt, type Server } from './listen.js';
import { escaped, literal, type Place, placed, places } from './places.js';
import { type Passed, passed } from './proxy.js';
import type { Scope } from './scope.js';
import type { Directive } from './syntax.js';
import { unique } from './upstreams.js';

/** A route before it is known for which hosts and listeners. */
interface Part {
  path: string | undefined;
  filters: Filter[];
  to: string | undefined;
  from: Directive;
  /** What the name says of it. */
  label: string;
  /** A host of its own, which the other parts do not have. */
  host?: string;
}

/** What a server answers before it looks at locations: to all, to those with and without TLS, to those of a host. */
interface Early {
  whole?: Part[];
  plain?: Part[];
  ssl?: Part[];
  hosts: Part[];
}

/** All routes of a config, and how long tunnels of each listener may be silent. */
export class Routes {
  readonly all: Route[] = [];
  /** By the name of the listener, milliseconds. */
  readonly tunnels = new Map<string, number>();
  readonly #context: Context;
  /** Which server said an expression first, by host and expression: the router knows one place for each. */
  readonly #said = new Map<string, Server>();

  constructor(context: Context) {
    this.#context = context;
  }

  /** The routes of `each`, one of `servers`. */
  add(each: Server, servers: readonly Server[]): void {
    const hosts = hostsAt(each, servers);
    const early = this.#early(each);
    const rest = early.whole ?? this.#parts(each, hosts);
    const own = new Set(early.hosts.flatMap(({ host }) => host ?? []));
    // Listeners at which the hosts are the same share their routes.
    const groups = new Map<string, { listeners: string[]; hosts: string[] | undefined; parts: Part[] }>();
    for (const [name, at] of hosts) {
      const isSsl = each.listens.some((listen) => listen.name === name && listen.isSsl);
      const parts = (isSsl ? early.ssl : early.plain) ?? rest;
      const key = JSON.stringify([at ?? null, parts === rest]);
      const group = groups.get(key) ?? { listeners: [], hosts: at, parts };
      group.listeners.push(name);
      groups.set(key, group);
    }
    const listeners = new Set(servers.flatMap(({ listens }) => listens.map(({ name }) => name)));
    for (const group of groups.values()) {
      const isAll = group.listeners.length === listeners.size;
      const where = group.hosts?.filter((host) => !own.has(host));
      for (const part of early.hosts)
        this.#route(each, part, isAll ? [] : group.listeners, [part.host ?? '*']);
      for (const part of group.parts) this.#route(each, part, isAll ? [] : group.listeners, where);
    }
  }

  #route(each: Server, part: Part, listeners: string[], hosts: string[] | undefined): void {
    const label = `${each.names[0]?.replace(/^\*\./, '') ?? each.listens[0]?.name ?? 'server'}-${part.label}`;
    const route: Route = {
      name: unique(
        label,
        this.all.map(({ name }) => name),
      ),
    };
    if (listeners.length > 0) route.listeners = listeners;
    const match: NonNullable<Route['match']> = {};
    const [only] = hosts ?? [];
    if (hosts !== undefined && only !== undefined) match.host = hosts.length === 1 ? only : hosts;
    if (part.path !== undefined) match.path = this.#own(part.path, each, hosts ?? ['*']);
    if (Object.keys(match).length > 0) route.match = match;
    // What a filter answers always, nothing behind it is asked for.
    const end = part.filters.findIndex(({ use }) => use === 'respond');
    const filters = end === -1 ? part.filters : part.filters.slice(0, end + 1);
    if (filters.length > 0) route.filters = filters;
    if (part.to !== undefined && end === -1) route.to = part.to;
    this.all.push(from(this.#context, route, part.from));
  }

  /** An expression that no other server has said for one of these hosts, so that those of each keep their order. */
  #own(path: string, each: Server, hosts: readonly string[]): string {
    let found = path;
    if (!path.startsWith('~')) return path;
    while (hosts.some((host) => (this.#said.get(`${host} ${found}`) ?? each) !== each)) found += '(?:)';
    for (const host of hosts) this.#said.set(`${host} ${found}`, each);
    return found;
  }

  /** What a server says before it looks at locations. */
  #early(each: Server): Early {
    const { scope } = each;
    const found: Early = { hosts: [] };
    let whole: Pick<Part, 'filters' | 'to'> | undefined;
    const answer = (directive: Directive, within: Scope): Part => ({
      ...this.#answer(directive, within),
      path: '/*',
      from: directive,
      label: 'return',
    });
    for (const condition of scope.own('if')) {
      const words = condition.args
        .join(' ')
        .replace(/^\(\s*/, '')
        .replace(/\s*\)$/, '');
      const inner = scope.within(condition.block ?? []);
      const [returns] = inner.own('return');
      const [, host] = /^\$(?:host|http_host) = "?([A-Za-z0-9.-]+)"?$/.exec(words) ?? [];
      const isOnlyReturn = condition.block?.length === 1 && returns !== undefined;
      if (isOnlyReturn && host !== undefined) {
        found.hosts.push({ ...answer(returns, inner), host: host.toLowerCase() });
      } else if (isOnlyReturn && /^\$scheme (= "?http"?|!= "?https"?)$/.test(words))
        found.plain = [answer(returns, inner)];
      else if (isOnlyReturn && /^\$scheme (= "?https"?|!= "?http"?)$/.test(words))
        found.ssl = [answer(returns, inner)];
      else {
        this.#context.notes.leave(
          condition,
          'a condition becomes a route, and this one is no host or scheme',
          CONDITION,
        );
        if (refuses(condition)) whole = { filters: [closed(this.#context, condition)], to: undefined };
      }
    }
    const [first] = scope.own('return');
    if (first !== undefined) found.whole = [answer(first, scope)];
    if (whole !== undefined) found.whole = [{ ...whole, path: '/*', from: each.from, label: 'closed' }];
    return found;
  }

  #answer(directive: Directive, scope: Scope): Pick<Part, 'filters' | 'to'> {
    return { filters: returned(this.#context, directive, scope), to: undefined };
  }

  #parts(each: Server, hosts: Map<string, unknown>): Part[] {
    const context = this.#context;
    const found = places(each.scope);
    const rewrites = rewritten(context, each.scope, true);
    const before = rewrites.filter(({ only }) => only === undefined).map(({ filter }) => filter);
    const moved = rewrites.flatMap(({ directive, filter, only }): Part[] => {
      if (only === undefined) return [];
      context.notes.differ(directive, 'locations that are no expressions come before it');
      const filters = [...clientIp(context, each.scope), ...answered(context, each.scope), filter];
      return [{ path: `~${only}`, filters, to: undefined, from: directive, label: 'rewrite' }];
    });
    const parts = placed(found).flatMap(({ place, path }): Part[] => {
      const fault = place.form === 'regex' ? expressionFault(path.slice(1)) : undefined;
      if (fault !== undefined) {
        const instead =
          'write it without looking around or back; until then its requests go to other locations';
        context.notes.leave(place.from, fault, instead);
        return [];
      }
      const content = this.#content(place, hosts, before);
      return [...slash(context, place, found), { ...content, path, from: place.from, label: label(place) }];
    });
    if (!found.some(({ form, text }) => form === 'prefix' && text === '/')) {
      const rest = files(context, each.scope, '', each.from);
      const filters = this.#ordered(each.scope, before, rest);
      parts.push({ filters, to: undefined, path: '/*', from: each.from, label: 'rest' });
    }
    return [...moved, ...parts];
  }

  /** What a location does. */
  #content(
    place: Place,
    hosts: Map<string, unknown>,
    redirects: readonly Filter[],
  ): Pick<Part, 'filters' | 'to'> {
    const context = this.#context;
    const { scope } = place;
    const [answer] = scope.own('return');
    if (answer !== undefined) {
      const { filters } = this.#answer(answer, scope);
      return { filters: [...clientIp(context, scope), ...redirects, ...filters], to: undefined };
    }
    for (const condition of scope.own('if', 'limit_except')) {
      context.notes.leave(condition, 'a condition becomes a route, and this one does not', CONDITION);
      if (refuses(condition)) return { filters: [closed(context, condition)], to: undefined };
    }
    const content = passed(context, place) ?? this.#other(place);
    for (const name of content.tunnel === undefined ? [] : hosts.keys()) {
      this.tunnels.set(name, Math.max(content.tunnel ?? 0, this.tunnels.get(name) ?? 0));
    }
    return { filters: this.#ordered(scope, redirects, content.filters), to: content.to };
  }

  /** Filters in the order of nginx's phases. Fields of responses come early, for they are also added to refusals. */
  #ordered(scope: Scope, redirects: readonly Filter[], content: readonly Filter[]): Filter[] {
    const context = this.#context;
    const [who, fields] = [clientIp(context, scope), answered(context, scope)];
    return [...who, ...fields, ...redirects, ...guards(context, scope), ...content];
  }

  #other({ from, scope, text }: Place): Passed {
    const program = scope
      .own(
        'fastcgi_pass',
        'uwsgi_pass',
        'scgi_pass',
        'memcached_pass',
        'stub_status',
        'perl',
        'js_content',
        'content_by_lua_block',
      )
      .at(-1);
    if (program !== undefined) {
      this.#context.notes.leave(
        program,
        'upstreams speak HTTP',
        'put a server that speaks HTTP in front of it',
      );
      return { filters: [closed(this.#context, program)], to: undefined, tunnel: undefined };
    }
    const filters = files(this.#context, scope, text, from);
    return { filters, to: undefined, tunnel: undefined };
  }
}

/** True if a condition keeps requests out: without it they would come in. */
function refuses({ block, name }: Directive): boolean {
  const isRefusal = ({ args, name }: Directive): boolean =>
    name === 'deny' || (name === 'return' && /^4/.test(args[0] ?? ''));
  return name === 'limit_except' || block?.some(isRefusal) === true;
}

/** nginx sends `/a` to `/a/` where there is a proxied location `/a/` and none for `/a`. */
function slash(context: Context, place: Place, all: readonly Place[]): Part[] {
  const { form, scope, text } = place;
  const bare = text.slice(0, -1);
  const isProxied = place.from.block?.some(({ name }) =>
    /^(proxy|grpc|fastcgi|uwsgi|scgi|memcached)_pass$/.test(name),
  );
  if (form !== 'prefix' || bare === '' || !text.endsWith('/') || isProxied !== true) return [];
  if (all.some((other) => other.form !== 'regex' && other.text === bare)) return [];
  const filter = { use: 'redirect', path: escaped(text), status: 301 } as unknown as Filter;
  const path = bare.includes('*') ? `~^${literal(bare)}$` : escaped(bare);
  const filters = [...clientIp(context, scope), from(context, filter, place.from)];
  return [{ path, filters, to: undefined, from: place.from, label: `${label(place)}-slash` }];
}

function label({ form, text }: Place): string {
  if (text === '/' && form === 'prefix') return 'all';
  return (
    text.replaceAll(/[^A-Za-z0-9]+/g, '-').replaceAll(/^-|-$/g, '') ||
    (form === 'exact' ? 'root' : 'expression')
  );
}

const CONDITION = 'write routes with match.host, method, headers or query';
