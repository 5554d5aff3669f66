/**
 * completions: `ironsluice completions bash|zsh|fish`, what completes this command line in a shell.
 *
 * All is made from the tables of command.ts, so a new command or option is completed at once. The scripts call nothing of
 * this program.
 */
import { GateError } from '../errors.js';
import { LEVELS } from '../log.js';
import { COMMANDS, EXIT, FLAGS, OPTIONS, type Outcome } from './command.js';

/** Prints the script for `shell`. */
export async function completions(shell: string | undefined): Promise<Outcome> {
  const script = shell !== undefined && Object.hasOwn(SHELLS, shell) ? SHELLS[shell] : undefined;
  if (script === undefined) {
    const known = Object.keys(SHELLS).join(', ');
    throw new GateError('usage', `completions are there for ${known}`, 'ironsluice completions --help');
  }
  process.stdout.write(script());
  return EXIT.ok;
}

/** A command as a shell completes it. */
interface Completed {
  name: string;
  what: string;
  /** Words that may come first, or `file`. */
  operand: readonly string[] | 'file' | undefined;
  flags: Option[];
}

/** An option as a shell completes it. */
interface Option {
  long: string;
  short: string | undefined;
  what: string;
  /** Its values: these, a path, or none that could be known; `undefined` if it takes none. */
  values: readonly string[] | 'file' | 'folder' | 'any' | undefined;
}

function table(): Completed[] {
  const commands = Object.entries(COMMANDS).map(([name, command]) => ({
    name,
    what: sentence(command.what),
    operand: 'operand' in command ? command.operand : undefined,
    flags: [...command.flags, 'help' as const].map(option),
  }));
  const names = commands.map(({ name }) => name);
  return [
    ...commands,
    { name: 'help', what: 'Says more about a command.', operand: names, flags: [option('help')] },
  ];
}

function option(long: keyof typeof OPTIONS): Option {
  const described = OPTIONS[long];
  return {
    long,
    short: 'short' in described ? described.short : undefined,
    what: sentence(FLAGS[long].replace(/^.*? {2,}/, '')),
    values: described.type === 'boolean' ? undefined : (VALUES[long] ?? 'any'),
  };
}

function bash(): string {
  const commands = table();
  const cases = commands.map(
    ({ name, operand, flags }) => `    ${name})
      options='${flags.flatMap(spelled).join(' ')}'
      operands='${Array.isArray(operand) ? operand.join(' ') : ''}'
      files=${operand === 'file' ? 1 : 0}
      ;;`,
  );
  const values = all(commands).flatMap(({ values, ...flag }) => {
    if (values === undefined) return [];
    const match = spelled(flag).join('|');
    if (values === 'file') return [`    ${match}) _ironsluice_paths -f "$current" ;;`];
    if (values === 'folder') return [`    ${match}) _ironsluice_paths -d "$current" ;;`];
    const words = values === 'any' ? '' : values.join(' ');
    return [`    ${match}) COMPREPLY=($(compgen -W '${words}' -- "$current")) ;;`];
  });
  return `# Completions of ironsluice for bash: source <(ironsluice completions bash)
_ironsluice_paths() {
  compopt -o filenames 2>/dev/null
  local line
  COMPREPLY=()
  while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen "$1" -- "$2")
}
_ironsluice() {
  local current=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD-1]} command= operand=0 i word
  local options= operands= files=0
  COMPREPLY=()
  # "--option=value" comes as three words.
  if [[ $current == = ]]; then current=; else [[ $before == = ]] && before=\${COMP_WORDS[COMP_CWORD-2]}; fi
  case $before in
${values.join('\n')}
    *) false ;;
  esac && return
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    case $word in
      ${all(commands)
        .filter(({ values }) => values !== undefined)
        .flatMap(spelled)
        .join('|')}) i=$((i + 1)) ;;
      -*) ;;
      *) if [[ -z $command ]]; then command=$word; else operand=$((operand + 1)); fi ;;
    esac
  done
  case $command in
    '')
      options='--help -h'
      operands='${commands.map(({ name }) => name).join(' ')}'
      ;;
${cases.join('\n')}
  esac
  if [[ $current == -* ]]; then
    COMPREPLY=($(compgen -W "$options" -- "$current"))
  elif [[ $files == 1 ]]; then
    _ironsluice_paths -f "$current"
  elif [[ $operand == 0 ]]; then
    COMPREPLY=($(compgen -W "$operands" -- "$current"))
  fi
}
complete -F _ironsluice ironsluice
`;
}

