/**
 * What the documentation shows is true: its configs pass the check, its programs compile, and one runs.
 *
 * What `docs/guide/parts.md` says of results is run by `test/parts.test.ts`.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import ts from 'typescript';
import { parse } from 'yaml';
import type { Filter } from '../ts/generated/config.js';
import { type Config, checkConfig } from '../ts/index.js';
import { folder } from './kit/binary.js';
import { certificate } from './kit/certificate.js';
import { keysOf } from './kit/consumers.js';
import { EXAMPLES } from './kit/example.js';
import { origin } from './kit/origin.js';

/** A fenced block of a page. */
interface Block {
  /** `docs/guide/embed.md:3`. */
  at: string;
  page: string;
  text: string;
}

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const PAGES = ['README.md', ...markdown(join(ROOT, 'docs'))];
/** As a user with strict types compiles. */
const COMPILER: ts.CompilerOptions = {
  strict: true,
  noEmit: true,
  target: ts.ScriptTarget.ES2023,
  module: ts.ModuleKind.NodeNext,
  types: ['node'],
  typeRoots: [`${ROOT}node_modules/@types`],
  skipLibCheck: true,
};
/** What a block uses and does not say, because the page does in words. */
const DECLARED: Record<string, string> = {
  'docs/guide/embed.md': "declare const nextConfig: import('ironsluice').Config;",
};

test('every config in YAML passes the check', async (t) => {
  const configs = PAGES.flatMap((page) => blocks(page, 'yaml')).flatMap(({ at, text }) => {
    const whole = completed(text);
    return whole === undefined ? [] : [{ at, text: whole }];
  });
  configs.push({ at: 'ironsluice.demo.yaml', text: readFileSync(`${ROOT}ironsluice.demo.yaml`, 'utf8') });
  const { cert, key } = await certificate(t);
  for (const { at, text } of configs) {
    // Certificates that a page names are there, as it supposes.
    const named = [...text.matchAll(/\b[a-z-]+\.(pem|key)\b/g)];
    const files = Object.fromEntries(named.map(([name, ending]) => [name, ending === 'pem' ? cert : key]));
    const config = join(await folder(t, { ...files, 'a.yaml': text }), 'a.yaml');
    await assert.doesNotReject(checkConfig({ config }), at);
  }
});

test('every config of the examples passes the check, and every program of theirs compiles', async () => {
  const files = readdirSync(EXAMPLES, { recursive: true, encoding: 'utf8' }).map((file) =>
    join(EXAMPLES, file),
  );
  const configs = files.filter((file) => /\.ya?ml$/.test(file));
  assert.ok(configs.length > 0);
  for (const config of configs) await assert.doesNotReject(checkConfig({ config }), config);

  // Of JavaScript those that say `@ts-check`.
  const programs = files.filter((file) => /\.(m?ts|m?js)$/.test(file));
  assert.ok(programs.length > 1);
  const options = { ...COMPILER, allowJs: true };
  assert.deepEqual(faultsOf(ts.createProgram(programs, options)), []);
});

test('a fragment becomes a config if it has keys of one, and is judged', async () => {
  assert.equal(completed('- use: respond'), undefined, 'a part of a list');
  assert.equal(completed('use: respond'), undefined, 'one filter');
  const fragment = completed('routes:\n  - name: a\n    filters: [{ use: respond, statu: 200 }]\n') ?? '';
  await assert.rejects(checkConfig(parse(fragment) as Config), { code: 'config_invalid' });
});

test("every filter's config in the reference passes the check", async () => {
  const reference = readFileSync(`${ROOT}docs/reference/filters.md`, 'utf8');
  const shown = [...reference.matchAll(/`(\{ use: .*? \})`/g)].map(([, text = '']) => text);
  assert.ok(shown.length > 5, `${shown.length} configs`);
  for (const text of shown) {
    await assert.doesNotReject(
      checkConfig({
        listeners: [{ name: 'web', bind: '127.0.0.1:0' }],
        upstreams: [{ name: 'up', endpoints: ['127.0.0.1:1'] }],
        // `{id}` is what an example captures.
        routes: [
          { name: 'all', match: { path: '/old/{id}' }, filters: [...before(text), parse(text)], to: 'up' },
        ],
      }),
      text,
    );
  }
});

/** What a filter must have before it. */
function before(text: string): Filter[] {
  return /use: quota|(key|_by): consumer\b/.test(text) ? [keysOf('acme')] : [];
}

