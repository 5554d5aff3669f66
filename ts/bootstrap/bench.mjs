/** bench: `npm run bench`, prepares with full optimisation and measures; words are handed on. */
import { join } from 'node:path';
import { must, prepare, ROOT } from './prepare.mjs';

prepare({ release: true });
must(process.execPath, [join(ROOT, 'dist/bench/load/main.js'), ...process.argv.slice(2)]);
