/** soak: `npm run soak`, prepares and puts the gateway under load and trouble for ten minutes; `-- --secs N` for less or more. */
import { join } from 'node:path';
import { must, prepare, ROOT } from './prepare.mjs';

prepare();
must(process.execPath, [join(ROOT, 'dist/bench/soak/main.js'), ...process.argv.slice(2)]);
