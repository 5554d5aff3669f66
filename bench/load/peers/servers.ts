/**
 * Servers in JavaScript, each a program of `servers/` and one Node process. What they need of the registry is a package of its
 * own beside this file, with its lockfile; it is installed when a scenario names one of them.
 */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { ROOT, run } from '../process.js';
import { nginx } from './nginx.js';
import type { Peer } from './peer.js';

/** The package that peers are installed in. */
export const FOLDER = join(ROOT, 'bench/load/peers');

/** uWebSockets.js without anything of ours. */
export const uws: Peer = {
  name: 'uws',
  version: () => versionOf(ROOT, 'uWebSockets.js'),
  prepare: async ({ port, feature }) => program('uws', port, feature),
};

/** nginx in front of {@link uws} at a Unix socket: what an app behind the edge replaces. */
export const nginxUws: Peer = {
  name: 'nginx+uws',
  version: async () => `${await nginx.version()} and ${await uws.version()}`,
  prepare: nginx.prepare,
  behind: ({ path, feature }) => program('uws', path, feature),
};

/** Fastify, and @fastify/http-proxy to forward. */
export const fastify: Peer = {
  name: 'fastify',
  async version() {
    const [own, proxy] = await Promise.all(['fastify', '@fastify/http-proxy'].map(installed));
    return `${own} with @fastify/http-proxy ${proxy}`;
  },
  prepare: async ({ port, feature, origin }) => program('fastify', port, feature, origin),
};

/** `node:http`, and http-proxy to forward. */
export const node: Peer = {
  name: 'node',
  version: async () => `${process.version} with http-proxy ${await installed('http-proxy')}`,
  prepare: async ({ port, feature, origin }) => program('node', port, feature, origin),
};

function program(name: string, at: number | string, ...words: string[]): string[] {
  return [process.execPath, join(FOLDER, 'servers', `${name}.mjs`), String(at), ...words];
}

/** The version of a package of the peers, which is installed first. */
export async function installed(name: string): Promise<string> {
  installing ??= install();
  await installing;
  return versionOf(FOLDER, name);
}

let installing: Promise<void> | undefined;

/** Puts in place what the lockfile names, unless it is there. */
async function install(): Promise<void> {
  const read = async (file: string): Promise<Record<string, { version?: string }>> =>
    JSON.parse(await readFile(join(FOLDER, file), 'utf8')).packages;
  const wanted = await read('package-lock.json');
  const there = await read('node_modules/.package-lock.json').catch(() => undefined);
  const paths = Object.keys(wanted).filter((path) => path !== '');
  if (there !== undefined && paths.every((path) => there[path]?.version === wanted[path]?.version)) return;
  console.log('installing the peers of bench/load/peers/package-lock.json (npm ci)');
  const quiet = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  await run('npm', ['ci', ...quiet], { cwd: FOLDER });
}

/** Packages need not let their own package.json be imported: it is looked for where Node would. */
async function versionOf(folder: string, name: string): Promise<string> {
  const places = createRequire(join(folder, 'package.json')).resolve.paths(name) ?? [];
  for (const place of places) {
    const text = await readFile(join(place, name, 'package.json'), 'utf8').catch(() => undefined);
    if (text !== undefined) return (JSON.parse(text) as { version: string }).version;
  }
  throw new Error(`${name} is not installed: run npm install in ${folder}`);
}
