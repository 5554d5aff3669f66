/**
 * upstreams: `upstream` and what `proxy_pass` names, to upstreams. One of nginx becomes several of ours where its locations have
 * other timeouts or another TLS, for these belong to the upstream here.
 *
 * Errors: none; what has no counterpart is noted.
 */
import type { Upstream } from '../generated/config.js';
import type { Notes } from './notes.js';
import type { Directive } from './syntax.js';
import { duration, milliseconds, time } from './units.js';

/** What a location says of its upstream. */
export type Settings = Pick<Upstream, 'timeouts' | 'tls' | 'protocol'>;

/** The upstreams of a config: those it defines, and those that its routes use. */
export class Upstreams {
  readonly #notes: Notes;
  readonly #defined = new Map<string, Directive>();
  readonly #made = new Map<string, { upstream: Upstream; from: Directive }>();

  constructor(defined: readonly Directive[], notes: Notes) {
    this.#notes = notes;
    for (const upstream of defined)
      if (upstream.args[0] !== undefined) this.#defined.set(upstream.args[0], upstream);
  }

  /** The name of an upstream for `host` (`name`, `host:port`, `unix:/path`) with these settings. */
  named(host: string, isTls: boolean, settings: Settings, user: Directive): string {
    const from = this.#defined.get(host);
    const base = from === undefined ? { endpoints: [endpoint(host, isTls)] } : this.#group(from, isTls);
    const whole = { ...base, ...settings };
    const key = JSON.stringify([host, whole]);
    const known = this.#made.get(key);
    if (known !== undefined) return known.upstream.name;
    const name = unique(
      host.replace(/^unix:/, ''),
      [...this.#made.values()].map(({ upstream }) => upstream.name),
    );
    this.#made.set(key, { upstream: { name, ...whole }, from: from ?? user });
    return name;
  }

  /** All that were asked for, and the place each comes from. */
  all(): { upstream: Upstream; from: Directive }[] {
    return [...this.#made.values()];
  }

  #group(from: Directive, isTls: boolean): Omit<Upstream, 'name'> {
    const notes = this.#notes;
    notes.take(from);
    const found: Omit<Upstream, 'name'> = { endpoints: [] };
    const rests: number[] = [];
    for (const each of from.block ?? []) {
      notes.take(each);
      if (each.name === 'server') this.#server(each, isTls, found, rests);
      else if (!this.#balance(each, found) && !keepalive(each, found)) {
        if (each.name === 'zone') notes.spare(each, 'threads share what they know of endpoints');
        else notes.leave(each, 'there is nothing like it for an upstream', '');
      }
    }
    if (rests.length > 0) found.rest = duration(Math.max(...rests));
    if (found.endpoints.length === 0)
      notes.leave(from, 'none of its servers was carried over', 'write its endpoints');
    return found;
  }

  #server(each: Directive, isTls: boolean, found: Omit<Upstream, 'name'>, rests: number[]): void {
    const [address = '', ...options] = each.args;
    const said = new Map(options.map((option) => option.split('=', 2) as [string, string | undefined]));
    if (said.has('backup')) {
      this.#notes.leave(
        each,
        'there are no endpoints for when all others fail',
        'make it an endpoint, or remove it',
      );
      return;
    }
    if (said.has('down')) {
      this.#notes.spare(each, 'an endpoint that is down is left out');
      return;
    }
    const weight = Number(said.get('weight') ?? 1);
    const at = endpoint(address, isTls);
    found.endpoints.push(weight === 1 ? at : { address: at, weight });
    const fails = said.get('max_fails');
    const rest = milliseconds(said.get('fail_timeout') ?? '10s');
    if (fails === '0') {
      this.#notes.differ(
        each,
        'max_fails=0: an endpoint that refuses a connection is passed over all the same',
        '',
      );
    } else if (rest !== undefined && rest > 0) rests.push(rest);
    if (fails !== undefined && Number(fails) > 1) {
      const why = `max_fails=${fails}: one refused connection is enough to pass an endpoint over, answers never are`;
      this.#notes.differ(each, why, 'see rest of the upstream');
    }
    const odd = [...said.keys()].filter(
      (key) => !['weight', 'max_fails', 'fail_timeout', 'resolve'].includes(key),
    );
    if (odd.length > 0) this.#notes.leave(each, `${odd.join(', ')} of a server has no counterpart`, '');
  }

  #balance(each: Directive, found: Omit<Upstream, 'name'>): boolean {
    const notes = this.#notes;
    if (each.name === 'least_conn' || (each.name === 'random' && each.args.includes('two'))) {
      found.balance = 'least_request';
      notes.differ(each, 'of two endpoints taken at random the one with fewer requests is chosen');
    } else if (each.name === 'random') {
      found.balance = 'round_robin';
      notes.differ(each, 'endpoints are taken in turn');
    } else if (each.name === 'ip_hash') {
      found.balance = 'maglev';
      found.hash_key = 'client_ip';
      notes.differ(each, 'the whole address counts, not its first three bytes');
    } else if (each.name === 'hash') {
      const key = hashKey(each.args[0] ?? '');
      if (key === undefined) {
        notes.leave(
          each,
          `${each.args[0]} is nothing that is hashed`,
          'hash client_ip, path, header:NAME or cookie:NAME',
        );
      } else {
        found.balance = 'maglev';
        found.hash_key = key;
        notes.differ(
          each,
          'keys are spread in another way: equal keys go together, to other endpoints than before',
        );
      }
    } else return false;
    return true;
  }
}

function keepalive({ name, args: [value = ''] }: Directive, found: Omit<Upstream, 'name'>): boolean {
  const idle = time(value);
  if (name === 'keepalive') found.keepalive = { ...found.keepalive, connections: Number(value) };
  else if (name === 'keepalive_requests') found.keepalive = { ...found.keepalive, requests: Number(value) };
  else if (name === 'keepalive_timeout' && idle !== undefined) found.keepalive = { ...found.keepalive, idle };
  else if (name === 'keepalive_time' && idle !== undefined)
    found.keepalive = { ...found.keepalive, lifetime: idle };
  else return false;
  return true;
}

function hashKey(text: string): string | undefined {
  const [, kind, name = ''] = /^\$(http|cookie)_(\w+)$/.exec(text) ?? [];
  if (kind === 'http') return `header:${name.replaceAll('_', '-')}`;
  if (kind === 'cookie') return `cookie:${name}`;
  if (text === '$remote_addr' || text === '$binary_remote_addr') return 'client_ip';
  return text === '$uri' || text === '$request_uri' ? 'path' : undefined;
}

function endpoint(address: string, isTls: boolean): string {
  if (address.startsWith('unix:')) return address;
  return /:\d+$/.test(address.replace(/\[.*\]/, '')) ? address : `${address}:${isTls ? 443 : 80}`;
}

/** `wanted` as a name of ours, with a number if it is taken. */
export function unique(wanted: string, taken: readonly string[]): string {
  const base =
    wanted
      .replaceAll(/[^A-Za-z0-9_.-]+/g, '-')
      .replaceAll(/^[-.]+|[-.]+$/g, '')
      .slice(0, 58) || 'x';
  for (let i = 1; ; i += 1) {
    const name = i === 1 ? base : `${base}-${i}`;
    if (!taken.includes(name)) return name;
  }
}
