/**
 * platform: what this machine is called in the names of addon files and packages, as napi-rs has it, and
 * for which machines there is a package.
 */
import { readFileSync } from 'node:fs';

/**
 * The machines that have a package, `@ironsluice/NAME`, and what `rustc --target` calls each. The folders of
 * `bindings/npm` are made from this list (`npm run gen`).
 */
export const TARGETS = {
  'darwin-arm64': 'aarch64-apple-darwin',
  'darwin-x64': 'x86_64-apple-darwin',
  'linux-arm64-gnu': 'aarch64-unknown-linux-gnu',
  'linux-arm64-musl': 'aarch64-unknown-linux-musl',
  'linux-x64-gnu': 'x86_64-unknown-linux-gnu',
  'linux-x64-musl': 'x86_64-unknown-linux-musl',
};

/** The scope of the packages that hold an addon, and nothing else. */
export const SCOPE = '@ironsluice';

/** `ironsluice.linux-x64-gnu.node`, by default for the running process. */
export function addonName(name = target()) {
  return `ironsluice.${name}.node`;
}

/** `@ironsluice/linux-x64-gnu`, by default for the running process. */
export function packageName(name = target()) {
  return `${SCOPE}/${name}`;
}

/** `linux-x64-gnu`, `darwin-arm64`, … */
export function target() {
  const { arch, platform } = process;
  const abi = platform === 'linux' ? `-${libc()}` : platform === 'win32' ? '-msvc' : '';
  return `${platform}-${arch}${abi}`;
}

/** `gnu` or `musl`; Node was linked against one, and an addon must be too. */
export function libc() {
  if (process.platform !== 'linux') return 'none';
  const maps = mapped();
  if (maps !== undefined) return libcIn(maps);
  return process.report.getReport().header.glibcVersionRuntime === undefined ? 'musl' : 'gnu';
}

/** The same from the text of `/proc/PID/maps`, which names the dynamic loader. */
export function libcIn(maps) {
  return /\/ld-musl-[^/]*$/m.test(maps) ? 'musl' : 'gnu';
}

/** What is asked first: on Node 20 `process.report` looks up the names of all open sockets' peers. */
function mapped() {
  try {
    return readFileSync('/proc/self/maps', 'latin1');
  } catch {
    return undefined; // no /proc in this container
  }
}
