/**
 * command: what the command line takes, in one table, from which the help, the reference and the completions of shells are made.
 */

/** What the process ends with. */
export const EXIT = {
  /** All went well. */
  ok: 0,
  /** The config is missing or at fault, or the running gateway refused it. */
  config: 1,
  /** The command line makes no sense. */
  usage: 2,
  /** The gateway cannot start or cannot be reached. */
  failed: 3,
} as const;

/** One of {@link EXIT}, or `undefined` from a command that goes on. */
export type Outcome = (typeof EXIT)[keyof typeof EXIT] | undefined;

/** Options of all commands, as `node:util` parses them. */
export const OPTIONS = {
  config: { type: 'string', short: 'c', multiple: true },
  'state-dir': { type: 'string' },
  'log-level': { type: 'string' },
  'log-format': { type: 'string' },
  admin: { type: 'string' },
  prefix: { type: 'string' },
  watch: { type: 'boolean', short: 'w' },
  check: { type: 'boolean' },
  json: { type: 'boolean' },
  force: { type: 'boolean', short: 'f' },
  output: { type: 'string', short: 'o' },
  help: { type: 'boolean', short: 'h' },
} as const;

/** Options as they were given. */
export interface Flags {
  config?: string[] | undefined;
  'state-dir'?: string | undefined;
  'log-level'?: string | undefined;
  'log-format'?: string | undefined;
  admin?: string | undefined;
  prefix?: string | undefined;
  watch?: boolean | undefined;
  check?: boolean | undefined;
  json?: boolean | undefined;
  force?: boolean | undefined;
  output?: string | undefined;
  help?: boolean | undefined;
}

/** One command. */
interface Command {
  usage: string;
  /** How many words may follow its name. */
  files: number;
  /** What the first of them is: one of these, or the path of a file. */
  operand?: readonly string[] | 'file';
  flags: readonly (keyof typeof OPTIONS)[];
  what: string;
  more: string;
}

/** The commands: words after the name, the options each takes, and what it does. */
export const COMMANDS = {
  init: {
    usage: 'init [--force] [FILE]',
    files: 1,
    operand: 'file',
    flags: ['force'],
    what: 'Writes a config to begin with, ironsluice.yaml or FILE; it passes check and start runs it.',
    more: 'A file that is there stays, unless --force says otherwise.',
  },
  start: {
    usage: 'start [--watch] [--config FILE]',
    files: 0,
    flags: ['config', 'watch', 'state-dir', 'log-level', 'log-format'],
    what: 'Runs a gateway until SIGTERM or Ctrl-C; then requests in flight are finished.',
    more: '--watch reloads when a file of the config changes. SIGHUP reloads the config, SIGUSR1 opens log files anew. A second Ctrl-C stops at once.',
  },
  check: {
    usage: 'check [FILE]',
    files: 1,
    operand: 'file',
    flags: ['config', 'json'],
    what: 'Judges a config: all faults at once, with line, column and what to do. Exit 1 if there are any.',
    more: '--json prints the faults as a list of { file, line, column, path, onKey, why, fix }.',
  },
  fmt: {
    usage: 'fmt [--check] [FILE...]',
    files: 1000,
    operand: 'file',
    flags: ['check'],
    what: 'Writes configs in one style; comments stay. --check writes nothing and exits with 1 if one differs.',
    more: 'Without FILE it is the config that is found and all it includes; - is standard input, YAML, to standard output.',
  },
  reload: {
    usage: 'reload [--config FILE]',
    files: 0,
    flags: ['config', 'admin'],
    what: 'Makes the running gateway read its config again; a bad one changes nothing.',
    more: 'The gateway is reached at admin.bind of the config, or at --admin IP:PORT.',
  },
  history: {
    usage: 'history [--config FILE]',
    files: 0,
    flags: ['config', 'state-dir', 'json'],
    what: 'Lists the configs that were published and are kept in state_dir: number, time, how and by whom, what changed.',
    more: '* is the one that a rollback left for the next start.',
  },
  rollback: {
    usage: 'rollback N [--config FILE]',
    files: 1,
    flags: ['config', 'state-dir', 'admin'],
    what: 'Publishes number N of the history again: by the running gateway, or at the next start if none runs.',
    more: 'It holds over restarts until the config is reloaded or one of its files changes.',
  },
  doctor: {
    usage: 'doctor',
    files: 0,
    flags: ['json'],
    what: 'Says what this machine gives a gateway, and which server runs the admin listener. Exit 3 if none can run.',
    more: 'IRONSLUICE_SERVER=uws or node chooses the server.',
  },
  cert: {
    usage: 'cert dev',
    files: 1,
    operand: ['dev'],
    flags: ['json'],
    what: "Makes this machine's certificate for https://localhost, which tls: dev serves, and says how to trust it.",
    more: 'It is kept in $XDG_STATE_HOME/ironsluice/dev (~/.local/state/ironsluice/dev). What is there stays.',
  },
  key: {
    usage: 'key new|basic [NAME]',
    files: 2,
    operand: ['new'],
    flags: ['prefix', 'json'],
    what: 'Makes a random key for the filter api_key, or password for basic_auth: that for its owner, and the line with its hash for the config.',
    more: 'It is printed once and kept nowhere. NAME is whose it is.',
  },
  ledger: {
    usage: 'ledger check|sum [FOLDER]',
    files: 2,
    operand: ['check', 'sum'],
    flags: ['json'],
    what: 'Reads the ledger of quotas: check says what is missing or there twice, sum what each consumer used. Exit 1 if something is.',
    more: 'FOLDER is state_dir/ledger of the gateway (default: state/ledger), which may run.',
  },
  completions: {
    usage: 'completions bash|zsh|fish',
    files: 1,
    operand: ['bash', 'zsh', 'fish'],
    flags: [],
    what: 'Prints what completes this command line in a shell.',
    more: 'bash: source <(ironsluice completions bash). zsh: the same, after compinit. fish: ironsluice completions fish | source.',
  },
  import: {
    usage: 'import nginx FILE',
    files: 2,
    operand: ['nginx'],
    flags: ['output', 'force', 'json'],
    what: 'Writes the config of an nginx as one of this gateway, and says what it could not carry over. Exit 1 if something.',
    more: 'Files that FILE includes are read too. --json prints what is said as { notes, faults }.',
  },
  version: { usage: 'version', files: 0, flags: [], what: 'Prints the version.', more: '' },
} as const satisfies Record<string, Command>;

