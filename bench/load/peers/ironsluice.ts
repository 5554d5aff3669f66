/**
 * This gateway: its binary as a user runs it (Node around the Rust addon), one shard, and one worker where there is an app.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { commit } from '../machine.js';
import { ROOT } from '../process.js';
import { NEVER_REFUSED, type Peer, type Setting } from './peer.js';

/** What a config is for: a scenario's feature, or another way to the same. */
type Shape = Setting['feature'] | 'forward-by-route' | 'websocket-direct' | 'leased';

export const ironsluice: Peer = gateway('ironsluice');

/** Forwards what comes in by the door of an app, by a route and without its handler. */
export const ironsluiceRoute: Peer = gateway('ironsluice-route', 'forward-by-route');

/** Without the limit that the others of its scenario have. */
export const ironsluiceUnlimited: Peer = gateway('ironsluice-unlimited', 'plain');

/** With a limit that nodes share by a Redis: `scope: global`, `mode: leased`. */
export const ironsluiceLeased: Peer = {
  ...gateway('ironsluice-leased', 'leased'),
  store: (path) => ['redis-server', '--port', '0', '--unixsocket', path, '--save', '', '--appendonly', 'no'],
};

/** WebSockets without the edge in front of the app. */
export const ironsluiceDirect: Peer = gateway('ironsluice-direct', 'websocket-direct');

function gateway(name: string, shape?: Shape): Peer {
  return {
    name,
    version: commit,
    async prepare(setting) {
      const file = await writeConfig(setting, shape);
      return [process.execPath, join(ROOT, 'dist/main.js'), 'start', '--config', file];
    },
    // The rest of the process are Node's threads.
    ...(shape === undefined ? { proxyThreads: /^shard-/ } : {}),
  };
}

/** Writes the gateway's configuration for a setting and returns the file's path. */
export async function writeConfig(setting: Setting, shape: Shape = setting.feature): Promise<string> {
  const { dir, port, origin, certificate, store } = setting;
  const rate = `${NEVER_REFUSED}/s`;
  const limit = { use: 'rate_limit', rate, burst: NEVER_REFUSED, key: 'client_ip' };
  const leased = { ...limit, scope: 'global', mode: 'leased' };
  const all = { name: 'all', match: { path: '/*' } };
  const tls = certificate && {
    certificates: [{ cert: certificate.cert, key: certificate.key }],
    min_version: '1.3',
  };
  const listener = { name: 'web', bind: `127.0.0.1:${port}`, ...(tls && { tls }) };
  const direct = { listeners: [{ ...listener, door: 'app', app: 'site' }] };
  const edge = { listeners: [listener] };
  const upstreams = [{ name: 'origin', endpoints: [origin] }];
  const module = join(dir, 'site.mjs');
  const apps = [{ name: 'site', module }];
  const shapes: Record<Shape, object> = {
    http2: {
      listeners: [{ ...listener, http2: tls ? {} : { cleartext: true } }],
      upstreams,
      routes: [{ ...all, to: 'origin' }],
    },
    plain: { ...edge, upstreams, routes: [{ ...all, to: 'origin' }] },
    limit: { ...edge, upstreams, routes: [{ ...all, filters: [limit], to: 'origin' }] },
    leased: {
      ...edge,
      upstreams,
      store: { redis: `unix:${store}` },
      routes: [{ ...all, filters: [leased], to: 'origin' }],
    },
    app: { ...edge, apps, routes: [{ ...all, to: { app: 'site' } }] },
    direct: { ...direct, apps },
    forward: { ...direct, apps, upstreams },
    'forward-by-route': { ...direct, apps, upstreams, routes: [{ ...all, to: 'origin' }] },
    websocket: { ...edge, apps, routes: [{ ...all, to: { app: 'site' } }] },
    'websocket-direct': { ...direct, apps },
  };
  const config = {
    admin: { bind: '127.0.0.1:0' },
    state_dir: join(dir, 'state'),
    workers: 1,
    ...shapes[shape],
  };
  await writeFile(module, APPS[setting.feature] ?? APPS.app);
  const file = join(dir, 'ironsluice.json');
  await writeFile(file, JSON.stringify(config, null, 2));
  return file;
}

/** Modules of apps, by what they do. */
const APPS = {
  app: `const hello = 'x'.repeat(128);
export default () => hello;
`,
  forward: `export default (_, ctx) => ctx.forward('origin');
`,
  websocket: `const hello = 'x'.repeat(128);
export default {
  fetch: () => hello,
  websocket: { message: (socket, message) => void socket.send(message) },
};
`,
} satisfies Partial<Record<Setting['feature'], string>> as Partial<Record<Setting['feature'], string>> & {
  app: string;
};
