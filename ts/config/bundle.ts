/**
 * bundle: a module of the user's, TypeScript or JavaScript, and all it imports as one ES module.
 *
 * esbuild does it, so that TypeScript loads on every Node. `ironsluice` and `ironsluice/parts` mean this
 * package, wherever the file is. Source maps are inline: stacks name the user's files. Errors: `config_invalid`, with line and column.
 */
import { basename, dirname, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { GateError } from '../errors.js';
import { Touched } from './touched.js';

/**
 * The text of one ES module for the file at `path` (absolute). The files it was made of are added to `touched`, but not those
 * of packages; if it fails, the file itself.
 */
export async function bundle(path: string, touched: Touched = new Touched()): Promise<string> {
  await touched.note(path);
  const { build } = await import('esbuild');
  try {
    const built = await build({
      entryPoints: [path],
      bundle: true,
      write: false,
      metafile: true,
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
            step.onResolve({ filter: /^ironsluice(\/|$)/ }, ({ path }) => {
              const self = OWN[path];
              return self === undefined ? undefined : { path: self, external: true };
            });
          },
        },
      ],
    });
    for (const input of Object.keys(built.metafile.inputs)) {
      if (!PACKAGES.test(input)) await touched.note(resolve(input));
    }
    return built.outputFiles[0]?.text ?? '';
  } catch (error) {
    const [first] =
      (error as { errors?: { text: string; location?: { line: number; column: number } }[] }).errors ?? [];
    if (first === undefined) throw error;
    const where = first.location ? `${first.location.line}:${first.location.column + 1}  ` : '';
    throw invalid(path, `${where}${first.text}`, '', error);
  }
}

/** A fault of the module itself. */
export function invalid(path: string, why: string, fix: string, cause?: unknown): GateError {
  return new GateError('config_invalid', `${basename(path)}: ${why}`, fix, { cause });
}

/** What may be imported of this package: never a copy of it. */
const OWN: Record<string, string> = {
  ironsluice: new URL('../index.js', import.meta.url).href,
  'ironsluice/parts': new URL('../parts.js', import.meta.url).href,
};
const PACKAGES = /(?:^|\/)node_modules\//;
/** Packages in CommonJS call `require`, which a module does not have. */
const REQUIRE = (path: string) =>
  `import { createRequire as $require } from 'node:module'; const require = $require(${JSON.stringify(pathToFileURL(path).href)});`;
