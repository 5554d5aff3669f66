/**
 * curl: requests as its users make them, by the program itself.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** What curl got, at the end of all redirections that it followed. */
export interface Curled {
  status: number;
  /** By their names in small letters; several of one name joined by a comma. */
  headers: Record<string, string>;
  body: string;
}

/** Runs curl with these words; fails if it fails. */
export async function curl(...words: string[]): Promise<Curled> {
  const { stdout } = await run('curl', ['-sS', '-i', '--max-time', '10', ...words]);
  let rest = stdout;
  let head = '';
  // Each redirection that was followed, and each 100, has a head of its own.
  while (rest.startsWith('HTTP/')) {
    const end = rest.indexOf('\r\n\r\n');
    head = rest.slice(0, end);
    rest = rest.slice(end + 4);
  }
  const headers: Record<string, string> = {};
  for (const line of head.split('\r\n').slice(1)) {
    const at = line.indexOf(':');
    const name = line.slice(0, at).toLowerCase();
    const value = line.slice(at + 1).trim();
    headers[name] = headers[name] === undefined ? value : `${headers[name]}, ${value}`;
  }
  return { status: Number(head.split(' ')[1]), headers, body: rest };
}
