/**
 * What is made from the table of commands: completions, sourced in a real bash, and the reference.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { COMMANDS, OPTIONS } from '../ts/commands/command.js';
import { reference } from '../ts/commands/reference.js';
import { folder, ironsluice } from './kit/binary.js';

test('bash completes commands, options, their values and files', async (t) => {
  const cwd = await folder(t, { 'one file.yaml': '', 'two.yaml': '' });
  await mkdir(join(cwd, 'state'));
  const { stdout: script } = await ironsluice(t, ['completions', 'bash']);
  // As readline calls it: COMP_WORDS are split at "=" too.
  const complete = (...words: string[]): string[] => {
    const asked = `source /dev/stdin <<'SCRIPT'\n${script}\nSCRIPT
      COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
      $(complete -p ironsluice | sed 's/.*-F \\([^ ]*\\) .*/\\1/')
      printf '%s\\n' "\${COMPREPLY[@]}"`;
    const said = execFileSync('bash', ['--norc', '-uc', asked, 'bash', 'ironsluice', ...words], {
      cwd,
      encoding: 'utf8',
    });
    return said.split('\n').filter((line) => line !== '');
  };
  const cases: [string[], string[]][] = [
    [[''], [...Object.keys(COMMANDS), 'help']],
    [['st'], ['start']],
    [['c'], ['check', 'cert', 'completions']],
    [['-'], ['--help', '-h']],
    [['start', '--w'], ['--watch']],
    [
      ['fmt', '--'],
      ['--check', '--help'],
    ],
    [['version', '--'], ['--help']],
    [['start', '--log-level', 'd'], ['debug']],
    [['start', '--log-level', '=', 'd'], ['debug']],
    [
      ['start', '--log-format', '='],
      ['json', 'text'],
    ],
    [['start', '--watch', '--config', 'one'], ['one file.yaml']],
    [['start', '-c', 'tw'], ['two.yaml']],
    [['start', '--state-dir', ''], ['state']],
    [['check', 't'], ['two.yaml']],
    [['fmt', 'two.yaml', 'o'], ['one file.yaml']],
    [['key', ''], ['new']],
    [['key', 'new', ''], []],
    [['reload', '--admin', ''], []],
    [['completions', 'z'], ['zsh']],
    [['help', 'roll'], ['rollback']],
    [['nothing', ''], []],
  ];
  for (const [words, wanted] of cases) assert.deepEqual(complete(...words), wanted, words.join(' '));
});

test('each script has every command and every option, and no shell is made up', async (t) => {
  for (const shell of ['bash', 'zsh', 'fish']) {
    const { code, stdout } = await ironsluice(t, ['completions', shell]);
    assert.equal(code, 0);
    const spelled = shell === 'fish' ? (name: string) => `-l ${name}` : (name: string) => `--${name}`;
    for (const name of Object.keys(COMMANDS)) assert.match(stdout, new RegExp(`\\b${name}\\b`), shell);
    for (const name of Object.keys(OPTIONS)) assert.ok(stdout.includes(spelled(name)), `${shell}: ${name}`);
  }
  for (const words of [['completions'], ['completions', 'tcsh'], ['completions', 'constructor']]) {
    const { code, stderr } = await ironsluice(t, words);
    assert.equal(code, 2);
    assert.match(stderr, /completions are there for bash, zsh, fish/);
  }
});

test('the reference of commands is what their table says', async () => {
  const page = await readFile(new URL('../../docs/reference/commands.md', import.meta.url), 'utf8');
  assert.equal(page, reference(), 'npm run gen');
});
