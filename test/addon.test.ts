/**
 * The addon's loader: what it takes, and what it says when there is nothing to take.
 *
 * It runs in folders as npm makes them, with the real addon, which is linked, and on machines that are only claimed.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cp, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { folder } from './kit/binary.js';

interface Platform {
  TARGETS: Record<string, string>;
  addonName(name?: string): string;
  libcIn(maps: string): string;
  packageName(name?: string): string;
  target(): string;
}

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const { addonName, libcIn, packageName, TARGETS, target } = (await import(
  `${ROOT}bindings/platform.js`
)) as Platform;
const OWN = packageName();
const FOREIGN = packageName(target() === 'darwin-x64' ? 'darwin-arm64' : 'darwin-x64');

/** What a folder of packages holds, and what loading then says. */
interface Case {
  name: string;
  /** Optional packages that the main one names. */
  named?: string[];
  /** Packages that are there, with the text of their addon; `undefined` for the real one, `null` for none. */
  there?: Record<string, string | null | undefined>;
  /** The version of the main package. Default: that of the addon. */
  version?: string;
  /** A machine other than this one. */
  machine?: { platform: string; arch: string };
  isClone?: boolean;
  /** Standard output, or the message of the error. */
  says: RegExp;
  /** Of the error. */
  code?: string;
}

const CASES: Case[] = [
  { name: 'the package of this machine', there: { [OWN]: undefined }, says: /^package @ironsluice\/\S+$/ },
  {
    name: 'optional dependencies were left out',
    says: /the optional package \S+ is not installed\. What to do: run "npm install" without --omit=optional .*package-lock\.json/,
    code: 'addon_missing',
  },
  {
    name: 'node_modules of another machine',
    there: { [FOREIGN]: 'x' },
    says: new RegExp(`but ${FOREIGN} is: node_modules was made on another machine.*do not copy node_modules`),
    code: 'addon_missing',
  },
  {
    name: 'an install that was cut short',
    there: { [OWN]: null },
    says: /has lost its file\. What to do: delete node_modules and run "npm install"/,
    code: 'addon_missing',
  },
  {
    name: 'a machine that has no build',
    machine: { platform: 'sunos', arch: 'x64' },
    says: new RegExp(
      `\\(sunos x64, libc none, Node .*there is no build of version \\S+ for sunos-x64, only for ${target()}\\..*needs Rust`,
    ),
    code: 'addon_missing',
  },
  {
    name: 'a package that names no build',
    named: [],
    says: /only for no machine\./,
    code: 'addon_missing',
  },
  {
    name: 'an addon that is no addon',
    there: { [OWN]: 'not an ELF file' },
    says: /\.node does not load: .*What to do: delete node_modules/,
    code: 'addon_missing',
  },
  {
    name: 'an addon of another version',
    version: '99.0.0',
    there: { [OWN]: undefined },
    says: /\.node is of version \d+\.\d+\.\d+, and the package ironsluice is 99\.0\.0\. What to do: delete node_modules/,
    code: 'addon_mismatch',
  },
  {
    name: 'a clone that was not built',
    isClone: true,
    named: [],
    says: /\.node is missing\. What to do: run "npm run build"\.$/,
    code: 'addon_missing',
  },
];

for (const each of CASES) {
  test(`${each.name}: ${each.code ?? 'loads'}`, async (t) => {
    const main = await install(t, each);
    const { code, text } = await load(main, each.machine);
    assert.equal(code, each.code, text);
    assert.match(text, each.says);
  });
}

test('the loader of a clone takes the file that was built there, before any package', async (t) => {
  const main = await install(t, { name: '', isClone: true, there: { [OWN]: 'not an ELF file' }, says: /./ });
  await symlink(join(ROOT, 'bindings', addonName()), join(main, 'bindings', addonName()));
  assert.deepEqual(await load(main), { code: undefined, text: 'built in this clone' });
});

test('musl and glibc are told apart by the loader that is mapped', () => {
  const line = (path: string): string => `7f10e4a00000-7f10e4a26000 r--p 00000000 08:01 1835 ${path}\n`;
  const cases: [string, string][] = [
    [line('/lib/ld-musl-x86_64.so.1'), 'musl'],
    [line('/usr/bin/node') + line('/lib/ld-musl-aarch64.so.1') + line('[stack]'), 'musl'],
    [line('/lib/x86_64-linux-gnu/libc.so.6') + line('/lib64/ld-linux-x86-64.so.2'), 'gnu'],
    [line('/opt/ld-musl-x/bin/node') + line('/lib64/ld-linux-x86-64.so.2'), 'gnu'],
    ['', 'gnu'],
  ];
  for (const [maps, wanted] of cases) assert.equal(libcIn(maps), wanted, maps);
  assert.ok(Object.keys(TARGETS).includes(target()), `${target()} is a machine with a package`);
});

/** A folder with `node_modules/ironsluice` and what the case has beside it; the main package's path. */
async function install(
  t: TestContext,
  { isClone, named = [OWN], there = {}, version }: Case,
): Promise<string> {
  const modules = join(await folder(t), 'node_modules');
  const main = join(modules, 'ironsluice');
  for (const file of ['index.js', 'load.js', 'platform.js']) {
    await cp(join(ROOT, 'bindings', file), join(main, 'bindings', file));
  }
  if (isClone) await writeFile(join(main, 'bindings/Cargo.toml'), '');
  const own = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as { version: string };
  await json(join(main, 'package.json'), {
    name: 'ironsluice',
    version: version ?? own.version,
    type: 'module',
    optionalDependencies: Object.fromEntries([...named, 'other'].map((name) => [name, '1.0.0'])),
  });
  for (const [name, addon] of Object.entries(there)) {
    const at = join(modules, name);
    await json(join(at, 'package.json'), { name, version: '1.0.0', main: 'a.node' });
    if (addon === undefined) await symlink(join(ROOT, 'bindings', addonName()), join(at, 'a.node'));
    else if (addon !== null) await writeFile(join(at, 'a.node'), addon);
  }
  return main;
}

async function json(path: string, value: unknown): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, JSON.stringify(value));
}

/** Loads the addon in a process of its own: where it is from, or code and message of the error. */
function load(main: string, machine: object = {}): Promise<{ code: string | undefined; text: string }> {
  const program = `
    for (const [name, value] of Object.entries(${JSON.stringify(machine)})) Object.defineProperty(process, name, { value });
    const bindings = ${JSON.stringify(`file://${main}/bindings/`)};
    const tell = (code, text) => process.stdout.write(JSON.stringify({ code, text }));
    try {
      if ((await import(bindings + 'index.js')).checkConfig('{}').faults.length === 0) throw new Error('it has no mind');
      tell(undefined, (await import(bindings + 'load.js')).loaded.from);
    } catch (error) {
      tell(error.code, error.message);
    }`;
  return new Promise((resolve, reject) => {
    execFile(process.execPath, ['--input-type=module', '--eval', program], (error, stdout) => {
      if (error) reject(error);
      else resolve({ code: undefined, ...JSON.parse(stdout) });
    });
  });
}