test('every program in TypeScript compiles, against the types that users get', () => {
  const programs = PAGES.flatMap((page) => blocks(page, 'ts'));
  assert.ok(programs.length > 5, `${programs.length} programs`);
  // Inside of the package its own name leads through `exports`, as a user's import does.
  const files = new Map(
    programs.map(({ page, text }, i) => [`${ROOT}docs/block-${i}.mts`, `${DECLARED[page] ?? ''}\n${text}`]),
  );
  const host = ts.createCompilerHost(COMPILER);
  const { fileExists, readFile, getSourceFile } = host;
  host.fileExists = (path) => files.has(path) || fileExists(path);
  host.readFile = (path) => files.get(path) ?? readFile(path);
  host.getSourceFile = (path, version, ...rest) => {
    const text = files.get(path);
    return text === undefined
      ? getSourceFile(path, version, ...rest)
      : ts.createSourceFile(path, text, version, true);
  };
  host.getCurrentDirectory = () => ROOT;
  const program = ts.createProgram([...files.keys()], COMPILER, host);

  const faults = ts.getPreEmitDiagnostics(program).flatMap(({ code, file, start, messageText }) => {
    const block = programs[[...files.keys()].indexOf(file?.fileName ?? '')];
    const line = file?.getLineAndCharacterOfPosition(start ?? 0).line ?? 0;
    return `${block?.at} line ${line}: ${ts.flattenDiagnosticMessageText(messageText, '\n')} (${code})`;
  });
  assert.deepEqual(faults, []);
});

test('the module of the guide is a config', async (t) => {
  const [block] = blocks('docs/guide/config.md', 'ts');
  assert.ok(block);
  const config = join(await folder(t, { 'a.config.ts': block.text }), 'a.config.ts');
  await checkConfig({ config });
});

test('the program of the guide runs: it starts, reloads, closes and ends', async (t) => {
  const up = await origin(t);
  const [block] = blocks('docs/guide/embed.md', 'ts');
  assert.ok(block);
  // One request in between, so that it is known to serve; the page has no next config.
  const next = `const nextConfig = { listeners: [{ name: 'web', bind: '127.0.0.1:0' }] };\n`;
  const ask = `console.log(await (await fetch('http://' + gateway.addresses()[0].address)).text());\n`;
  const text = block.text
    .replace("'ironsluice'", JSON.stringify(new URL('../ts/index.js', import.meta.url).href))
    .replace('127.0.0.1:9001', up.address)
    .replace(/^await gateway\.reload/m, `${ask}$&`);
  const path = join(await folder(t, { 'a.mjs': next + text }), 'a.mjs');

  const { stdout } = await promisify(execFile)(process.execPath, [path], { timeout: 30_000 });

  assert.match(stdout, /name: 'web', address: '127\.0\.0\.1:\d+'/);
  assert.match(stdout, /^ok$/m);
  assert.equal(up.hits, 1);
});

/** What the compiler finds wrong, with the file. */
function faultsOf(program: ts.Program): string[] {
  return ts.getPreEmitDiagnostics(program).map(({ file, messageText }) => {
    return `${file?.fileName}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`;
  });
}

/** All pages below a folder, as paths from the root. */
function markdown(path: string): string[] {
  const found = readdirSync(path, { recursive: true, encoding: 'utf8' }).filter((file) =>
    file.endsWith('.md'),
  );
  return found.map((file) => relative(ROOT, join(path, file))).sort();
}

/** The blocks of a language; one that is indented, as in a list, is a block too. */
function blocks(page: string, language: string): Block[] {
  const text = readFileSync(ROOT + page, 'utf8');
  const fences = text.matchAll(new RegExp(`^( *)\`\`\`${language}\\n(.*?)^\\1\`\`\`$`, 'gms'));
  return [...fences].map(({ 1: indent = '', 2: inside = '', index }) => ({
    at: `${page}:${text.slice(0, index).split('\n').length}`,
    page,
    text: inside.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
  }));
}

/** A config, or a part of one with a listener put to it; undefined for what has no key of a config. */
function completed(text: string): string | undefined {
  const value: unknown = parse(text);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  if ('listeners' in value) return text;
  const isPart = Object.keys(value).some((key) => TOP.includes(key));
  return isPart ? `listeners: [{ name: web, bind: "127.0.0.1:0" }]\n${text}` : undefined;
}

/** Keys of a whole config, from its schema. */
const TOP: string[] = Object.keys(
  (
    JSON.parse(readFileSync(`${ROOT}bindings/config.schema.json`, 'utf8')) as {
      properties: Record<string, unknown>;
    }
  ).properties,
);
