/**
 * Configs of several files: what they say together, and where their faults are.
 */
import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { folder, ironsluice, launch } from './kit/binary.js';

const WEB = 'listeners: [{ name: web, bind: 127.0.0.1:0 }]\n';
const route = (name: string): string =>
  `routes: [{ name: ${name}, match: { path: /${name} }, filters: [{ use: respond, body: ${name} }] }]\n`;

async function files(t: TestContext, texts: Record<string, string>): Promise<string> {
  const cwd = await folder(t);
  for (const [name, text] of Object.entries(texts)) {
    await mkdir(dirname(join(cwd, name)), { recursive: true });
    await writeFile(join(cwd, name), text);
  }
  return cwd;
}

test('routes of several files, YAML, JSON and modules, are served together', async (t) => {
  const cwd = await files(t, {
    'main.yaml': `include: ["routes/*", "deep/**/*.yaml", "\${EXTRA}.yaml"]\nadmin: off\n${WEB}${route('main')}`,
    'routes/a.yaml': route('a'),
    'routes/b.json': JSON.stringify({ include: ['../more.mjs'], drain_timeout: '1s' }),
    'routes/empty.yaml': '# nothing yet\n',
    'deep/er/c.yaml': route('c'),
    'extra.yaml': route('extra'),
    'more.mjs': `export default { routes: [{ name: 'more', match: { path: '/more' }, filters: [{ use: 'respond', body: 'more' }] }] };`,
    'second.yaml': route('second'),
  });
  const words = ['start', '--config', 'main.yaml', '-c', 'second.yaml', '--log-format', 'json'];
  const running = launch(t, words, { cwd, env: { EXTRA: 'extra' } });
  const { address } = await running.logged('listening');
  for (const name of ['main', 'a', 'c', 'extra', 'more', 'second']) {
    assert.equal(await (await fetch(`http://${address}/${name}`)).text(), name);
  }
  assert.equal((await fetch(`http://${address}/other`)).status, 404);
});

test('faults are named in their own file, all at once', async (t) => {
  const chain = Array.from({ length: 12 }, (_, i) => [`${i}.yaml`, `include: [${i + 1}.yaml]\n`]);
  const cases: [string, Record<string, string>, string[], RegExp[]][] = [
    [
      'a value in an included file',
      { 'b/b.yaml': `${route('b')}workers: 0\n` },
      ['include: [b/b.yaml]\n'],
      [/^b\/b\.yaml: 1 fault\n {2}2:10 {2}workers /],
    ],
    [
      'an item of a list that is put together, and the other one that is meant',
      { 'b.yaml': `# first\n${route('a')}` },
      [`include: [b.yaml]\n${route('a')}`],
      [
        /^b\.yaml: 2 faults\n/,
        /2:\d+ +routes\[0\]\.name +"a" is already the name of routes\[0\] of main\.yaml:3:\d+/,
      ],
    ],
    [
      'a scalar in two files',
      { 'b.yaml': 'drain_timeout: 1s\nstore: memory\n' },
      ['include: [b.yaml]\ndrain_timeout: 2s\n'],
      [/^b\.yaml: 1 fault\n {2}1:1 {2}drain_timeout {3}drain_timeout is in main\.yaml:3:1 already/],
    ],
    [
      'a scalar inside of a map in two files, and a list that is put together there',
      { 'b.yaml': 'admin: { bind: 127.0.0.1:1, allow_hosts: [a, 3] }\n' },
      ['include: [b.yaml]\nadmin: { bind: 127.0.0.1:0, allow_hosts: [b] }\n'],
      [
        /^b\.yaml: 2 faults\n/,
        /1:10 +admin\.bind +admin\.bind is in main\.yaml:3:10 already/,
        /1:46 +admin\.allow_hosts\[1\]/,
      ],
    ],
    [
      'a file that is not there',
      {},
      ['include: [no.yaml]\n'],
      [/^main\.yaml: 1 fault\n {2}2:11 {2}include\[0\] {3}there is no file no\.yaml/],
    ],
    [
      'a cycle',
      { 'b.yaml': 'include: [c.yaml]\n', 'c.yaml': 'include: ["*.yaml"]\n' },
      ['include: [b.yaml]\n'],
      [/^c\.yaml: 2 faults\n/, /main\.yaml includes itself: main\.yaml > b\.yaml > c\.yaml > main\.yaml/],
    ],
    [
      'a file by two ways',
      { 'b.yaml': route('b') },
      ['include: [b.yaml, "*.yaml"]\n'],
      [
        /^main\.yaml: 1 fault\n {2}2:19 {2}include\[1\] {3}b\.yaml is a part of the config already, by main\.yaml:2:11/,
      ],
    ],
    [
      'too deep',
      Object.fromEntries(chain),
      ['include: [0.yaml]\n'],
      [/^7\.yaml: 1 fault\n.*more than 8 deep/s],
    ],
    [
      'a text that is no YAML, beside one that is no JSON',
      { 'b.yaml': 'a: [\n', 'c.json': '{' },
      ['include: [b.yaml, c.json]\n'],
      [/^b\.yaml: \d fault/, /\nc\.json: 1 fault\n {2}1:2 /],
    ],
    [
      'no map',
      { 'b.yaml': '- a\n' },
      ['include: [b.yaml]\n'],
      [/^b\.yaml: 1 fault\n {2}1:1 .*has keys at its top/],
    ],
    [
      'an unset variable',
      { 'b.yaml': 'drain_timeout: ${NOT_SET_HERE}\n' },
      ['include: [b.yaml]\n'],
      [/^b\.yaml: 1 fault\n {2}1:16 {2}drain_timeout {3}the environment variable NOT_SET_HERE is not set/],
    ],
    ['no list', {}, ['include: b.yaml\n'], [/^main\.yaml: 1 fault\n {2}2:10 {2}include /]],
  ];
  for (const [name, texts, [more = ''], wanted] of cases) {
    const cwd = await files(t, { ...texts, 'main.yaml': `${WEB}${more}` });
    const { code, stdout, stderr } = await ironsluice(t, ['check', 'main.yaml'], { cwd });
    assert.equal(code, 1, `${name}: ${stdout}`);
    for (const pattern of wanted) assert.match(stderr, pattern, name);
  }
});

