/**
 * load: finds the addon of this machine and loads it, or says why it cannot and what to do.
 *
 * It is the file beside this one, which a build in a clone leaves there, else the file of the package
 * `@ironsluice/PLATFORM`, which npm installs along as an optional dependency.
 * Errors: `Error` with `code` `addon_missing`, or `addon_mismatch` for one of another version. The message
 * names platform, architecture, libc, Node version, what was looked for, and what mends it.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { addonName, libc, packageName, SCOPE, target } from './platform.js';

const require = createRequire(import.meta.url);
const HERE = dirname(fileURLToPath(import.meta.url));
const { optionalDependencies = {}, version } = JSON.parse(
  readFileSync(join(HERE, '../package.json'), 'utf8'),
);
/** A clone has the sources; a package has not. */
const IS_CLONE = existsSync(join(HERE, 'Cargo.toml'));
const BUILD = 'run "npm run build"';
const AGAIN = 'delete node_modules and run "npm install" on this machine';

/** The file of the addon, and where it is from. */
export const loaded = find();
/** What it exports. */
export const addon = load(loaded.file);

function find() {
  const built = join(HERE, addonName());
  if (existsSync(built)) return { file: built, from: IS_CLONE ? 'built in this clone' : 'beside its loader' };
  const name = packageName();
  try {
    return { file: require.resolve(name), from: `package ${name}` };
  } catch (error) {
    if (error.code !== 'MODULE_NOT_FOUND')
      throw trouble(`${name} cannot be read: ${error.message}`, AGAIN, error);
    throw missing(name, built);
  }
}

function missing(name, built) {
  if (IS_CLONE) return trouble(`${built} is missing`, BUILD);
  const packages = Object.keys(optionalDependencies).filter((other) => other.startsWith(`${SCOPE}/`));
  if (!packages.includes(name)) {
    const builds = packages.map((other) => other.slice(SCOPE.length + 1)).join(', ') || 'no machine';
    return trouble(
      `there is no build of version ${version} for ${target()}, only for ${builds}`,
      `build it from a clone of its sources, which needs Rust: ${BUILD}`,
    );
  }
  if (installed().includes(name)) return trouble(`the package ${name} has lost its file`, AGAIN);
  const others = installed();
  if (others.length > 0) {
    return trouble(
      `the package ${name} is not installed, but ${others.join(', ')} is: node_modules was made on another machine`,
      'do not copy node_modules between machines; delete it here and run "npm install"',
    );
  }
  return trouble(
    `the optional package ${name} is not installed`,
    'run "npm install" without --omit=optional and --no-optional; if that does not bring it, the lockfile was written on ' +
      'another machine and npm left it out: delete node_modules and package-lock.json, and run "npm install" again',
  );
}

/** Packages of our scope that are installed where this one would find them. */
function installed() {
  const folders = require.resolve.paths(SCOPE) ?? [];
  const names = folders.flatMap((folder) => {
    const path = join(folder, SCOPE);
    return existsSync(path) ? readdirSync(path) : [];
  });
  return [...new Set(names)].map((name) => `${SCOPE}/${name}`);
}

function load(file) {
  let exported;
  try {
    exported = require(file);
  } catch (error) {
    throw trouble(`${file} does not load: ${error.message}`, IS_CLONE ? BUILD : AGAIN, error);
  }
  const own = exported.version?.();
  if (own === version) return exported;
  throw trouble(
    `${file} is of version ${own ?? 'unknown'}, and the package ironsluice is ${version}`,
    IS_CLONE ? BUILD : AGAIN,
    undefined,
    'addon_mismatch',
  );
}

function trouble(why, fix, cause, code = 'addon_missing') {
  const { arch, platform, versions } = process;
  const machine = `${platform} ${arch}, libc ${libc()}, Node ${versions.node}`;
  const text = `The native part of ironsluice is not usable here (${machine}): ${why}. What to do: ${fix}.`;
  return Object.assign(new Error(text, { cause }), { code });
}
