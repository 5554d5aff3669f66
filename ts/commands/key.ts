/**
 * key: `ironsluice key new`, a random key for the filter `api_key` and the line that lets it in.
 *
 * A key is `PREFIX_RANDOM`: 43 random letters and digits hold 256 bits, so its SHA-256 gives nobody a way back to it.
 * Errors: `usage`.
 */
import { createHash, randomInt } from 'node:crypto';
import { GateError } from '../errors.js';
import { EXIT, type Flags, type Outcome } from './command.js';

/** A key that was just made. */
interface NewKey {
  /** For its owner only. */
  key: string;
  /** What the config takes. */
  prefix: string;
  hash: string;
  consumer?: string;
}

/** Makes a key and prints it. */
export async function key(
  what: string | undefined,
  consumer: string | undefined,
  flags: Flags,
): Promise<Outcome> {
  if (what !== 'new') {
    throw new GateError('usage', 'key does one thing: new', 'write ironsluice key new');
  }
  if (consumer !== undefined && !/^[!-~]{1,128}$/.test(consumer)) {
    const why = `${JSON.stringify(consumer)} is no consumer`;
    throw new GateError('usage', why, 'use 1 to 128 printable ASCII characters without spaces');
  }
  if (flags.prefix !== undefined && !/^[A-Za-z0-9_-]{1,64}$/.test(flags.prefix)) {
    const why = `${JSON.stringify(flags.prefix)} is no prefix`;
    throw new GateError('usage', why, 'use 1 to 64 letters, digits, _ or -');
  }
  const made = make(flags.prefix ?? `key_${random(8)}`, consumer);
  process.stdout.write(flags.json === true ? `${JSON.stringify(made, null, 2)}\n` : words(made));
  return EXIT.ok;
}

function make(prefix: string, consumer: string | undefined): NewKey {
  const whole = `${prefix}_${random(43)}`;
  const hash = createHash('sha256').update(whole).digest('hex');
  return { key: whole, prefix, hash, ...(consumer === undefined ? {} : { consumer }) };
}

function random(length: number): string {
  return Array.from({ length }, () => SIGNS.charAt(randomInt(SIGNS.length))).join('');
}

function words({ key, prefix, hash, consumer }: NewKey): string {
  return `key  ${key}

It is shown this once: give it to its owner. For the config, under keys of the filter api_key:

  - { prefix: ${JSON.stringify(prefix)}, consumer: ${JSON.stringify(consumer ?? 'NAME')}, hash: ${JSON.stringify(hash)} }
`;
}

const SIGNS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
