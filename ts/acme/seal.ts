/**
 * seal: what is shared of certificates, encrypted and proved by a secret that all gateways have.
 *
 * AES-256-GCM, its key by scrypt of the secret. What was sealed under one name does not open under another, so nobody who writes to the
 * store can exchange two values.
 * Source: NIST SP 800-38D; RFC 7914. Bounds: a nonce is random, so 2^32 values for one secret are too many.
 */
import { createCipheriv, createDecipheriv, createHash, randomBytes, scryptSync } from 'node:crypto';

/** Seals and opens. */
export class Seal {
  /** Differs between secrets and says nothing of them: what is sealed by another is not looked for. */
  readonly id: string;
  readonly #key: Buffer;

  /** Takes a tenth of a second: a secret that is a word is not to be guessed fast. */
  constructor(secret: string) {
    const derived = scryptSync(secret, 'ironsluice acme share', 64, {
      N: 1 << 15,
      r: 8,
      p: 1,
      maxmem: 64 << 20,
    });
    this.#key = derived.subarray(0, 32);
    this.id = createHash('sha256').update(derived.subarray(32)).digest('hex').slice(0, 16);
  }

  /** Seals a text under a name. */
  seal(name: string, text: string): Buffer {
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv('aes-256-gcm', this.#key, nonce).setAAD(Buffer.from(name));
    const body = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
    return Buffer.concat([FORM, nonce, cipher.getAuthTag(), body]);
  }

  /** @throws an error for what was not sealed under this name, with this secret. */
  open(name: string, sealed: Buffer): string {
    if (sealed.length < BODY_AT || sealed[0] !== FORM[0]) throw new Error('it is of another form');
    const nonce = sealed.subarray(1, TAG_AT);
    const decipher = createDecipheriv('aes-256-gcm', this.#key, nonce, { authTagLength: TAG_BYTES });
    decipher.setAAD(Buffer.from(name)).setAuthTag(sealed.subarray(TAG_AT, BODY_AT));
    try {
      return Buffer.concat([decipher.update(sealed.subarray(BODY_AT)), decipher.final()]).toString('utf8');
    } catch {
      throw new Error('it was changed, or is not by a gateway with this secret');
    }
  }
}

const FORM = Buffer.of(1);
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const TAG_AT = 1 + NONCE_BYTES;
const BODY_AT = TAG_AT + TAG_BYTES;
