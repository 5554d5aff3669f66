/**
 * The packages: they are packed, installed by npm in an empty folder, and used there as a user would.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, realpath, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import ts from 'typescript';
import { command, type Ended, folder, type Running } from './kit/binary.js';

interface Manifest {
  version: string;
  bin: Record<string, string>;
  exports: Record<string, string | Record<string, string>>;
  imports: Record<string, Record<string, string>>;
  optionalDependencies: Record<string, string>;
}

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const { packageName } = (await import(`${ROOT}bindings/platform.js`)) as { packageName(): string };
const run = promisify(execFile);
const read = (path: string): Manifest => JSON.parse(readFileSync(path, 'utf8')) as Manifest;

/** Where both are installed; and the folder of the main package there. */
let project = '';
let installed = '';
let tarballs: string[] = [];

before(async () => {
  project = await realpath(await mkdtemp(join(tmpdir(), 'ironsluice-package-')));
  const words = ['ts/bootstrap/pack.mjs', '--as-built', '--out', join(project, 'out')];
  const { stdout } = await run(process.execPath, words, { cwd: ROOT });
  tarballs = stdout.trim().split('\n');
  await writeFile(join(project, 'package.json'), '{ "private": true }');
  // Dependencies come from the cache of npm where it has them.
  const flags = ['--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error'];
  await run('npm', ['install', ...flags, ...tarballs], { cwd: project, timeout: 240_000 });
  installed = join(project, 'node_modules/ironsluice');
});
after(() => rm(project, { recursive: true, force: true }));

test('the main package has what it names, and nothing of a clone', async () => {
  const { version } = read(join(ROOT, 'package.json'));
  const main = tarballs.find((path) => basename(path) === `ironsluice-${version}.tgz`) ?? '';
  const files = (await run('tar', ['tzf', main])).stdout
    .split('\n')
    .map((path) => path.replace('package/', ''));
  const manifest = read(join(installed, 'package.json'));

  const targets = [...Object.values(manifest.exports), ...Object.values(manifest.imports)];
  const named = [
    ...targets.flatMap((to) => Object.values(typeof to === 'string' ? [to] : to)),
    manifest.bin.ironsluice,
  ];
  assert.deepEqual(
    named.map((path = '') => path.replace('./', '')).filter((path) => !files.includes(path)),
    [],
  );
  assert.deepEqual(
    files.filter((path) => /\.node$|\.tsbuildinfo$|(^|\/)(test|bench|crates|src|demo[^/]*)(\/|$)/.test(path)),
    [],
  );
  assert.ok(files.includes('dist/ts/store/gcra.lua'), 'the scripts of the store');
  for (const key of ['private', 'scripts', 'devDependencies']) assert.ok(!(key in manifest), key);
  assert.deepEqual(Object.keys(manifest.exports['.'] ?? {})[0], 'types');
});

test('the addon is a package for this machine alone, in the version of the main package', async () => {
  const { optionalDependencies, version } = read(join(installed, 'package.json'));
  assert.equal(optionalDependencies[packageName()], version);
  const addon = read(join(project, 'node_modules', packageName(), 'package.json'));
  assert.equal(addon.version, version);
  assert.ok('os' in addon && 'cpu' in addon && !('scripts' in addon));
  assert.equal(tarballs.length, 2);

  const { stdout } = await ironsluice(['doctor', '--json']);
  const findings = JSON.parse(stdout).findings as { name: string; value: string; note: string }[];
  const found = findings.find(({ name }) => name === 'addon');
  assert.equal(found?.note, `package ${packageName()}`);
  assert.ok(found?.value.startsWith(join(project, 'node_modules', packageName())), found?.value);
});

test("the README's program runs", async () => {
  const [, program = ''] =
    /^```ts\n(.*?)^```$/ms.exec(readFileSync(join(installed, 'README.md'), 'utf8')) ?? [];
  assert.match(program, /createGateway/);
  assert.ok(program.trim().split('\n').length <= 10, 'it has at most ten lines');
  await writeFile(join(project, 'readme.mjs'), program);
  assert.equal((await run(process.execPath, ['readme.mjs'], { cwd: project })).stdout, 'hello\n');
});

test('init, check, start: what init writes serves at once, and editors find its schema', async (t) => {
  const init = await npx(t, ['init']).ended();
  assert.equal(init.code, 0, init.stderr);
  assert.match(init.stdout, /^ironsluice\.yaml is written.*\n {2}npx ironsluice start /);
  const check = await npx(t, ['check']).ended();
  assert.equal(check.stdout, 'ironsluice.yaml: no faults\n', check.stderr);
  const [, schema = ''] =
    /^# yaml-language-server: \$schema=(\S+)\n/.exec(
      readFileSync(join(project, 'ironsluice.yaml'), 'utf8'),
    ) ?? [];
  assert.equal(schema, './node_modules/ironsluice/bindings/config.schema.json');
  assert.ok(existsSync(join(project, schema)));

  const running = npx(t, ['start', '--log-format', 'json']);
  const { address } = await running.logged('listening');
  const answer = await fetch(`http://${address}/`);
  assert.match(await answer.text(), /^Ironsluice runs/);
  // As a terminal does at Ctrl-C: npx alone would hand a signal to its shell, and that to nobody.
  process.kill(-(running.child.pid ?? 0), 'SIGINT');
  await running.ended();
  await assert.rejects(fetch(`http://${address}/`));
});

