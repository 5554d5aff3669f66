#!/usr/bin/env node
/**
 * main: the command line. It finds the command and says errors in words for people; the commands are in
 * `commands/`.
 *
 * Exit codes: {@link EXIT}.
 */
import { parseArgs } from 'node:util';
import { COMMANDS, EXIT, type Flags, help, OPTIONS, type Outcome } from './commands/command.js';
import { GateError, wrap } from './errors.js';

/** Runs one command line, without the first two words; resolves with the exit code. */
export async function run(words: readonly string[]): Promise<Outcome> {
  const { positionals, values } = parse(words);
  const [name, ...rest] = positionals;
  if (name === undefined || name === 'help' || values.help === true) {
    const topic = name === 'help' ? rest[0] : name;
    const unasked = name === undefined && values.help !== true;
    (unasked ? process.stderr : process.stdout).write(help(topic));
    return unasked ? EXIT.usage : EXIT.ok;
  }
  if (!Object.hasOwn(COMMANDS, name)) {
    throw new GateError(
      'usage',
      `there is no command ${JSON.stringify(name)}`,
      'ironsluice --help lists them',
    );
  }
  allow(name as keyof typeof COMMANDS, values, rest);
  // Each loads what it needs: `doctor` has to run where the native part does not load.
  switch (name as keyof typeof COMMANDS) {
    case 'init':
      return (await import('./commands/init.js')).init(rest[0], values);
    case 'start':
      return (await import('./commands/start.js')).start(values);
    case 'check':
      return (await import('./commands/check.js')).check(rest[0], values);
    case 'fmt':
      return (await import('./commands/fmt.js')).fmt(rest, values);
    case 'reload':
      return (await import('./commands/reload.js')).reload(values);
    case 'history':
      return (await import('./commands/history.js')).history(values);
    case 'rollback':
      return (await import('./commands/rollback.js')).rollback(rest[0], values);
    case 'completions':
      return (await import('./commands/completions.js')).completions(rest[0]);
    case 'doctor':
      return (await import('./commands/doctor.js')).doctor(values);
    case 'cert':
      return (await import('./commands/cert.js')).cert(rest[0], values);
    case 'key':
      return (await import('./commands/key.js')).key(rest[0], rest[1], values);
    case 'ledger':
      return (await import('./commands/ledger.js')).ledger(rest[0], rest[1], values);
    case 'import':
      return (await import('./commands/import.js')).importFrom(rest[0], rest[1], values);
    case 'version': {
      const { version } = await import('./native.js');
      process.stdout.write(`ironsluice ${version()}\n`);
      return EXIT.ok;
    }
  }
}

function parse(words: readonly string[]): { positionals: string[]; values: Flags } {
  try {
    return parseArgs({ args: [...words], options: OPTIONS, allowPositionals: true, strict: true });
  } catch (error) {
    const [sentence] = (error as Error).message.split('. ');
    throw new GateError('usage', sentence ?? 'the command line makes no sense', 'ironsluice --help');
  }
}

function allow(name: keyof typeof COMMANDS, values: Flags, rest: string[]): void {
  const { flags, files } = COMMANDS[name];
  const wrong = Object.keys(values).find((flag) => !(flags as readonly string[]).includes(flag));
  if (wrong !== undefined) {
    throw new GateError('usage', `${name} takes no --${wrong}`, `ironsluice ${name} --help`);
  }
  if (rest.length > files) {
    throw new GateError(
      'usage',
      `${name} takes no ${JSON.stringify(rest[files])}`,
      `ironsluice ${name} --help`,
    );
  }
}

/** A command that holds the process open, as `start` does, gives no code: it ends by itself. */
async function main(): Promise<void> {
  try {
    process.exitCode = await run(process.argv.slice(2));
  } catch (error) {
    const gate = wrap(error);
    const text = gate.code === 'config_invalid' ? gate.message : `ironsluice: ${gate.message}`;
    process.stderr.write(`${text}\n`);
    if (gate.code === 'internal') {
      process.stderr.write(
        `This is a bug in ironsluice, not in your config. Please report it.\n${gate.cause instanceof Error ? gate.cause.stack : ''}\n`,
      );
    }
    process.exitCode = exitCode(gate);
  }
}

function exitCode({ code }: GateError): Outcome {
  if (code === 'usage') return EXIT.usage;
  return code.startsWith('config_') || code === 'reload_refused' ? EXIT.config : EXIT.failed;
}

await main();
