/**
 * scripts: the Lua scripts of the store, as they lie beside this file; each says its arguments and its reply.
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';

/** A script whose arguments and reply are integers; of one key, or of several in one hash slot. */
export interface Script {
  readonly lua: string;
  /** By what the server knows it once it has it: SHA-1, in hex. */
  readonly sha: string;
}

/** All scripts, by the names of their files without `.lua`. */
export function loadScripts(): ReadonlyMap<string, Script> {
  const folder = new URL('./', import.meta.url);
  const files = readdirSync(folder).filter((file) => file.endsWith('.lua'));
  const texts = new Map(
    files.map((file) => [file.slice(0, -'.lua'.length), readFileSync(new URL(file, folder), 'utf8')]),
  );
  const several = texts.get('several');
  if (several !== undefined) texts.set('several', `${functions(texts)}\n${several}`);
  return new Map(
    [...texts].map(([name, lua]) => [name, { lua, sha: createHash('sha1').update(lua).digest('hex') }]),
  );
}

/** What `several.lua` calls `scripts`: a server's script cannot call another. */
function functions(texts: ReadonlyMap<string, string>): string {
  const all = ALONE.map((name) => `function(KEYS, ARGV, redis)\n${texts.get(name)}\nend`);
  return `local scripts = {\n${all.join(',\n')}\n}`;
}

/** The scripts of one limit, in the order in which `several.lua` counts them. */
const ALONE = ['gcra', 'fixed_window', 'sliding_window', 'sliding_window_log'];
