/**
 * reference: the page `docs/reference/commands.md`, from the tables of command.ts.
 */
import { COMMANDS, EXIT, FLAGS } from './command.js';

/** The page. */
export function reference(): string {
  const sections = Object.entries(COMMANDS).map(([name, { usage, what, more, flags }]) => {
    const options = flags.map((flag) => {
      const [, spelled = '', says = ''] = /^(.*?) {2,}(.*)$/.exec(FLAGS[flag]) ?? [];
      return `| \`${spelled}\` | ${says.replaceAll('|', '\\|')} |`;
    });
    const table = options.length === 0 ? [] : ['', '| option | |', '|---|---|', ...options];
    return [
      `## ${name}`,
      '',
      '```text',
      `ironsluice ${usage}`,
      '```',
      '',
      `${what} ${more}`.trim(),
      ...table,
    ].join('\n');
  });
  return `${[HEAD, ...sections].join('\n\n')}\n`;
}

const HEAD = `# Commands

Written by \`npm run gen\` from the table in \`ts/commands/command.ts\`.

Exit codes: ${EXIT.ok} well, ${EXIT.config} the config is at fault, ${EXIT.usage} the command line is, ${EXIT.failed} the gateway cannot start or be reached. \`--help\` works with all.`;
