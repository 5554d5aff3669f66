/** The certificate of a run with TLS: ECDSA P-256, vouched for by itself; made anew for each run and never kept. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Certificate } from './peers/peer.js';
import { run } from './process.js';

/** Makes one in `dir`, which is the caller's to remove. */
export async function makeCertificate(dir: string): Promise<Certificate> {
  const file = (name: string) => join(dir, name);
  const at = { host: HOST, cert: file('cert.pem'), key: file('key.pem'), both: file('both.pem') };
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', at.key];
  const names = ['-subj', `/CN=${HOST}`, '-addext', `subjectAltName=DNS:${HOST}`];
  await run('openssl', ['req', '-x509', ...key, '-sha256', '-days', '2', ...names, '-out', at.cert]);
  const parts = await Promise.all([at.cert, at.key].map((file) => readFile(file, 'utf8')));
  await writeFile(at.both, parts.join(''), { mode: 0o600 });
  return at;
}

/** What the client asks for: see `bench/tools/src/channel.rs`. */
const HOST = 'bench.test';