/** The text of `--help`, for one command or for all. */
export function help(topic: string | undefined): string {
  if (topic !== undefined && Object.hasOwn(COMMANDS, topic)) {
    const { usage, what, more, flags } = COMMANDS[topic as keyof typeof COMMANDS];
    const options = [...flags, 'help' as const].map((flag) => `  ${FLAGS[flag]}`);
    return `${[`Usage: ironsluice ${usage}`, '', what, ...(more === '' ? [] : [more]), '', 'Options:', ...options, '', CODES].join('\n')}\n`;
  }
  const width = Math.max(...Object.values(COMMANDS).map(({ usage }) => usage.length));
  const lines = Object.values(COMMANDS).map(({ usage, what }) => `  ${usage.padEnd(width)}  ${what}`);
  return `${['Usage: ironsluice COMMAND [OPTIONS]', '', ...lines, '', DISCOVERY, CODES, 'ironsluice COMMAND --help says more.'].join('\n')}\n`;
}

/** The options, as `--help` has them. */
export const FLAGS: Record<keyof typeof OPTIONS, string> = {
  config:
    '-c, --config FILE     YAML, JSON, or a TypeScript or JavaScript module; several times for several files',
  'state-dir':
    '--state-dir FOLDER    the state_dir of a FILE that is gone (default: state); or IRONSLUICE_STATE_DIR',
  'log-level': '--log-level LEVEL     trace, debug, info (the default), warn, error, fatal or silent',
  'log-format': '--log-format FORMAT   json or text; the default is text on a terminal, else json',
  admin: '--admin IP:PORT       the admin listener of the running gateway',
  prefix:
    '--prefix PREFIX       what the key begins with, before its last _ (default: key_ and 8 random signs)',
  watch: '-w, --watch           reload when a file of the config changes',
  check: '--check               write nothing',
  force: '-f, --force           overwrite the file',
  output: '-o, --output FILE     write there, not to standard output',
  json: '--json                print for programs',
  help: '-h, --help            this text',
};
const DISCOVERY = `Without --config: $IRONSLUICE_CONFIG, then ironsluice.config.ts, ironsluice.config.mjs,
ironsluice.yaml, ironsluice.json in the working directory.
`;
const CODES = 'Exit codes: 0 well, 1 the config is at fault, 2 the command line is, 3 cannot start or reach.';
