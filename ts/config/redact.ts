/**
 * redact: a config as people and the admin API may see it.
 *
 * Hidden are values under names that mean a secret, header values that carry credentials, and the user
 * part of URLs. The input is not changed.
 */

/** A copy of `value` in which secrets are {@link HIDDEN}. */
export function redact(value: unknown): unknown {
  return walk(value, false);
}

function walk(value: unknown, secret: boolean): unknown {
  if (Array.isArray(value)) return value.map((item) => walk(item, secret));
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [key, walk(item, secret || isSecret(key))]),
    );
  }
  if (typeof value === 'string') return redactText(value, secret);
  return secret && value !== null && typeof value !== 'boolean' ? HIDDEN : value;
}

function redactText(text: string, secret: boolean): string {
  if (VARIABLE.test(text)) return text; // the name of a variable is no secret
  if (secret || CREDENTIALS.test(text)) return HIDDEN;
  return text.replace(USER_PART, `$1${HIDDEN}@`);
}

/** Names are compared without case, `-` and `_`. `key` and `token_bucket` alone mean no secret. */
function isSecret(key: string): boolean {
  const name = key.toLowerCase().replace(/[-_]/g, '');
  return NAMES.has(name) || ENDINGS.test(name);
}

/** What stands for a secret. */
export const HIDDEN = '[redacted]';
const NAMES: ReadonlySet<string> = new Set([
  'authorization',
  'proxyauthorization',
  'cookie',
  'setcookie',
  'pin',
  'salt',
  'pepper',
]);
const ENDINGS =
  /(?:password|passwd|passphrase|secret|secrets|token|tokens|apikey|apikeys|privatekey|credential|credentials|signingkey|accesskey|jwt)$/;
const CREDENTIALS = /^(?:bearer|basic|digest|token|apikey)\s+\S|-----BEGIN [A-Z ]*PRIVATE KEY/i;
const USER_PART = /\b([a-z][a-z0-9+.-]*:\/\/)[^\s/@]+@/gi;
/** A value that is one variable without a default. */
const VARIABLE = /^\$\{[A-Za-z_][A-Za-z0-9_]*\}$/;
