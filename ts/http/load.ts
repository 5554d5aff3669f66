/**
 * load: which engine runs here, and why.
 *
 * uWebSockets.js is a binary that others pack, so its file is checked against {@link UWS_HASHES} before it
 * is loaded. Where there is none for this machine, or it does not load, `node:http` serves instead.
 * `IRONSLUICE_SERVER=uws|node` forces one. Errors: `server_unavailable` when a forced one cannot run.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { GateError } from '../errors.js';
import { UWS_HASHES } from './uws-hashes.js';
import type { Uws } from './uws-types.js';

/** What serves. */
export type Engine = 'uws' | 'node';

/** An engine, and a sentence on why it is this one. */
export interface Choice {
  engine: Engine;
  why: string;
  /** The loaded library, for `uws`. */
  uws?: Uws;
}

/** The engine that was asked for, by `IRONSLUICE_SERVER` if not by the caller, or the best that runs here. */
export function choose(wanted: string | undefined = process.env.IRONSLUICE_SERVER): Choice {
  if (wanted === 'node') return { engine: 'node', why: 'it was asked for' };
  if (wanted !== undefined && wanted !== '' && wanted !== 'uws') {
    throw new GateError('usage', `IRONSLUICE_SERVER is ${JSON.stringify(wanted)}`, 'it is uws or node');
  }
  loaded ??= load();
  if (typeof loaded !== 'string') {
    return { engine: 'uws', why: wanted === 'uws' ? 'it was asked for' : 'it loads here', uws: loaded };
  }
  if (wanted === 'uws') throw new GateError('server_unavailable', loaded, 'unset IRONSLUICE_SERVER');
  return { engine: 'node', why: loaded };
}

/**
 * Sets what uWebSockets.js reads from the environment when it is loaded. The environment of the process is
 * that of the main thread: call it there before a worker loads the library.
 */
export function prepareUws(): void {
  process.env.UWS_HTTP_MAX_HEADERS_SIZE ??= String(MAX_HEAD);
}

/** Why `bytes` are not the file `name` that we know; `undefined` if they are. */
export function fileFault(name: string, bytes: Uint8Array): string | undefined {
  const wanted = Object.hasOwn(UWS_HASHES, name) ? UWS_HASHES[name] : undefined;
  if (wanted === undefined) return `${name} is none of the known builds of uWebSockets.js`;
  const found = createHash('sha256').update(bytes).digest('hex');
  if (found !== wanted) return `${name} of uWebSockets.js is not the known build: SHA-256 ${found}`;
  return undefined;
}

/** The largest head of a request, in bytes, with either engine. */
export const MAX_HEAD = 32 << 10;

/** The library, or why there is none. */
function load(): Uws | string {
  const { arch, platform, versions } = process;
  const name = `uws_${platform}_${arch}_${versions.modules}.node`;
  if (!Object.hasOwn(UWS_HASHES, name)) {
    return `uWebSockets.js has no build for ${platform} ${arch} and Node ${versions.node}`;
  }
  if (platform === 'linux' && readFileSync('/proc/self/maps', 'latin1').includes('/ld-musl-')) {
    return 'uWebSockets.js has no build for musl';
  }
  try {
    const file = join(dirname(createRequire(import.meta.url).resolve('uWebSockets.js')), name);
    const fault = fileFault(name, readFileSync(file));
    if (fault !== undefined) return fault;
    prepareUws();
    const module = { exports: {} as Uws };
    process.dlopen(module, file);
    module.exports._cfg?.('silent'); // no field that names the server
    return module.exports;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const [line] = message.split('\n');
    if (code === 'MODULE_NOT_FOUND') return 'the package uWebSockets.js is not installed';
    return `uWebSockets.js does not load: ${line}`;
  }
}

/** Once a thread. */
let loaded: Uws | string | undefined;
