/**
 * prepare: from a fresh clone to something that runs; again, in milliseconds, when nothing changed.
 *
 * Plain JavaScript without dependencies, for it runs before there are any. Steps: the tools are there,
 * packages are those of the lockfile, the addon is built, TypeScript is compiled. Each step says what it
 * does and is skipped when its inputs are what they were (by path, size and time of change).
 * Errors: a message with what to do, and exit code 1.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { addonName } from '../../bindings/platform.js';
import { writeTypes } from './types.mjs';

/** The top of the repository. */
export const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** Does all that is not done yet; `release` builds the addon with full optimisation. */
export function prepare({ release = false } = {}) {
  const began = performance.now();
  tools();
  const did = [packages(), addon(release), typescript()].some(Boolean);
  if (did) say(`ready after ${((performance.now() - began) / 1000).toFixed(1)} s`);
}

/** A line of progress, apart from what tools print. */
export function say(text) {
  process.stderr.write(`ironsluice: ${text}\n`);
}

/** Runs a program of this repository with its output shown; ends this one if that fails. */
export function must(command, args, options = {}) {
  const { error, status, signal } = spawnSync(command, args, { cwd: ROOT, stdio: 'inherit', ...options });
  if (error === undefined && status === 0) return;
  fail(`${command} ${args.join(' ')} failed: ${error?.message ?? signal ?? `exit code ${status}`}`, '');
}

/** npm with these words, as a command and its words: the npm that runs this, if one does. */
export function npm(words) {
  const path = process.env.npm_execpath;
  return path?.endsWith('.js') ? [process.execPath, [path, ...words]] : ['npm', words];
}

/** Ends this program with what is wrong and what to do about it. */
export function fail(why, fix) {
  say(fix === '' ? why : `${why}\n            ${fix}`);
  process.exit(1);
}

function tools() {
  const [major] = process.versions.node.split('.').map(Number);
  if (major < NODE) fail(`Node ${process.versions.node} is too old`, `install Node ${NODE} or newer`);
  if (existsSync(STAMPS)) return; // a build was here: cargo says itself what it lacks
  const cargo = output('cargo', ['--version']);
  if (cargo === undefined) {
    fail(
      'cargo was not found',
      `install Rust ${RUST.join('.')} or newer: https://rustup.rs, and put ~/.cargo/bin on PATH`,
    );
  }
  const [, a, b] = /cargo (\d+)\.(\d+)/.exec(cargo) ?? [];
  if (Number(a) < RUST[0] || (Number(a) === RUST[0] && Number(b) < RUST[1])) {
    fail(`${cargo.trim()} is too old`, `install Rust ${RUST.join('.')} or newer: rustup update stable`);
  }
  const compiler = process.env.CC ?? 'cc';
  if (output(compiler, ['--version']) === undefined) {
    fail(
      `no C compiler was found (${compiler})`,
      'Debian, Ubuntu: apt-get install build-essential; Fedora: dnf install gcc; Alpine: apk add build-base; or set CC',
    );
  }
}

