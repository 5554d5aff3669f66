/**
 * module: configs that are programs, `ironsluice.config.ts` and `.mjs`.
 *
 * The file is bundled (see bundle.ts) and then imported from an address of its own, so that a reload sees changed
 * files: an ES module is cached for ever by its address.
 * The default export is the config, or a function (also async) that makes it.
 * Bounds: an async config has {@link PATIENCE_MS}. Errors: `config_invalid`.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { GateError } from '../errors.js';
import { bundle, invalid } from './bundle.js';
import { Touched } from './touched.js';

/** The config that the module at `path` (absolute) exports; the files it was bundled from are added to `touched`. */
export async function loadModule(path: string, touched: Touched = new Touched()): Promise<unknown> {
  const code = await bundle(path, touched);
  // A directory of its own: mode 0700, and its address is new for every load.
  const folder = await mkdtemp(join(tmpdir(), 'ironsluice-'));
  try {
    const file = join(folder, 'config.mjs');
    await writeFile(file, code, { mode: 0o600 });
    const loaded = (await import(pathToFileURL(file).href)) as { default?: unknown };
    if (loaded.default === undefined) {
      throw invalid(path, 'it has no default export', 'export default defineConfig({ … })');
    }
    return typeof loaded.default === 'function'
      ? await inTime(path, loaded.default as () => unknown)
      : loaded.default;
  } catch (error) {
    if (error instanceof GateError) throw error;
    throw invalid(path, `it failed: ${messageOf(error)}`, '', error);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function inTime(path: string, make: () => unknown): Promise<unknown> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(invalid(path, `its function took more than ${PATIENCE_MS / 1000} s`, 'answer sooner')),
      PATIENCE_MS,
    );
  });
  try {
    return await Promise.race([make(), late]);
  } finally {
    clearTimeout(timer);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

const PATIENCE_MS = 30_000;
