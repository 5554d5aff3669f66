/**
 * scripts: the Lua scripts of the store, as they lie beside this file; each says its arguments and its reply.
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';

/** A script of one key, whose arguments and reply are integers. */
export interface Script {
  readonly lua: string;
  /** By what the server knows it once it has it: SHA-1, in hex. */
  readonly sha: string;
}

/** All scripts, by the names of their files without `.lua`. */
export function loadScripts(): ReadonlyMap<string, Script> {
  const folder = new URL('./', import.meta.url);
  const files = readdirSync(folder).filter((file) => file.endsWith('.lua'));
  return new Map(
    files.map((file) => {
      const lua = readFileSync(new URL(file, folder), 'utf8');
      return [file.slice(0, -'.lua'.length), { lua, sha: createHash('sha1').update(lua).digest('hex') }];
    }),
  );
}
