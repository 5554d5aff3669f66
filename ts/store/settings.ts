/**
 * settings: what a config says of its store, with the files that it names.
 *
 * Errors: `config_invalid` for a file that cannot be read.
 */
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { folderOf, type Loaded } from '../config/load.js';
import { GateError } from '../errors.js';
import type { Settings } from '../native.js';
import type { RedisSettings } from './address.js';

/** Where the store of this config is; `undefined` for the memory of this process. */
export async function storeOf(
  loaded: Pick<Loaded, 'source'>,
  { store }: Settings,
): Promise<RedisSettings | undefined> {
  if (store === undefined) return undefined;
  const { tls, ...rest } = store;
  if (tls === undefined) return rest;
  const pem = async (key: string, path: string | undefined): Promise<string | undefined> => {
    if (path === undefined) return undefined;
    try {
      return await readFile(resolve(folderOf(loaded), path), 'utf8');
    } catch (error) {
      const why = `store.tls.${key}: cannot read ${path}: ${(error as Error).message}`;
      throw new GateError('config_invalid', why, 'write the path of a PEM file that this process may read');
    }
  };
  const [ca, cert, key] = await Promise.all([
    pem('ca', tls.ca),
    pem('client_cert', tls.cert),
    pem('client_key', tls.key),
  ]);
  return {
    ...rest,
    tls: {
      ...(ca !== undefined && { ca }),
      ...(cert !== undefined && { cert }),
      ...(key !== undefined && { key }),
      ...(tls.serverName !== undefined && { serverName: tls.serverName }),
    },
  };
}
