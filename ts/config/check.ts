/**
 * check: the core's judgement of a config that was read.
 */
import { check, type Settings } from '../native.js';
import { folderOf, type Loaded } from './load.js';

/**
 * What the config says to this layer. A certificate that has ended is a fault if `isStrict`; a start takes it, for an
 * old one is better than none.
 *
 * @throws ConfigError with all faults, of the core and of reading.
 */
export function judge(loaded: Loaded, isStrict = false): Settings {
  const { faults, settings } = check(loaded.json, folderOf(loaded), isStrict);
  if (settings === undefined || faults.length > 0 || loaded.faults.length > 0) throw loaded.error(faults);
  return settings;
}
