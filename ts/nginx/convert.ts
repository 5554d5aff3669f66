/**
 * convert: an nginx config that was read, to a config of ours and the notes on it.
 */
import type { Config } from '../generated/config.js';
import { type Context, from } from './context.js';
import { listeners, server } from './listen.js';
import { accessLog } from './log.js';
import { Notes } from './notes.js';
import type { Source } from './read.js';
import { Routes } from './routes.js';
import { Scope } from './scope.js';
import type { Directive } from './syntax.js';
import { duration } from './units.js';
import { Upstreams } from './upstreams.js';

/** What came of an import. */
export interface Converted {
  config: Config;
  notes: Notes;
  /** Where parts of the config came from. */
  origins: WeakMap<object, string>;
}

/** Converts. A file without `http` is taken for what stands within one. */
export function convert({ directives, folder, missing }: Source): Converted {
  const notes = new Notes();
  for (const include of missing) {
    if (/(mime\.types|_params|\.conf-params)$/.test(include.args[0] ?? ''))
      notes.spare(include, 'nothing of it is needed');
    else notes.leave(include, 'the file is not there', 'import where it is, or copy it beside');
  }
  const https = directives.filter(({ name }) => name === 'http');
  notes.take(...https);
  const inside = https.length === 0 ? directives : https.flatMap(({ block }) => block ?? []);
  const http = new Scope(notes, [inside]);
  const found = http.own('server').map((each) => server(each, http));
  const zones = new Map<string, Directive>();
  for (const zone of inside.filter(({ name }) => /^limit_(req|conn)_zone$/.test(name))) {
    const [, name] = /^zone=([^:]+)/.exec(zone.args.find((arg) => arg.startsWith('zone=')) ?? '') ?? [];
    if (name !== undefined) zones.set(name, zone);
  }
  const upstreams = new Upstreams(
    inside.filter(({ name }) => name === 'upstream'),
    notes,
  );
  const context: Context = { notes, upstreams, zones, folder, origins: new WeakMap() };

  const reachable = found.filter(({ listens }) => listens.length > 0);
  const routes = new Routes(context);
  for (const each of reachable) routes.add(each, reachable);
  const all = listeners(reachable, folder).map(({ listener, from: directive }) => {
    const tunnel = routes.tunnels.get(listener.name) ?? 0;
    if (tunnel > TUNNEL) listener.timeouts = { ...listener.timeouts, tunnel: duration(tunnel) };
    return from(context, listener, directive);
  });
  const config: Config = { listeners: all };
  const log = accessLog(context, http, reachable);
  if (log !== undefined) config.access_log = log;
  const ups = upstreams.all().map(({ upstream, from: directive }) => from(context, upstream, directive));
  if (ups.length > 0) config.upstreams = ups;
  if (routes.all.length > 0) config.routes = routes.all;
  notes.rest(https.length === 0 ? inside : directives);
  return { config, notes, origins: context.origins };
}

/** How long a tunnel may be silent unless a listener says otherwise. */
const TUNNEL = 3_600_000;
