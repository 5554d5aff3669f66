/**
 * listen: `listen`, `server_name` and certificates, to listeners, and to the hosts that the routes of a server have at each.
 *
 * Errors: none; what has no counterpart is noted.
 */
import { join } from 'node:path';
import type { Listener } from '../generated/config.js';
import type { Notes } from './notes.js';
import type { Scope } from './scope.js';
import type { Directive } from './syntax.js';
import { bytes, size, time } from './units.js';

/** A `server`. */
export interface Server {
  from: Directive;
  scope: Scope;
  /** Hosts as `match.host` has them. */
  names: string[];
  listens: Listen[];
}

/** One `listen` of a server. */
export interface Listen {
  /** The name of the listener. */
  name: string;
  bind: string;
  isSsl: boolean;
  isHttp2: boolean;
  isDefault: boolean;
  isProxied: boolean;
  backlog: number | undefined;
  from: Directive;
}

/** A server of a config. */
export function server(from: Directive, http: Scope): Server {
  const scope = http.within(from.block ?? []);
  const listens = scope.own('listen').flatMap((listen) => one(listen, scope));
  const isSsl = scope.own('ssl').some(({ args }) => args[0] === 'on');
  const isHttp2 = scope.own('http2').some(({ args }) => args[0] === 'on');
  const usual = { ...address('80'), isDefault: false, isProxied: false, backlog: undefined, from };
  const all = scope.own('listen').length === 0 ? [{ ...usual, isSsl: false, isHttp2: false }] : listens;
  return {
    from,
    scope,
    names: scope.own('server_name').flatMap((names) => hosts(names, scope.notes)),
    listens: all.map((each) => ({
      ...each,
      isSsl: each.isSsl || isSsl,
      isHttp2: each.isHttp2 || isHttp2,
    })),
  };
}

function one(from: Directive, { notes }: Scope): Listen[] {
  const [where = '', ...options] = from.args;
  if (where.startsWith('unix:')) {
    notes.leave(from, 'a listener is an IP address and a port', 'listen on 127.0.0.1');
    return [];
  }
  const backlog = options.find((option) => option.startsWith('backlog='))?.slice(8);
  const odd = options.filter((option) => !KNOWN.test(option));
  if (odd.length > 0)
    notes.differ(from, `${odd.join(' ')} is not carried over`, 'remove it, or set it for the system');
  return [
    {
      ...address(where),
      isSsl: options.includes('ssl'),
      isHttp2: options.includes('http2'),
      isDefault: options.includes('default_server') || options.includes('default'),
      isProxied: options.includes('proxy_protocol'),
      backlog: backlog === undefined ? undefined : Number(backlog),
      from,
    },
  ];
}

function address(where: string): { name: string; bind: string } {
  const bare = where.replace(/^localhost\b/, '127.0.0.1').replace(/^\*:?/, '');
  const whole = /^\d+$/.test(bare) ? `0.0.0.0:${bare}` : bare === '' ? '0.0.0.0:80' : bare;
  const bind = /:\d+$/.test(whole.replace(/\[.*\]/, '')) ? whole : `${whole}:80`;
  const label = bind.replace(/^0\.0\.0\.0:/, '').replace(/^\[::\]:/, 'v6-');
  return { bind, name: `web-${label.replaceAll(/[^A-Za-z0-9.]+/g, '-').replace(/^-/, '')}` };
}

function hosts(from: Directive, notes: Notes): string[] {
  return from.args.flatMap((name) => {
    if (name === '' || name === '_') return [];
    if (name.startsWith('~')) {
      notes.leave(
        from,
        `hosts are not matched by expressions: ${name}`,
        'list the hosts, or write *.example.com',
      );
      return [];
    }
    if (name.endsWith('.*')) {
      notes.leave(from, `a * stands for the first labels only: ${name}`, 'list the hosts');
      return [];
    }
    const lower = name.toLowerCase();
    return lower.startsWith('.') ? [lower.slice(1), `*${lower}`] : [lower];
  });
}

/** The listeners of all servers, and what each says beside its address. */
export function listeners(
  servers: readonly Server[],
  folder: string,
): { listener: Listener; from: Directive }[] {
  const names = [...new Set(servers.flatMap(({ listens }) => listens.map(({ name }) => name)))];
  return names.map((name) => {
    const here = servers.filter(({ listens }) => listens.some((listen) => listen.name === name));
    const listens = here.flatMap(({ listens }) => listens.filter((listen) => listen.name === name));
    const [first = listens[0]] = listens.filter(({ isDefault }) => isDefault);
    const main = here.find(({ listens }) => listens.some((listen) => listen === first));
    if (first === undefined || main === undefined) throw new Error(`no server listens at ${name}`);
    const isSsl = listens.some((listen) => listen.isSsl);
    const isHttp2 = listens.some((listen) => listen.isHttp2);
    const backlog = listens.find((listen) => listen.backlog !== undefined)?.backlog;
    const listener: Listener = { name, bind: first.bind, ...limits(main.scope) };
    if (backlog !== undefined && backlog > 0) listener.backlog = backlog;
    if (isSsl) listener.tls = tls([main, ...here.filter((each) => each !== main)], folder);
    if (isSsl && !isHttp2) listener.http2 = { enabled: false };
    if (!isSsl && isHttp2) listener.http2 = { cleartext: true };
    if (listens.some((listen) => listen.isProxied)) listener.proxy_protocol = { trust: trusted(main, first) };
    return { listener, from: first.from };
  });
}

