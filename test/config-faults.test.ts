/**
 * Faults of configs: all at once, at their places, in words; for YAML, JSON and modules.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { judge } from '../ts/config/check.js';
import type { Env } from '../ts/config/env.js';
import { loadFile } from '../ts/config/load.js';
import { redact } from '../ts/config/redact.js';
import { ConfigError, type GateError } from '../ts/errors.js';
import { folder, ironsluice } from './kit/binary.js';

const GOLDEN = fileURLToPath(new URL('../../test/golden/', import.meta.url));
const LISTENERS = 'listeners: [{ name: web, bind: 127.0.0.1:0 }]\n';

/** What `check` says of `text`; empty for a good config. */
async function report(path: string, env: Env = {}): Promise<string> {
  try {
    judge(await loadFile(path, env));
    return '';
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return error.message.slice(error.message.indexOf(': ') + 2);
  }
}

test('ten different faults are named at once, as the golden text has them', async (t) => {
  const done = await ironsluice(t, ['check', 'ten-faults.yaml'], { cwd: GOLDEN });

  assert.equal(done.code, 1);
  assert.equal(done.stderr, await readFile(join(GOLDEN, 'ten-faults.txt'), 'utf8'));
  assert.match(done.stderr, /^ten-faults\.yaml: 10 faults\n/);
});

test('the same config as JSON has the same faults, at places of its own', async (t) => {
  const text = `{
  "drain_timeout": 30,
  "access_logs": {},
  "listeners": [{ "name": "web", "bind": "localhost:8080" }]
}`;
  const path = join(await folder(t, { 'a.json': text }), 'a.json');

  const lines = (await report(path)).split('\n');

  assert.equal(lines[0], '3 faults');
  assert.match(lines[1] ?? '', /^ {2}2:20 {2}drain_timeout /);
  assert.match(lines[2] ?? '', /^ {2}3:3 {3}access_logs /);
  assert.match(lines[3] ?? '', /^ {2}4:42 {2}listeners\[0\]\.bind /);
});

test('texts that are no YAML or no JSON are faults with a place', async (t) => {
  const cases: [string, string, RegExp][] = [
    ['a.yaml', 'listeners: [\n  {', /^\d+ faults?\n {2}2:\d/],
    ['b.yaml', 'a: 1\na: 2\n', /2:1 .*unique/],
    ['c.yaml', 'a: &x [1]\nb: *y\n', /2:4/],
    ['a.json', '{ "a": 1,\n  "a": 2 }', /^1 fault\n {2}2:3 {2}a {3}the key "a" is written twice/],
    ['b.json', '{ "a": [1, }', /1:12 {2}a\[1\] {3}"}" stands where a value should be/],
    ['c.json', '{ "a": "x', /1:8 .*no closing quote/],
    ['d.json', '{} {}', /1:4 .*goes on after its end/],
    ['e.json', '[1,2', /1:5 .*the text ends where "," or "\]" should be/],
    ['f.json', `${'['.repeat(200)}${']'.repeat(200)}`, /nested deeper than 127/],
  ];
  const path = await folder(t, Object.fromEntries(cases.map(([name, text]) => [name, text])));
  for (const [name, text, wanted] of cases) {
    assert.match(await report(join(path, name)), wanted, `${name}: ${text.slice(0, 40)}`);
  }
});

test('a small text cannot become a huge value', async (t) => {
  const levels = Array.from({ length: 9 }, (_, i) => {
    const below = i === 0 ? 'x' : `*a${i - 1}`;
    return `a${i}: &a${i} [${Array(9).fill(below).join(', ')}]`;
  });
  const path = join(await folder(t, { 'bomb.yaml': `${LISTENERS}${levels.join('\n')}\n` }), 'bomb.yaml');

  assert.match(await report(path), /alias/i);
});

test('aliases, and paths through them, work', async (t) => {
  const text = `listeners:
  - &web { name: web, bind: 127.0.0.1:0, health: 3 }
  - { name: two, bind: 127.0.0.1:0, limits: &l { head: 1 } }
  - { name: three, bind: 127.0.0.1:0, limits: *l }
`;
  const path = join(await folder(t, { 'a.yaml': text }), 'a.yaml');

  const lines = (await report(path)).split('\n');

  assert.match(lines[1] ?? '', /^ {2}2:50 .*listeners\[0\]\.health/);
  assert.match(lines[2] ?? '', /^ {2}3:56 .*listeners\[[12]\]\.limits\.head/);
});

