/**
 * commands: `docs/reference/commands.md`, from the table of commands. Part of `npm run gen`; the page is committed.
 */
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

// The sources, so that nothing has to be compiled first.
const built = await build({
  entryPoints: [join(ROOT, 'ts/commands/reference.ts')],
  bundle: true,
  write: false,
  platform: 'node',
  format: 'esm',
});
const { reference } = await import(`data:text/javascript,${encodeURIComponent(built.outputFiles[0].text)}`);
writeFileSync(join(ROOT, 'docs/reference/commands.md'), reference());
