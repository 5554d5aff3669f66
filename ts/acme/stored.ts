/**
 * stored: what came from an ACME authority, on disk, for the next start.
 *
 * In `acme/HOST-HASH` of `state_dir`, one folder for each directory: `account-HASH.key` for each e-mail address, and
 * `DOMAIN/certificate.pem`, the certificate with its chain and then its key, in one file so that they always fit.
 * Folders have mode 0700, files 0600, and those that others may write to are refused.
 */
import { createHash, createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { own, put } from '../state.js';

/** A certificate that can be served. */
export interface Kept {
  /** With its chain, PEM. */
  readonly cert: string;
  /** Its key, PEM. */
  readonly key: string;
  /** When it begins, milliseconds since 1970. */
  readonly from: number;
  /** When it ends, milliseconds since 1970. */
  readonly until: number;
}

/** What is kept of one account at one authority. */
export class Stored {
  readonly #folder: string;
  readonly #account: string;
  #accountKey: Promise<string> | undefined;

  /**
   * @param stateDir `state_dir`.
   * @param directory the URL of the authority's directory.
   * @param email of the account.
   */
  constructor(stateDir: string, directory: string, email: string | undefined) {
    this.#folder = join(resolve(stateDir), 'acme', `${new URL(directory).hostname}-${hash(directory)}`);
    this.#account = join(this.#folder, `account-${hash(email ?? '')}.key`);
  }

  /**
   * The certificate of a domain, if there is one; it may have ended.
   *
   * @throws what the file system throws, and an error if what is there is no certificate for the domain.
   */
  async certificate(domain: string): Promise<Kept | undefined> {
    const text = await read(this.#certificateOf(domain));
    return text === undefined ? undefined : parse(text, domain);
  }

  /**
   * Keeps a certificate.
   *
   * @throws what the file system throws.
   */
  keep(domain: string, { cert, key }: Kept): Promise<void> {
    return put(this.#certificateOf(domain), cert + key);
  }

  /** The account's key, PEM; made at the first call, if there is none. */
  accountKey(): Promise<string> {
    this.#accountKey ??= this.#readOrMakeKey().catch((error: unknown) => {
      this.#accountKey = undefined; // it is tried again
      throw error;
    });
    return this.#accountKey;
  }

  async #readOrMakeKey(): Promise<string> {
    const there = await read(this.#account);
    if (there !== undefined) {
      createPrivateKey(there); // throws if it is none
      return there;
    }
    const key = newKey();
    await put(this.#account, key);
    return key;
  }

  #certificateOf(domain: string): string {
    return join(this.#folder, domain, 'certificate.pem');
  }
}

/** A fresh ECDSA key, P-256, PEM. */
export function newKey(): string {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}

async function read(path: string): Promise<string | undefined> {
  try {
    await own(dirname(path));
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/**
 * A certificate and its key, from one text in PEM.
 *
 * @throws an error if they do not belong together, or are not for the domain.
 */
export function parse(text: string, domain: string): Kept {
  const found = KEY.exec(text)?.[0];
  if (found === undefined) throw new Error('it has no private key');
  const cert = `${text.replace(KEY, '').trim()}\n`;
  const key = `${found}\n`;
  const first = new X509Certificate(cert);
  if (first.checkHost(domain) === undefined) throw new Error(`the certificate is not for ${domain}`);
  if (!first.checkPrivateKey(createPrivateKey(key))) throw new Error("the key is another certificate's");
  return { cert, key, from: Date.parse(first.validFrom), until: Date.parse(first.validTo) };
}

function hash(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 8);
}

const KEY = /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?-----END [A-Z ]*PRIVATE KEY-----/;
