/**
 * test: `npm test`, prepares, installs what tests need (`--no-parts`: does not), and runs all checks.
 * Other words are handed to the runner.
 */
import { join } from 'node:path';
import { must, prepare, ROOT, say } from './prepare.mjs';

const words = process.argv.slice(2);
if (!words.includes('--no-parts')) {
  say('parts that tests need (test/kit/parts.sh) …');
  must('sh', [join(ROOT, 'test/kit/parts.sh')]);
}
prepare();
must(process.execPath, [join(ROOT, 'dist/test/run.js'), ...words.filter((word) => word !== '--no-parts')]);