test('variables are filled in, take the type of their text, and are missed', async (t) => {
  const cases: [string, string, Env, unknown][] = [
    ['a.yaml', 'v: ${N}', { N: '4' }, 4],
    ['b.yaml', 'v: "${N}"', { N: '4' }, '4'],
    ['c.yaml', 'v: x-${N}-${M:-y}', { N: '4' }, 'x-4-y'],
    ['d.yaml', 'v: ${N:-true}', {}, true],
    ['e.yaml', 'v: "${N:-a}"', { N: '' }, 'a'],
    ['f.yaml', 'v: "a${N}b"', { N: '' }, 'ab'],
    ['g.yaml', 'v: $${N}', {}, '${N}'],
    ['h.yaml', "v: '/x/${1}/$a'", {}, '/x/${1}/$a'],
    ['i.json', '{ "v": "${N:-4}" }', {}, 4],
    ['j.json', '{ "v": "${N}" }', { N: '0x10' }, '0x10'],
    ['k.json', '{ "v": "${N}" }', { N: '${M}', M: 'no' }, '${M}'],
  ];
  const path = await folder(t, Object.fromEntries(cases.map(([name, text]) => [name, text])));
  for (const [name, text, env, wanted] of cases) {
    const { json, faults } = await loadFile(join(path, name), env);
    assert.deepEqual(JSON.parse(json), { v: wanted }, text);
    assert.deepEqual(faults, [], text);
  }
});

test('an unset variable is one fault, at its place', async (t) => {
  const text = `${LISTENERS}drain_timeout: \${PATIENCE}\nworkers: 0\n`;
  const path = join(await folder(t, { 'a.yaml': text }), 'a.yaml');

  const lines = (await report(path)).split('\n');

  assert.equal(lines[0], '2 faults');
  assert.match(lines[1] ?? '', /^ {2}2:16 {2}drain_timeout +the environment variable PATIENCE is not set/);
  assert.match(lines[2] ?? '', /^ {2}3:10 {2}workers /);
});

test('modules: TypeScript with imports, functions, and what goes wrong in them', async (t) => {
  const path = await folder(t, {
    'port.ts': 'export const port: number = 0;\n',
    'good.config.ts': `import { defineConfig } from 'ironsluice';
import { port } from './port.ts';
export default defineConfig({ listeners: [{ name: 'web', bind: \`127.0.0.1:\${port}\` }] });\n`,
    'function.mjs': `import { basename } from 'node:path';
export default async () => ({ listeners: [{ name: basename(import.meta.dirname) && 'web', bind: '127.0.0.1:0' }] });\n`,
    'fault.mjs': `export default { listeners: [{ name: 'web', bind: 'x' }] };\n`,
    'empty.mjs': 'export const a = 1;\n',
    'throws.mjs': `throw new Error('no luck');\n`,
    'syntax.ts': 'export default {\n  a: = 1 };\n',
    'cycle.mjs': 'const a = {}; a.a = a; export default a;\n',
  });
  const message = (name: string): Promise<string> =>
    loadFile(join(path, name)).then(
      () => '',
      (error: GateError) => error.message,
    );

  assert.equal(await report(join(path, 'good.config.ts')), '');
  assert.equal(await report(join(path, 'function.mjs')), '');
  assert.match(
    await report(join(path, 'fault.mjs')),
    /^1 fault\n {2}listeners\[0\]\.bind {3}"x" is not an address/,
  );
  assert.match(await message('empty.mjs'), /no default export/);
  assert.match(await message('throws.mjs'), /it failed: no luck/);
  assert.match(await message('syntax.ts'), /syntax\.ts: 2:6 /);
  assert.match(await message('cycle.mjs'), /circular/);
  assert.match(await message('gone.ts'), /there is no file/);
});

test('secrets are hidden, and nothing else', () => {
  const given = {
    password: 'a',
    apiKey: 'b',
    key: 'client_ip',
    cert: { key: 'a.key' },
    set: { Authorization: 'c', 'X-Api-Key': 'd', 'X-Version': '2' },
    add: [{ name: 'x', value: 'Bearer abc' }],
    redis: 'redis://user:pw@host:1/0',
    client_secret: ['x', { y: 1 }],
    token: '${TOKEN}',
    tokens: '${TOKEN:-hunter2}',
    proto: 'http://host/a@b',
  };
  const hidden = '[redacted]';
  assert.deepEqual(redact(given), {
    ...given,
    password: hidden,
    apiKey: hidden,
    set: { Authorization: hidden, 'X-Api-Key': hidden, 'X-Version': '2' },
    add: [{ name: 'x', value: hidden }],
    redis: `redis://${hidden}@host:1/0`,
    client_secret: [hidden, { y: hidden }],
    tokens: hidden,
  });
});
