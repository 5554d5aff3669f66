/**
 * platform: what this machine is called in the name of an addon file, as napi-rs has it.
 */
import { readFileSync } from 'node:fs';

/** `ironsluice.linux-x64-gnu.node` for the running process. */
export function addonName() {
  return `ironsluice.${target()}.node`;
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
  // Not `process.report`: on Node 20 it looks up the names of all open sockets' peers.
  return readFileSync('/proc/self/maps', 'latin1').includes('/ld-musl-') ? 'musl' : 'gnu';
}
