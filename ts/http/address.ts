/** address: IP addresses as the core takes them. */
import { isIP } from 'node:net';

/** 4 or 16 bytes, in network order; `undefined` for what is no address. A zone is left out. */
export function addressBytes(text: string): Uint8Array | undefined {
  const [address = ''] = text.split('%');
  const kind = isIP(address);
  if (kind === 0) return undefined;
  if (kind === 4) return Uint8Array.from(address.split('.').map(Number));
  // The last four bytes may be written as IPv4.
  const tail = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(address);
  const hex = (a = '0', b = '0'): string => ((Number(a) << 8) | Number(b)).toString(16);
  const plain = tail === null ? address : `${tail[1]}${hex(tail[2], tail[3])}:${hex(tail[4], tail[5])}`;
  const [left = '', right = ''] = plain.split('::');
  const groups = (part: string): number[] =>
    part === '' ? [] : part.split(':').map((group) => Number.parseInt(group, 16));
  const [before, after] = [groups(left), groups(right)];
  const all = [...before, ...Array<number>(8 - before.length - after.length).fill(0), ...after];
  return Uint8Array.from(all.flatMap((group) => [group >> 8, group & 255]));
}
