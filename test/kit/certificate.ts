/**
 * certificate: certificates for localhost, made as a test runs; removed when it ends.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { folder, ironsluice } from './binary.js';

/** A certificate for localhost and the authority that vouches for it. */
export interface Certificate {
  /** The folder of state that it lies in, for `XDG_STATE_HOME`. */
  readonly state: string;
  /** Path of the authority's certificate. */
  readonly ca: string;
  /** The certificate with its chain, PEM. */
  readonly cert: string;
  /** Its key, PEM. */
  readonly key: string;
}

/** One by an authority of its own, as `ironsluice cert dev` makes it. */
export async function certificate(t: TestContext): Promise<Certificate> {
  const state = await folder(t);
  const done = await ironsluice(t, ['cert', 'dev', '--json'], { env: { XDG_STATE_HOME: state } });
  assert.equal(done.code, 0, done.stderr);
  const { ca, cert, key, isNew } = JSON.parse(done.stdout);
  assert.equal(isNew, true);
  assert.equal(cert, join(state, 'ironsluice/dev/localhost.pem'));
  return { state, ca, cert: await readFile(cert, 'utf8'), key: await readFile(key, 'utf8') };
}
