/**
 * `ironsluice fmt`: one style, nothing lost, and nothing to do the second time.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmod, mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { format } from '../ts/commands/fmt.js';
import { starter } from '../ts/config/starter.js';
import { folder, ironsluice, MAIN } from './kit/binary.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

const MESSY = `# the head
listeners:   [{name: web,   bind: 127.0.0.1:0}]   # of the line


routes:
    # of the item
    -   name: "a"
        filters: [ {use: respond, body: 'it''s'} ]
# the end
`;
const CLEAN = `# the head
listeners: [{ name: web, bind: 127.0.0.1:0 }] # of the line

routes:
  # of the item
  - name: "a"
    filters: [{ use: respond, body: 'it''s' }]

# the end
`;

test('a table of texts', () => {
  const long = 'word '.repeat(60).trim();
  const cases: [string, string, string][] = [
    ['a.yaml', MESSY, CLEAN],
    ['a.yaml', 'a: 1\r\nb:   2\r\n', 'a: 1\nb: 2\n'],
    ['a.yaml', `a: ${long}\n`, `a: ${long}\n`],
    ['a.yaml', 'a: &x [1,2]\nb: *x\n', 'a: &x [1, 2]\nb: *x\n'],
    ['a.yaml', 'a: |\n     b\n     c\n', 'a: |\n  b\n  c\n'],
    ['a.yaml', 'a:   ${PORT:-8080}\n', 'a: ${PORT:-8080}\n'],
    ['a.yaml', '# only a comment\n\n\n', '# only a comment\n'],
    ['a.yaml', '', ''],
    ['a.json', '{"b":[1,{}],\n"a":"x"}', '{\n  "b": [\n    1,\n    {}\n  ],\n  "a": "x"\n}\n'],
  ];
  for (const [name, before, wanted] of cases) {
    assert.equal(format(before, name), wanted, before);
    assert.equal(format(wanted, name), wanted, `again: ${before}`);
  }
});

test('configs of the project keep what they say and every comment, and are stable', () => {
  const tracked = execFileSync('git', ['ls-files', '*.yaml', '*.yml'], { cwd: ROOT, encoding: 'utf8' });
  const paths = tracked.split('\n').filter((path) => path !== '' && !path.startsWith('.github'));
  assert.ok(paths.length > 5, `${paths.length} files`);
  const texts: [string, string][] = [['starter', starter('x')]];
  for (const path of paths) texts.push([path, execFileSync('cat', [ROOT + path], { encoding: 'utf8' })]);
  for (const [path, text] of texts) {
    const after = format(text, 'a.yaml');
    assert.deepEqual(parse(after), parse(text), path);
    const comments = (of: string): string[] => (of.match(/(?<=^|\s)#.*$/gm) ?? []).map((line) => line.trim());
    assert.deepEqual(comments(after), comments(text), path);
    assert.equal(format(after, 'a.yaml'), after, path);
  }
});

test('files are replaced whole, with their mode, through links; --check writes nothing', async (t) => {
  const cwd = await folder(t, {
    'ironsluice.yaml': `include: ["sub/*"]\n${MESSY}`,
    'bad.yaml': 'a: [\n',
    'a.ts': 'export default {};\n',
  });
  await mkdir(join(cwd, 'sub'));
  await writeFile(join(cwd, 'sub/b.json'), '{"drain_timeout":"1s"}');
  await writeFile(join(cwd, 'real.yaml'), MESSY);
  await chmod(join(cwd, 'real.yaml'), 0o640);
  await symlink('real.yaml', join(cwd, 'link.yaml'));
  const run = async (...words: string[]): Promise<[number, string]> => {
    const { code, stdout, stderr } = await ironsluice(t, ['fmt', ...words], { cwd });
    return [code, stdout + stderr];
  };
  assert.deepEqual(await run('--check', 'real.yaml'), [1, 'real.yaml is not formatted\n']);
  assert.equal(await readFile(join(cwd, 'real.yaml'), 'utf8'), MESSY);
  assert.deepEqual(await run('link.yaml'), [0, 'link.yaml\n']);
  assert.equal(await readFile(join(cwd, 'real.yaml'), 'utf8'), CLEAN);
  assert.equal((await stat(join(cwd, 'real.yaml'))).mode & 0o777, 0o640);
  assert.deepEqual(await run('--check', 'link.yaml', 'real.yaml'), [0, '']);

  const [code, said] = await run();
  assert.equal(code, 0);
  assert.match(said, /^ironsluice\.yaml\n.*sub\/b\.json\n$/);
  assert.deepEqual(await run('--check'), [0, '']);

  assert.match((await run('bad.yaml'))[1], /^bad\.yaml: \d fault/);
  assert.equal((await run('bad.yaml'))[0], 1);
  assert.match((await run('a.ts'))[1], /a\.ts is a program \(fmt formats YAML and JSON\)/);
  assert.match((await run('gone.yaml'))[1], /there is no file gone\.yaml/);
  assert.match((await run('-', 'a.yaml'))[1], /- goes with no other file/);
  const piped = execFileSync(process.execPath, [MAIN, 'fmt', '-'], { input: MESSY, encoding: 'utf8' });
  assert.equal(piped, CLEAN);
  assert.deepEqual(
    (await readdir(cwd)).filter((name) => !/\.(yaml|ts)$|^sub$/.test(name)),
    [],
    'no temporary files',
  );
});