function zsh(): string {
  const commands = table();
  const cases = commands.map(({ name, operand, flags }) => {
    const specs = flags.flatMap((flag) => {
      const action = flag.values === undefined ? '' : `:${flag.long}:${zshAction(flag.values)}`;
      const repeats = flag.long === 'config' ? '*' : '';
      return spelled(flag).map((word) => quoted(`${repeats}${word}[${bracketed(flag.what)}]${action}`));
    });
    if (operand === 'file') specs.push(quoted('*:file:_files'));
    else if (operand !== undefined) specs.push(quoted(`1:what:(${operand.join(' ')})`));
    return `    ${name}) _arguments ${specs.join(' ')} ;;`;
  });
  const described = commands.map(({ name, what }) => `    ${quoted(`${name}:${what}`)}`);
  return `#compdef ironsluice
# Completions of ironsluice for zsh: source <(ironsluice completions zsh), or a file _ironsluice in $fpath.
_ironsluice() {
  local -a commands
  commands=(
${described.join('\n')}
  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  local command=\${words[2]}
  shift words
  (( CURRENT-- ))
  case $command in
${cases.join('\n')}
  esac
}
if [[ $funcstack[1] == _ironsluice ]]; then _ironsluice "$@"; else compdef _ironsluice ironsluice; fi
`;
}

function zshAction(values: NonNullable<Option['values']>): string {
  if (values === 'file') return '_files';
  if (values === 'folder') return '_files -/';
  return values === 'any' ? ' ' : `(${values.join(' ')})`;
}

function fish(): string {
  const commands = table();
  const names = commands.map(({ name }) => name).join(' ');
  const lines = commands.flatMap(({ name, what, operand, flags }) => {
    const here = `complete -c ironsluice -n '__fish_seen_subcommand_from ${name}'`;
    const first = `complete -c ironsluice -n '__fish_use_subcommand'`;
    const operands =
      operand === 'file'
        ? [`${here} -F`]
        : operand === undefined
          ? []
          : [`${here} -a '${operand.join(' ')}'`];
    return [
      `${first} -a ${name} -d ${quoted(what)}`,
      ...operands,
      ...flags.map((flag) => {
        const short = flag.short === undefined ? '' : ` -s ${flag.short}`;
        return `${here} -l ${flag.long}${short}${fishValues(flag.values)} -d ${quoted(flag.what)}`;
      }),
    ];
  });
  return `# Completions of ironsluice for fish: ironsluice completions fish | source
# The commands: ${names}
complete -c ironsluice -f
${lines.join('\n')}
`;
}

function fishValues(values: Option['values']): string {
  if (values === undefined) return '';
  if (values === 'file') return ' -r -F';
  if (values === 'folder') return " -x -a '(__fish_complete_directories)'";
  return values === 'any' ? ' -x' : ` -x -a '${values.join(' ')}'`;
}

/** Each option once, whatever takes it. */
function all(commands: readonly Completed[]): Option[] {
  const known = new Map(commands.flatMap(({ flags }) => flags.map((flag) => [flag.long, flag] as const)));
  return [...known.values()];
}

function spelled({ long, short }: Pick<Option, 'long' | 'short'>): string[] {
  return [`--${long}`, ...(short === undefined ? [] : [`-${short}`])];
}

/** The first sentence: a menu has room for no more. */
function sentence(text: string): string {
  return (/^.*?(?:[.;:](?= )|\.$|$)/.exec(text)?.[0] ?? text).replace(/[.;:]$/, '');
}

/** In single quotes; all three shells read it the same if it has none inside. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", '’')}'`;
}

function bracketed(text: string): string {
  return text.replaceAll('[', '(').replaceAll(']', ')').replaceAll(':', '\\:');
}

const VALUES: Partial<Record<keyof typeof OPTIONS, Option['values']>> = {
  config: 'file',
  'state-dir': 'folder',
  'log-level': LEVELS,
  'log-format': ['json', 'text'],
};
const SHELLS: Record<string, () => string> = { bash, zsh, fish };
