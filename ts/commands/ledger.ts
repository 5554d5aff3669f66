/**
 * ledger: `ironsluice ledger check` says what a ledger misses, `ironsluice ledger sum` what consumers used.
 *
 * Errors: `usage`.
 */
import { GateError } from '../errors.js';
import { type Checked, check, type Sum } from '../ledger/check.js';
import { EXIT, type Flags, type Outcome } from './command.js';

/** Reads the ledger in `folder` and prints what was asked for. */
export async function ledger(
  what: string | undefined,
  folder = 'state/ledger',
  flags: Flags = {},
): Promise<Outcome> {
  if (what !== 'check' && what !== 'sum') {
    throw new GateError(
      'usage',
      'ledger does two things: check and sum',
      `write ironsluice ledger check ${folder}`,
    );
  }
  const checked = await check(folder);
  if (checked.files === 0) {
    throw new GateError(
      'usage',
      `there is no ledger in ${folder}`,
      'name the directory: it is state_dir/ledger',
    );
  }
  const { sums, ...rest } = checked;
  const told = what === 'sum' ? sums : rest;
  if (flags.json === true) process.stdout.write(`${JSON.stringify(told, null, 2)}\n`);
  else process.stdout.write(what === 'sum' ? table(sums) : words(rest));
  return checked.findings.length === 0 ? EXIT.ok : EXIT.config;
}

function words({ files, entries, findings, unended }: Omit<Checked, 'sums'>): string {
  const said = findings.map(({ kind, file, what }) => `${kind}: ${file}: ${what}`);
  const open = unended.map(
    (start) => `note: ${start} has no end: it runs, or was killed and lost what was used in its last second`,
  );
  const result = findings.length === 0 ? 'nothing is missing or there twice' : `${findings.length} findings`;
  return `${[...said, ...open, `${files} files, ${entries} entries: ${result}`].join('\n')}\n`;
}

function table(sums: readonly Sum[]): string {
  const rows = sums.map(({ quota, unit, consumer = '(lost)', window = '-', charges, units }) => [
    quota,
    consumer,
    window,
    `${units}`,
    unit,
    `${charges}`,
  ]);
  const all = [['QUOTA', 'CONSUMER', 'WINDOW', 'UNITS', 'UNIT', 'CHARGES'], ...rows];
  const widths = all[0]?.map((_, at) => Math.max(...all.map((row) => row[at]?.length ?? 0))) ?? [];
  const line = (row: string[]): string =>
    row
      .map((cell, at) => cell.padEnd(widths[at] ?? 0))
      .join('  ')
      .trimEnd();
  return `${all.map(line).join('\n')}\n`;
}
