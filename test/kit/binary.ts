/**
 * binary: the command line as a process of its own; ended when the test ends.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { until } from './until.js';

/** What a command that ended left. */
export interface Ended {
  /** The exit code, or 128 + the number of the signal. */
  code: number;
  stdout: string;
  stderr: string;
}

/** A command that runs. */
export interface Running {
  readonly child: ChildProcess;
  readonly stdout: string;
  readonly stderr: string;
  /** Resolves with a line of standard error, parsed, whose `msg` is `message`. */
  logged(message: string): Promise<Record<string, unknown>>;
  /** Resolves with the first match in standard output. */
  printed(pattern: RegExp): Promise<RegExpExecArray>;
  /** Resolves when it has ended. */
  ended(): Promise<Ended>;
}

/** Where and with what a command runs; the environment is added to that of the test. */
export interface Place {
  cwd?: string;
  env?: Record<string, string>;
  /** True for a command that starts others, such as npx: when the test ends, all of them are ended. */
  isGroup?: boolean;
}

/** `dist/main.js`, as users run it. */
export const MAIN = fileURLToPath(new URL('../../main.js', import.meta.url));

/** A directory of its own with these files; removed when the test ends. */
export async function folder(t: TestContext, files: Record<string, string> = {}): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'ironsluice-test-'));
  t.after(() => rm(path, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(files)) await writeFile(join(path, name), text);
  return path;
}

/** Runs `ironsluice words` to its end. */
export function ironsluice(t: TestContext, words: string[], place: Place = {}): Promise<Ended> {
  return launch(t, words, place).ended();
}

/** Starts `ironsluice words`. */
export function launch(t: TestContext, words: string[], place: Place = {}): Running {
  return command(t, process.execPath, [MAIN, ...words], place);
}

/** Starts any command. */
export function command(t: TestContext, file: string, words: string[], place: Place = {}): Running {
  const { cwd, env, isGroup = false } = place;
  const { IRONSLUICE_CONFIG: _, ...rest } = process.env;
  const child = spawn(file, words, { cwd, env: { ...rest, ...env }, detached: isGroup });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const exit = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>;
  let isOver = false;
  void exit.then(() => {
    isOver = true;
  });
  t.after(async () => {
    if (isGroup) endGroup(child);
    else child.kill('SIGKILL');
    await exit;
  });
  const find = (message: string): Record<string, unknown> | undefined =>
    stderr
      .split('\n')
      .filter((line) => line.startsWith('{') && line.endsWith('}'))
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .find(({ msg }) => msg === message);
  return {
    child,
    get stdout() {
      return stdout;
    },
    get stderr() {
      return stderr;
    },
    async logged(message) {
      await until(
        () => find(message) !== undefined || isOver,
        `the log line "${message}"; there is:\n${stderr}`,
        20_000,
      );
      const line = find(message);
      if (line === undefined)
        throw new Error(`it ended without the log line "${message}":\n${stdout}${stderr}`);
      return line;
    },
    async printed(pattern) {
      await until(
        () => pattern.test(stdout) || isOver,
        `${pattern} in standard output; there is:\n${stdout}${stderr}`,
        20_000,
      );
      const match = pattern.exec(stdout);
      if (match === null) throw new Error(`it ended without printing ${pattern}:\n${stdout}${stderr}`);
      return match;
    },
    async ended() {
      const [code, signal] = await exit;
      return { code: code ?? (signal === null ? -1 : 128), stdout, stderr };
    },
  };
}

function endGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // All of it has ended.
  }
}