test('files are called as the one that includes them is, wherever the command runs', async (t) => {
  const cwd = await files(t, {
    'conf/main.yaml': `${WEB}include: [sub/b.yaml]\n`,
    'conf/sub/b.yaml': 'x: 1\n',
  });
  assert.match(
    (await ironsluice(t, ['check', 'conf/main.yaml'], { cwd })).stderr,
    /^conf\/sub\/b\.yaml: 1 fault/,
  );
  const absolute = await ironsluice(t, ['check', join(cwd, 'conf/main.yaml')]);
  assert.match(absolute.stderr, new RegExp(`^${cwd}/conf/sub/b\\.yaml: 1 fault`));
  const twice = await ironsluice(t, ['check', '-c', 'conf/main.yaml', '-c', './conf/main.yaml'], { cwd });
  assert.deepEqual([twice.code, /is named twice/.test(twice.stderr)], [2, true]);
});

test('check --json names file, line and column; a file that is gone is a fault too', async (t) => {
  const cwd = await files(t, { 'main.yaml': `${WEB}include: [b.yaml]\n`, 'b.yaml': '# b\nx: 1\n' });
  const ask = async (file: string): Promise<[number, unknown]> => {
    const { code, stdout } = await ironsluice(t, ['check', file, '--json'], { cwd });
    return [code, JSON.parse(stdout)];
  };
  const unknown = { path: 'x', onKey: true, why: 'no key is called "x"' };
  const [code, [found]] = (await ask('main.yaml')) as [number, [Record<string, unknown>]];
  assert.equal(code, 1);
  assert.deepEqual(
    { ...found, why: '', fix: '' },
    { file: 'b.yaml', line: 2, column: 1, ...unknown, why: '', fix: '' },
  );
  assert.deepEqual(await ask('gone.yaml'), [
    1,
    [
      {
        file: 'gone.yaml',
        line: null,
        column: null,
        path: '',
        onKey: false,
        why: 'there is no file gone.yaml',
        fix: 'check the path',
      },
    ],
  ]);
});

test('a program cannot include files, and is told so', async () => {
  const { checkConfig } = await import('../ts/index.js');
  const config = { listeners: [{ name: 'web', bind: '127.0.0.1:0' }], include: ['a.yaml'] };
  await assert.rejects(
    checkConfig(config),
    /include {3}only a config that is read from a file can include others/,
  );
});
