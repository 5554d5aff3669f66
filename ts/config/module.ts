/**
 * module: configs that are programs, `ironsluice.config.ts` and `.mjs`.
 *
 * The file and what it imports become one ES module by esbuild, which is then imported, so that
 * TypeScript loads on every Node, and a reload sees changed files (an ES module is cached for ever by
 * its address, so each load has a new one). `ironsluice` means this package, wherever the file is.
 * The default export is the config, or a function (also async) that makes it.
 * Bounds: an async config has {@link PATIENCE_MS}. Errors: `config_invalid`.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { GateError } from '../errors.js';

/** The config that the module at `path` (absolute) exports. */
export async function loadModule(path: string): Promise<unknown> {
  const code = await bundle(path);
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

async function bundle(path: string): Promise<string> {
  const { build } = await import('esbuild');
  const self = new URL('../index.js', import.meta.url).href;
  try {
    const built = await build({
      entryPoints: [path],
      bundle: true,
      write: false,
      platform: 'node',
      format: 'esm',
      target: 'node20',
      sourcemap: 'inline',
      logLevel: 'silent',
      banner: { js: REQUIRE(path) },
      define: {
        'import.meta.url': JSON.stringify(pathToFileURL(path).href),
        'import.meta.filename': JSON.stringify(path),
        'import.meta.dirname': JSON.stringify(dirname(path)),
      },
      plugins: [
        {
          name: 'ironsluice',
          setup(step) {
            step.onResolve({ filter: /^ironsluice$/ }, () => ({ path: self, external: true }));
          },
        },
      ],
    });
    return built.outputFiles[0]?.text ?? '';
  } catch (error) {
    const [first] =
      (error as { errors?: { text: string; location?: { line: number; column: number } }[] }).errors ?? [];
    if (first === undefined) throw error;
    const where = first.location ? `${first.location.line}:${first.location.column + 1}  ` : '';
    throw invalid(path, `${where}${first.text}`, '', error);
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

function invalid(path: string, why: string, fix: string, cause?: unknown): GateError {
  return new GateError('config_invalid', `${basename(path)}: ${why}`, fix, { cause });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Packages in CommonJS call `require`, which a module does not have. */
const REQUIRE = (path: string) =>
  `import { createRequire as $require } from 'node:module'; const require = $require(${JSON.stringify(pathToFileURL(path).href)});`;
const PATIENCE_MS = 30_000;
