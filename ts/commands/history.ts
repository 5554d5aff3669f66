/**
 * history: `ironsluice history`, the configs that were published and are kept, the newest first.
 *
 * It reads `state_dir`, so it needs no gateway that runs.
 */
import type { Entry } from '../history.js';
import { EXIT, type Flags, type Outcome } from './command.js';
import { find, historyOf } from './kept.js';

/** Prints the list. */
export async function history(flags: Flags): Promise<Outcome> {
  const found = await find(flags);
  const kept = await historyOf(found, flags);
  const entries = (await kept?.list()) ?? [];
  const pinned = await kept?.pinned(found.touched);
  if (flags.json === true) {
    const rows = entries.map((entry) => ({ ...entry, rolledBack: entry.number === pinned }));
    process.stdout.write(`${JSON.stringify(rows, null, 2)}\n`);
  } else process.stdout.write(entries.length === 0 ? NONE : table(entries, pinned));
  return EXIT.ok;
}

function table(entries: readonly Entry[], pinned: number | undefined): string {
  const width = Math.max(...entries.map(({ by }) => by.length));
  const digits = String(entries[0]?.number ?? '').length;
  const lines = entries.map(({ number, at, by, changes }) => {
    const when = at.replace('T', ' ').replace(/\.\d+Z$/, ' UTC');
    return `${number === pinned ? '*' : ' '} ${String(number).padStart(digits)}  ${when}  ${by.padEnd(width)}  ${changes}\n`;
  });
  return lines.join('') + (pinned === undefined ? '' : PINNED);
}

const NONE = 'Nothing is kept. A gateway keeps what it publishes if its config has state_dir.\n';
const PINNED = '* a start runs this one, for as long as the files of the config stay as they are\n';
