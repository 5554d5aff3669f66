/** build: `npm run build`, prepares only; `--release` builds the addon with full optimisation. */
import { prepare } from './prepare.mjs';

prepare({ release: process.argv.includes('--release') });
