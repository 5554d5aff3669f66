/**
 * key: `ironsluice key new`, a random key for the filter `api_key`, and `ironsluice key basic NAME`, a random password for the filter
 * `basic_auth`; each with the line that lets it in.
 *
 * A key is `PREFIX_RANDOM`: 43 random letters and digits hold 256 bits, so its SHA-256 gives nobody a way back to it. A password has 22
 * of them, 130 bits, and a salt beside it.
 * Errors: `usage`.
 */
import { createHash, randomBytes, randomInt } from 'node:crypto';
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

/** A login that was just made. */
interface NewLogin {
  name: string;
  /** For its owner only. */
  password: string;
  /** What the config takes. */
  user: string;
}

/** Makes a key or a login and prints it. */
export async function key(
  what: string | undefined,
  consumer: string | undefined,
  flags: Flags,
): Promise<Outcome> {
  const print = (made: object, text: string): Outcome => {
    process.stdout.write(flags.json === true ? `${JSON.stringify(made, null, 2)}\n` : text);
    return EXIT.ok;
  };
  if (what !== 'new' && what !== 'basic') {
    throw new GateError('usage', 'key does two things: new and basic', 'write ironsluice key new');
  }
  if (consumer !== undefined && !/^[!-~]{1,128}$/.test(consumer)) {
    const why = `${JSON.stringify(consumer)} is no consumer`;
    throw new GateError('usage', why, 'use 1 to 128 printable ASCII characters without spaces');
  }
  if (what === 'basic') {
    const login = loginOf(consumer, flags);
    return print(login, wordsOf(login));
  }
  if (flags.prefix !== undefined && !/^[A-Za-z0-9_-]{1,64}$/.test(flags.prefix)) {
    const why = `${JSON.stringify(flags.prefix)} is no prefix`;
    throw new GateError('usage', why, 'use 1 to 64 letters, digits, _ or -');
  }
  const made = make(flags.prefix ?? `key_${random(8)}`, consumer);
  return print(made, words(made));
}

function loginOf(name: string | undefined, flags: Flags): NewLogin {
  if (name === undefined || name.includes(':')) {
    const why = name === undefined ? 'key basic wants a name' : `${JSON.stringify(name)} has a colon`;
    throw new GateError('usage', why, 'write ironsluice key basic NAME, a name without a colon');
  }
  if (flags.prefix !== undefined) {
    throw new GateError('usage', 'a login has no prefix', 'leave --prefix out');
  }
  const password = random(22);
  const salt = randomBytes(16);
  const hash = createHash('sha256').update(password).update(salt).digest();
  return { name, password, user: `${name}:{SSHA256}${Buffer.concat([hash, salt]).toString('base64')}` };
}

function wordsOf({ name, password, user }: NewLogin): string {
  return `name      ${name}
password  ${password}

It is shown this once: give it to its owner. For the config, under users of the filter basic_auth:

  - ${JSON.stringify(user)}
`;
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
