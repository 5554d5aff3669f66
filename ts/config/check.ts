/**
 * check: the core's judgement of a config that was read.
 */
import { check, type Settings } from '../native.js';
import type { Loaded } from './load.js';

/**
 * What the config says to this layer.
 *
 * @throws ConfigError with all faults, of the core and of unset variables.
 */
export function judge(loaded: Loaded): Settings {
  const { faults, settings } = check(loaded.json);
  if (settings === undefined || faults.length > 0 || loaded.unset.length > 0) throw loaded.error(faults);
  return settings;
}
