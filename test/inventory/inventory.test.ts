/**
 * One name everywhere: a filter's file, its line in the list, its schema, its section in the reference and its test;
 * an error's code in the types, in what throws it and in the guide. And no source file grows beyond a reader.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const text = (path: string) => readFileSync(ROOT + path, 'utf8');
/** What all matches of a pattern have in their first group. */
const all = (from: string, pattern: RegExp) => [...from.matchAll(pattern)].map(([, found = '']) => found);
const listed = all(text('crates/core/src/filters/mod.rs'), /^ {4}(?:r#)?(\w+) => \w+,$/gm);
const reference = text('docs/reference/filters.md');

test('the list of filters is not empty, and in the order of the alphabet', () => {
  assert.ok(listed.length > 5);
  assert.deepEqual(listed, [...listed].sort());
});

for (const name of listed) {
  test(`${name} has a header, a schema and a section in the reference`, () => {
    const source = text(`crates/core/src/filters/${name}.rs`);
    assert.ok(source.startsWith(`//! ${name}: `), 'its header begins with its name');
    for (const word of ['Config', 'Reads', 'Asks', 'Replies', 'Fails', 'Source']) {
      assert.match(source, new RegExp(`^//! +${word}:`, 'm'));
    }
    assert.match(reference, new RegExp(`^## ${name}$`, 'm'));
    assert.ok(text('bindings/config.schema.json').includes(`"${name}"`));
  });

  test(`${name} has a test, which knows each reply of the reference`, () => {
    const path = `test/filters/${name}.test.ts`;
    assert.ok(existsSync(ROOT + path), `${path} is missing`);
    const tested = text(path);
    assert.ok(tested.startsWith(`/**\n * ${name}: `), 'its header begins with the name');
    assert.ok(tested.includes(`use: '${name}'`), 'it runs the filter');
    const section = reference.split(/^## /m).find((part) => part.startsWith(`${name}\n`)) ?? '';
    const replies = /^- \*\*Replies\*\*: .*$/m.exec(section)?.[0] ?? '';
    for (const [, status = '', code = ''] of replies.matchAll(/\b([2-5]\d\d) `(\w+)`/g)) {
      assert.ok(tested.includes(status) && tested.includes(code), `${status} ${code} is not tested`);
      assert.ok(text(`crates/core/src/filters/${name}.rs`).includes(`"${code}"`), `${code} is not replied`);
    }
  });
}

test('there is no test, no section and no schema of a filter that is not listed', () => {
  const files = readdirSync(`${ROOT}test/filters`);
  assert.deepEqual(
    files.sort(),
    listed.map((name) => `${name}.test.ts`),
  );
  const sections = all(reference, /^## (.*)$/gm).filter((title) => title !== 'Values');
  assert.deepEqual(sections, listed);
  const uses = all(text('ts/generated/config.ts'), /^ {2}use: '(\w+)';$/gm);
  assert.deepEqual(uses.sort(), listed);
});

test('each code of an error is raised somewhere, and the guide names no other', () => {
  const union = /export type Code =\n(.*?)\n\n/s.exec(text('ts/errors.ts'))?.[1] ?? '';
  const codes = all(union, /\| '(\w+)'/g);
  assert.ok(codes.length > 10);
  assert.deepEqual(
    codes.filter((code, i) => codes.indexOf(code) !== i),
    [],
  );
  const sources = tracked('ts', 'bindings', 'crates/net/src', 'crates/core/src').filter(
    (path) => /\.(ts|js|rs)$/.test(path) && path !== 'ts/errors.ts' && !GENERATED.includes(path),
  );
  const code = sources.map(text).join('\n');
  assert.deepEqual(
    codes.filter((name) => !code.includes(`'${name}'`) && !code.includes(`"${name}"`)),
    [],
    'codes that nothing raises',
  );
  // Pages that speak of this module's errors; the parts of the core have codes of their own.
  const pages = tracked('docs/guide', 'README.md').filter((path) => path.endsWith('.md'));
  const paragraphs = pages.flatMap((path) => text(path).split(/\n\n+/));
  const named = paragraphs
    .filter((paragraph) => paragraph.includes('GateError'))
    .flatMap((paragraph) => all(paragraph, /`([a-z]+(?:_[a-z]+)+)`/g));
  assert.ok(named.length > 0, 'the guide names a code');
  assert.deepEqual(
    named.filter((name) => !codes.includes(name)),
    [],
    'codes that only the guide knows',
  );
});

test('one version everywhere, and a package for each platform of the list', () => {
  const { version } = JSON.parse(text('package.json')) as { version: string };
  assert.equal(all(text('Cargo.toml'), /^\[workspace\.package\]\nversion = "(.*)"$/gm)[0], version);
  const targets = all(text('bindings/platform.js'), /^ {2}'([a-z0-9-]+)': '[a-z0-9_-]+',$/gm);
  assert.ok(targets.length > 5);
  const files = ['README.md', 'package.json'];
  assert.deepEqual(
    tracked('bindings/npm').sort(),
    targets.flatMap((name) => files.map((file) => `bindings/npm/${name}/${file}`)).sort(),
  );
  for (const name of targets) {
    const manifest = JSON.parse(text(`bindings/npm/${name}/package.json`)) as Record<string, unknown>;
    const [os, cpu, abi] = name.split('-');
    const libc = abi === undefined ? undefined : [abi === 'musl' ? 'musl' : 'glibc'];
    assert.deepEqual(
      [manifest.name, manifest.version, manifest.os, manifest.cpu, manifest.libc, manifest.main],
      [`@ironsluice/${name}`, version, [os], [cpu], libc, `ironsluice.${name}.node`],
    );
  }
});

test('each example has a page, a line in the list and a test, and there is no other', () => {
  const folders = readdirSync(`${ROOT}docs/examples`, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)
    .sort();
  assert.ok(folders.length >= 2);
  const list = text('docs/examples/README.md');
  assert.deepEqual(all(list, /^- \[([a-z-]+)\]\(\1\/README\.md\): \S/gm).sort(), folders);
  assert.deepEqual(
    readdirSync(`${ROOT}test/examples`).sort(),
    folders.map((name) => `${name}.test.ts`),
  );
  for (const name of folders) {
    assert.match(text(`docs/examples/${name}/README.md`), /^# .*\n.*```sh\n/s, `${name} says how to run it`);
    assert.match(
      text(`test/examples/${name}.test.ts`),
      new RegExp(`example\\(t, '${name}'`),
      'its test runs it',
    );
  }
});

test('each attack names a test, and each test that is named is there', () => {
  const page = text('docs/attacks.md');
  const rows = page.split('\n').filter((line) => /^\| (?!attack|-)/.test(line));
  assert.ok(rows.length > 25);
  const named = rows.map((row) => [...row.matchAll(/`([\w/.-]+\.(?:rs|ts)): ([^`]+)`/g)]);
  assert.deepEqual(
    rows.filter((_, at) => named[at]?.length === 0),
    [],
    'attacks without a test',
  );
  const isThere = (path: string, name: string): boolean => {
    if (!existsSync(ROOT + path)) return false;
    const source = text(path);
    if (path.endsWith('.rs')) return new RegExp(`#\\[test\\]\\s+fn ${name}\\(`).test(source);
    return [`test('${name}'`, `{ kind: '${name}'`].some((begin) => source.includes(begin));
  };
  assert.deepEqual(
    named.flat().flatMap(([, path = '', name = '']) => (isThere(path, name) ? [] : `${path}: ${name}`)),
    [],
  );
  // In both directions: a flood that is tested is listed.
  const floods = all(text('test/floods.test.ts'), /\{ kind: '([\w-]+)'/g);
  assert.deepEqual(
    floods.filter((name) => !page.includes(`floods.test.ts: ${name}\``)),
    [],
  );
});

test('no source file is longer than 500 lines, but those with a reason', () => {
  const paths = tracked('*.rs', '*.ts').filter((path) => !GENERATED.includes(path));
  const long = paths.filter((path) => text(path).split('\n').length - 1 > MOST_LINES);
  // In both directions: a reason that is not needed any more is to go.
  assert.deepEqual(long.sort(), Object.keys(LONG).sort());
});

const MOST_LINES = 500;
/** Files that programs write. */
const GENERATED = ['bindings/index.d.ts', 'ts/generated/config.ts'];
/** Longer files, and why each is better off as one. */
const LONG: Record<string, string> = {
  'crates/core/src/route/tests.rs': 'tables of cases; each test looks at the whole router',
};

/** Files of the repository below these paths, also new ones that Git has yet to hear of. */
function tracked(...paths: string[]): string[] {
  const args = ['ls-files', '--cached', '--others', '--exclude-standard', '--', ...paths];
  const found = execFileSync('git', args, { cwd: ROOT, encoding: 'utf8' }).split('\n').filter(Boolean);
  return [...new Set(found)].filter((path) => existsSync(ROOT + path));
}