/** Installs what the lockfile names, unless that is what is there. */
function packages() {
  const wanted = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')).packages;
  const there = readJson(join(ROOT, 'node_modules/.package-lock.json'))?.packages ?? {};
  const isThere = Object.entries(wanted).every(
    ([path, { version, optional }]) => path === '' || optional || there[path]?.version === version,
  );
  if (isThere) return false;
  say('installing packages (npm install) …');
  must(...npm(['install', '--no-save', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']));
  return true;
}

/** Builds the addon with cargo and puts it where the loader looks. */
function addon(release) {
  const profile = release ? 'release' : 'dev';
  const stamp = `${profile} ${stampOf(['crates', 'bindings', 'Cargo.toml', 'Cargo.lock'], /\.(rs|toml|lock|lua)$/)}`;
  const file = join(ROOT, 'bindings', addonName());
  if (existsSync(file) && stamps().addon === stamp) return false;
  say(`building the core with cargo, profile ${profile} (the first time takes minutes) …`);
  const types = join(ROOT, 'target', 'napi-types');
  mkdirSync(types, { recursive: true });
  const args = [
    'build',
    '--package',
    PACKAGE,
    '--message-format=json-render-diagnostics',
    ...(release ? ['--release'] : []),
  ];
  const { error, status, stdout } = spawnSync('cargo', args, {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, NAPI_TYPE_DEF_TMP_FOLDER: types },
    encoding: 'utf8',
    maxBuffer: 256 * 1024 * 1024,
  });
  if (error !== undefined || status !== 0) fail(`cargo ${args.join(' ')} failed`, 'see above');
  const library = libraryIn(stdout);
  if (library === undefined) fail('cargo built no library', `is ${PACKAGE} a cdylib?`);
  // Renamed into place: a process that has the old file mapped keeps it.
  copyFileSync(library, `${file}.new`);
  renameSync(`${file}.new`, file);
  writeTypes(types, join(ROOT, 'bindings', 'index.d.ts'));
  keepStamp(
    'addon',
    `${profile} ${stampOf(['crates', 'bindings', 'Cargo.toml', 'Cargo.lock'], /\.(rs|toml|lock|lua)$/)}`,
  );
  return true;
}

/** Compiles TypeScript, puts the scripts of the store beside it, and writes the entry `dist/main.js`. */
function typescript() {
  const inputs = ['ts', 'test', 'bench', 'bindings', 'tsconfig.json', 'package-lock.json'];
  const stamp = stampOf(inputs, /\.(ts|json|lua)$/);
  const entry = join(ROOT, 'dist', 'main.js');
  if (existsSync(entry) && stamps().typescript === stamp) return false;
  say('compiling TypeScript (tsc) …');
  // What was compiled from a file that is gone must not be run.
  for (const folder of ['ts', 'test', 'bench']) prune(join(ROOT, 'dist', folder), join(ROOT, folder));
  must(process.execPath, [join(ROOT, 'node_modules/typescript/bin/tsc'), '--project', ROOT]);
  for (const name of readdirSync(join(ROOT, SCRIPTS))) {
    if (name.endsWith('.lua')) copyFileSync(join(ROOT, SCRIPTS, name), join(ROOT, 'dist', SCRIPTS, name));
  }
  writeFileSync(entry, "#!/usr/bin/env node\nimport './ts/main.js';\n");
  chmodSync(entry, 0o755);
  keepStamp('typescript', stamp);
  return true;
}

function prune(compiled, source) {
  for (const entry of existsSync(compiled) ? readdirSync(compiled, { withFileTypes: true }) : []) {
    const path = join(compiled, entry.name);
    if (entry.isDirectory()) prune(path, join(source, entry.name));
    else if (!existsSync(join(source, entry.name.replace(/(\.d)?\.(js|ts)$/, '.ts')))) rmSync(path);
  }
}

function libraryIn(messages) {
  for (const line of messages.split('\n')) {
    if (!line.includes('"compiler-artifact"')) continue;
    const { target, filenames } = JSON.parse(line);
    if (target.kind.includes('cdylib')) return filenames.find((name) => /\.(so|dylib|dll)$/.test(name));
  }
  return undefined;
}

/** One number for all inputs; a change of any path, size or time changes it. */
function stampOf(paths, pattern) {
  const hash = createHash('sha256');
  const walk = (path) => {
    const info = statSync(path, { throwIfNoEntry: false });
    if (info === undefined) return;
    if (info.isDirectory()) {
      for (const name of readdirSync(path).sort()) if (!SKIPPED.has(name)) walk(join(path, name));
    } else if (pattern.test(path)) {
      hash.update(`${relative(ROOT, path)} ${info.size} ${info.mtimeMs}\n`);
    }
  };
  for (const path of paths) walk(join(ROOT, path));
  return hash.digest('hex');
}

function stamps() {
  return readJson(STAMPS) ?? {};
}

function keepStamp(name, stamp) {
  mkdirSync(dirname(STAMPS), { recursive: true });
  writeFileSync(STAMPS, `${JSON.stringify({ ...stamps(), [name]: stamp })}\n`);
}

function readJson(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return undefined;
  }
}

function output(command, args) {
  const { error, status, stdout } = spawnSync(command, args, { encoding: 'utf8' });
  return error === undefined && status === 0 ? stdout : undefined;
}

const NODE = 20;
const RUST = [1, 88];
const PACKAGE = 'ironsluice-bindings';
const SCRIPTS = 'ts/store';
const STAMPS = join(ROOT, 'dist', '.stamps.json');
const SKIPPED = new Set(['node_modules', 'target', 'dist', '.venv', 'corpus', 'results', '__pycache__']);
