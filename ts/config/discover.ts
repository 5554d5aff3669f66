/**
 * discover: which config file is meant when none, or one, is named.
 *
 * Order: `--config`, then `IRONSLUICE_CONFIG`, then the first of {@link NAMES} in the working directory.
 * Errors: `config_not_found`.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { GateError } from '../errors.js';
import type { Env } from './env.js';

/** The path of the config, as messages should call it. It is not opened here. */
export function discover(named: string | undefined, env: Env = process.env, folder = process.cwd()): string {
  if (named !== undefined) return named;
  const fromEnv = env[VARIABLE];
  if (fromEnv !== undefined && fromEnv !== '') return fromEnv;
  const found = NAMES.find((name) => existsSync(join(folder, name)));
  if (found !== undefined) return found;
  throw new GateError(
    'config_not_found',
    `no config was named, and ${folder} has none of ${NAMES.join(', ')}`,
    `begin one with "ironsluice init", or name yours: --config FILE, or ${VARIABLE}=FILE`,
  );
}

/** All that were named by `--config`, or the one that is found. */
export function discoverAll(named: readonly string[] | undefined): string[] {
  return named === undefined || named.length === 0 ? [discover(undefined)] : [...named];
}

/** Looked for in this order. */
export const NAMES = [
  'ironsluice.config.ts',
  'ironsluice.config.mjs',
  'ironsluice.yaml',
  'ironsluice.json',
] as const;
/** The environment variable that names a config. */
export const VARIABLE = 'IRONSLUICE_CONFIG';
