/**
 * soak: `npm run soak`, prepares and puts the gateway under load and trouble for ten minutes (`-- --secs N` for less or more);
 * then workers of an app die in each of six ways, 40 times each.
 */
import { join } from 'node:path';
import { must, prepare, ROOT } from './prepare.mjs';

prepare();
must(process.execPath, [join(ROOT, 'dist/bench/soak/main.js'), ...process.argv.slice(2)]);
must(process.execPath, ['--test', join(ROOT, 'dist/test/app/deaths.test.js')], {
  env: { ...process.env, DEATHS_OF_EACH: '40' },
});