test('an app in TypeScript imports both entries of the package', async (t) => {
  const cwd = await folder(t);
  await writeFile(
    join(project, 'site.ts'),
    `import { defineApp } from 'ironsluice';
     import { jumpHash } from 'ironsluice/parts';
     export default defineApp((request) => \`\${request.path} \${jumpHash('a', 1)}\`);`,
  );
  const config = {
    admin: 'off',
    workers: 1,
    listeners: [{ name: 'web', bind: '127.0.0.1:0' }],
    apps: [{ name: 'site', module: './site.ts' }],
    routes: [{ name: 'all', to: { app: 'site' } }],
  };
  await writeFile(join(project, 'app.json'), JSON.stringify(config));
  const words = [
    join(installed, 'dist/main.js'),
    'start',
    '--log-format',
    'json',
    '-c',
    join(project, 'app.json'),
  ];
  const running = command(t, process.execPath, words, { cwd });
  const { address } = await running.logged('listening');
  assert.equal(await (await fetch(`http://${address}/x`)).text(), '/x 0');
});

const { Node16, NodeNext, ESNext } = ts.ModuleKind;
const RESOLUTIONS = {
  node16: [Node16, ts.ModuleResolutionKind.Node16],
  nodenext: [NodeNext, ts.ModuleResolutionKind.NodeNext],
  bundler: [ESNext, ts.ModuleResolutionKind.Bundler],
} as const;
for (const [name, [module, moduleResolution]] of Object.entries(RESOLUTIONS)) {
  test(`a consumer compiles with moduleResolution ${name}, its own mistakes excepted`, async () => {
    const path = join(project, 'consumer.mts');
    await writeFile(path, CONSUMER);
    const options: ts.CompilerOptions = {
      module,
      moduleResolution,
      strict: true,
      exactOptionalPropertyTypes: true,
      noEmit: true,
      target: ts.ScriptTarget.ES2023,
      // Once with every declaration that a consumer sees: those of dependencies are part of ours.
      skipLibCheck: name !== 'nodenext',
      skipDefaultLibCheck: true,
      typeRoots: [join(ROOT, 'node_modules/@types')],
      types: ['node'],
    };
    const faults = ts
      .getPreEmitDiagnostics(ts.createProgram([path], options))
      .map(({ file, messageText }) => {
        return `${file?.fileName}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`;
      });
    assert.equal(faults.length, 1, faults.join('\n'));
    assert.match(faults[0] ?? '', /consumer\.mts: .*listenres/);
  });
}

test('require works where Node can load modules with it, and else says what to do', async () => {
  await writeFile(join(project, 'a.cjs'), "process.stdout.write(require('ironsluice').version)");
  const { version } = read(join(installed, 'package.json'));
  const able = (process.features as { require_module?: boolean }).require_module === true;
  const ask = (flags: string[]) => run(process.execPath, [...flags, 'a.cjs'], { cwd: project });
  if (able) assert.equal((await ask([])).stdout, version);
  await assert.rejects(
    ask(able ? ['--no-experimental-require-module'] : []),
    /ERR_REQUIRE_ESM|dynamic import\(\)/,
  );
});

test('without the optional package each command says why it does not run, and what to do', async (t) => {
  const there = join(project, 'node_modules', packageName());
  await rename(there, join(project, 'aside'));
  t.after(() => rename(join(project, 'aside'), there));
  const done = await ironsluice(['start']);
  assert.equal(done.code, 3);
  assert.match(
    done.stderr,
    /^ironsluice: The native part of ironsluice is not usable here .* is not installed.*npm install/,
  );
  const doctor = await ironsluice(['doctor']);
  assert.equal(doctor.code, 3);
  assert.match(doctor.stdout, /^BAD +core +does not load \(.* is not installed/m);
});

/** The installed command, without npx. */
async function ironsluice(words: string[]): Promise<Pick<Ended, 'code' | 'stdout' | 'stderr'>> {
  const done = run(process.execPath, [join(installed, 'dist/main.js'), ...words], { cwd: project });
  return done.then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    ({ code, stdout, stderr }: Ended) => ({ code, stdout, stderr }),
  );
}

/** The command as a user of the project runs it. */
function npx(t: TestContext, words: string[]): Running {
  const env = { PORT: '0', ADMIN_PORT: '0' };
  return command(t, 'npx', ['--no', 'ironsluice', ...words], { cwd: project, env, isGroup: true });
}

/** What a user of the types may write; the last statement is a mistake that they find. */
const CONSUMER = `
import { checkConfig, type Config, createGateway, defineApp, defineConfig, type Gateway, GateError } from 'ironsluice';
import { Gcra, type RequestHead } from 'ironsluice/parts';

const config: Config = defineConfig({ listeners: [{ name: 'web', bind: '127.0.0.1:0' }] });
export const gateway: Gateway = await createGateway(config, { log: false });
export const decision: boolean = new Gcra({ count: 1, periodMs: 1 }).check('a').allowed;
export const app = defineApp((request) => request.path);
export const head: RequestHead | undefined = undefined;
export const isOurs = (error: unknown): error is GateError => error instanceof GateError;
await checkConfig({ listenres: [] });
`;