/** Whose PROXY header is believed. nginx wants one from everybody; who sets an address is said by `set_real_ip_from`. */
function trusted({ scope }: Server, { from }: Listen): string[] {
  const named = scope.all('set_real_ip_from').flatMap(({ args }) => args.slice(0, 1));
  const blocks = named.filter((block) => !block.startsWith('unix:'));
  if (blocks.length > 0) return blocks;
  scope.notes.differ(
    from,
    'whoever connects is believed to be who its PROXY header says',
    'name your balancers in trust',
  );
  return ['0.0.0.0/0', '::/0'];
}

/** What holds for connections: that of the default server, as in nginx. */
function limits(scope: Scope): Partial<Listener> {
  const found: Partial<Listener> = {};
  const stall = time(scope.value('client_body_timeout') ?? scope.value('send_timeout'));
  const timeouts = {
    head: time(scope.value('client_header_timeout')),
    idle: time(scope.value('keepalive_timeout')),
    stall,
  };
  const set = Object.entries(timeouts).filter(([, value]) => value !== undefined);
  if (set.length > 0) found.timeouts = Object.fromEntries(set);
  const requests = scope.value('keepalive_requests');
  const buffers = scope.last('large_client_header_buffers');
  if (requests !== undefined) found.limits = { requests_per_connection: Number(requests) };
  const each = bytes(buffers?.args[1] ?? '');
  if (each !== undefined) {
    const head = each * Number(buffers?.args[0]);
    found.limits = {
      ...found.limits,
      uri: size(each),
      head: size(Math.min(Math.max(head, 1024), 1024 ** 2)),
    };
  }
  return found;
}

function tls(servers: readonly Server[], folder: string): NonNullable<Listener['tls']> {
  const pairs = new Map<string, { cert: string; key: string }>();
  for (const { scope, from } of servers) {
    const [certs, keys] = [scope.all('ssl_certificate'), scope.all('ssl_certificate_key')];
    for (const [i, cert] of certs.entries()) {
      const [at = '', keyAt = ''] = [cert.args[0], keys[i]?.args[0]];
      if (/^data:|^engine:|\$/.test(at + keyAt)) {
        scope.notes.leave(cert, 'a certificate is a file', 'write cert and key into files');
        continue;
      }
      const pair = { cert: join(folder, at), key: join(folder, keyAt) };
      if (at.startsWith('/')) pair.cert = at;
      if (keyAt.startsWith('/')) pair.key = keyAt;
      pairs.set(JSON.stringify(pair), pair);
    }
    if (certs.length === 0)
      scope.notes.differ(from, 'it has no certificate; clients get that of another server here');
  }
  const scope = servers[0]?.scope;
  const found: Exclude<NonNullable<Listener['tls']>, 'dev'> = { certificates: [...pairs.values()] };
  if (scope === undefined) return found;
  const protocols = scope.last('ssl_protocols');
  const spoken = protocols?.args.filter((version) => version === 'TLSv1.2' || version === 'TLSv1.3');
  if (spoken?.length === 1 && spoken[0] === 'TLSv1.3') found.min_version = '1.3';
  const old = protocols?.args.filter((version) => /^(SSLv\d|TLSv1(\.1)?)$/.test(version)) ?? [];
  if (protocols !== undefined && old.length > 0) {
    scope.notes.leave(protocols, `${old.join(' ')} is never spoken`, 'clients need TLS 1.2 or 1.3');
  }
  if (scope.value('ssl_session_tickets') === 'off') found.tickets = false;
  const verify = scope.last('ssl_verify_client');
  const mode = ({ on: 'required', optional: 'optional' } as const)[verify?.args[0] ?? ''];
  const ca = scope.value('ssl_client_certificate');
  if (mode !== undefined && ca !== undefined) {
    found.client = { mode, ca: ca.startsWith('/') ? ca : join(folder, ca) };
    const crl = scope.value('ssl_crl');
    if (crl !== undefined) found.client.crl = crl.startsWith('/') ? crl : join(folder, crl);
  } else if (verify !== undefined && verify.args[0] !== 'off') {
    scope.notes.leave(
      verify,
      'a certificate that nobody vouches for is worth nothing here',
      'see listeners[].tls.client',
    );
  }
  return found;
}

/** The hosts of a server at each of its listeners. `undefined` for every host; those that lead nowhere are left out. */
export function hostsAt(each: Server, servers: readonly Server[]): Map<string, string[] | undefined> {
  const found = new Map<string, string[] | undefined>();
  for (const { name } of each.listens) {
    const here = servers.filter(({ listens }) => listens.some((listen) => listen.name === name));
    const main =
      here.find(({ listens }) => listens.some((listen) => listen.name === name && listen.isDefault)) ??
      here[0];
    if (here.length === 1) found.set(name, undefined);
    else if (main === each) found.set(name, [...each.names, '*']);
    else if (each.names.length > 0) found.set(name, each.names);
    else
      each.scope.notes.differ(each.from, `no request at ${name} leads here, because it has no server_name`);
  }
  return found;
}

const KNOWN =
  /^(ssl|http2|default_server|default|proxy_protocol|reuseport|deferred|so_keepalive(=.*)?|fastopen=.*|backlog=.*|ipv6only=on|bind|rcvbuf=.*|sndbuf=.*)$/;
