/**
 * index: loads the addon of this machine, or says why it cannot and what to do.
 *
 * Errors: `Error` with `code` `addon_missing`; its message names platform, architecture, libc, Node
 * version, the file that was looked for, and the command that mends it.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { addonName, libc } from './platform.js';

const FIX =
  'In a clone run "npm run build"; in a program reinstall it on this machine: "npm install ironsluice --force".';

const addon = load(join(dirname(fileURLToPath(import.meta.url)), addonName()));

export const {
  attach,
  Counter,
  checkConfig,
  clientIp,
  counter,
  Gateway,
  GatewayView,
  Gcra,
  guard,
  jumpHash,
  KetamaRing,
  Maglev,
  noteWorker,
  parseProxyHeader,
  parseRequestHead,
  Rendezvous,
  version,
  writeProxyHeader,
} = addon;

function load(file) {
  if (!existsSync(file)) {
    throw trouble(`${file} is missing`, FIX);
  }
  try {
    return createRequire(import.meta.url)(file);
  } catch (error) {
    throw trouble(`${file} does not load: ${error.message}`, FIX, error);
  }
}

function trouble(why, fix, cause) {
  const { arch, platform, versions } = process;
  const machine = `${platform} ${arch}, libc ${libc()}, Node ${versions.node}`;
  const error = new Error(`The native part of ironsluice is not usable here (${machine}): ${why}. ${fix}`, {
    cause,
  });
  error.code = 'addon_missing';
  return error;
}
