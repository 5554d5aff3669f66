/**
 * pack: `npm run pack`, the packages as they are published: `ironsluice`, and `@ironsluice/PLATFORM` for each
 * addon that lies in `bindings/`. It publishes nothing.
 *
 *   npm run pack                     builds with full optimisation first
 *   npm run pack -- --as-built       takes what is built
 *   npm run pack -- --out FOLDER     default: dist/packages
 *
 * The main package names exactly the platforms that are packed beside it, in its own version. A copy of
 * `package.json` says so, without `private` and what only a clone needs: a clone itself cannot be published
 * by mistake, and its lockfile knows no package that is not out yet.
 */
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { addonName, packageName, TARGETS, target } from '../../bindings/platform.js';
import { fail, npm, prepare, ROOT, say } from './prepare.mjs';

const { values } = parseArgs({
  options: { 'as-built': { type: 'boolean' }, out: { type: 'string', default: join(ROOT, 'dist/packages') } },
});
if (!values['as-built']) prepare({ release: true });
const OUT = resolve(values.out);
const stage = mkdtempSync(join(tmpdir(), 'ironsluice-pack-'));
process.on('exit', () => rmSync(stage, { recursive: true, force: true }));

const own = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
const names = Object.keys(TARGETS).filter((name) => existsSync(join(ROOT, 'bindings', addonName(name))));
if (!existsSync(join(ROOT, 'dist/main.js')) || !names.includes(target()))
  fail('nothing is built', 'npm run build');
// Loads the addon, which fails if its version is not that of package.json.
await import('../../bindings/load.js');

mkdirSync(OUT, { recursive: true });
const tarballs = [...names.map(platform), main()];
for (const tarball of tarballs) process.stdout.write(`${join(OUT, tarball)}\n`);
say(
  `packed version ${own.version} for ${names.join(', ')}; publish in this order: the main package is the last`,
);

function platform(name) {
  const folder = join(stage, name);
  cpSync(join(ROOT, 'bindings/npm', name), folder, { recursive: true });
  copyFileSync(join(ROOT, 'bindings', addonName(name)), join(folder, addonName(name)));
  copyFileSync(join(ROOT, 'LICENSE'), join(folder, 'LICENSE'));
  const { version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  if (version !== own.version)
    fail(`bindings/npm/${name} is of version ${version}, not ${own.version}`, 'npm run gen');
  return pack(folder);
}

function main() {
  const folder = join(stage, 'ironsluice');
  const [{ files }] = ask(['pack', '--dry-run', '--json', '--ignore-scripts'], ROOT);
  for (const { path } of files) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    copyFileSync(join(ROOT, path), join(folder, path));
  }
  const { devDependencies: _, private: __, scripts: ___, ...published } = own;
  const addons = Object.fromEntries(names.map((name) => [packageName(name), own.version]));
  published.optionalDependencies = { ...addons, ...own.optionalDependencies };
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(published, null, 2)}\n`);
  return pack(folder);
}

/** Packs a folder; the name of the tarball. */
function pack(folder) {
  return ask(['pack', '--json', '--ignore-scripts', '--pack-destination', OUT], folder)[0].filename;
}

function ask(words, cwd) {
  const [command, all] = npm(words);
  const { error, status, stdout } = spawnSync(command, all, {
    cwd,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    maxBuffer: 64 << 20,
  });
  if (error !== undefined || status !== 0) fail(`npm ${words.join(' ')} failed`, 'see above');
  return JSON.parse(stdout);
}
