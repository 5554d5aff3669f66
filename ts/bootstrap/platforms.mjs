/**
 * platforms: `bindings/npm`, one folder for each machine of `bindings/platform.js` with what its package is
 * made of, except the addon itself. Part of `npm run gen`; the folders are committed.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { addonName, packageName, TARGETS } from '../../bindings/platform.js';

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const FOLDER = join(ROOT, 'bindings/npm');
const { engines, license, version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));

mkdirSync(FOLDER, { recursive: true });
for (const name of readdirSync(FOLDER)) {
  if (!Object.hasOwn(TARGETS, name)) rmSync(join(FOLDER, name), { recursive: true });
}
for (const [name, triple] of Object.entries(TARGETS)) {
  mkdirSync(join(FOLDER, name), { recursive: true });
  writeFileSync(join(FOLDER, name, 'package.json'), `${JSON.stringify(manifest(name), null, 2)}\n`);
  writeFileSync(join(FOLDER, name, 'README.md'), readme(name, triple));
}

function manifest(name) {
  const [os, cpu, abi] = name.split('-');
  return {
    name: packageName(name),
    version,
    description: `The native part of ironsluice for ${name}.`,
    license,
    os: [os],
    cpu: [cpu],
    // npm says glibc where Rust says gnu.
    ...(abi === undefined ? {} : { libc: [abi === 'gnu' ? 'glibc' : abi] }),
    engines,
    main: addonName(name),
    files: [addonName(name)],
    publishConfig: { access: 'public' },
  };
}

function readme(name, triple) {
  return `# ${packageName(name)}

The native part of \`ironsluice\` for \`${triple}\`. npm installs it along with that package on such a machine; there is
nothing in it to import.
`;
}
