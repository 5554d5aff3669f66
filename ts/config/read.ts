/**
 * read: the text of a config file.
 *
 * Errors: `config_not_found`, `config_unreadable`. Bounds: {@link MAX_BYTES} a file.
 */
import { open } from 'node:fs/promises';
import { GateError } from '../errors.js';

/** The text at `source` (absolute), which messages call `label`; without a byte order mark. */
export async function read(source: string, label: string): Promise<string> {
  try {
    const file = await open(source, 'r');
    try {
      const { size } = await file.stat();
      if (size > MAX_BYTES) {
        throw new GateError(
          'config_unreadable',
          `${label} has ${size} bytes`,
          `at most ${MAX_BYTES} are read`,
        );
      }
      const text = await file.readFile('utf8');
      return text.startsWith('\uFEFF') ? text.slice(1) : text;
    } finally {
      await file.close();
    }
  } catch (error) {
    if (error instanceof GateError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') {
      throw new GateError('config_not_found', `there is no file ${label}`, 'check the path', {
        cause: error,
      });
    }
    const why =
      code === 'EISDIR' ? 'it is a directory' : code === 'EACCES' ? 'permission denied' : String(code);
    throw new GateError('config_unreadable', `${label} cannot be read: ${why}`, '', { cause: error });
  }
}

/** 64 MiB: four hundred thousand routes. */
export const MAX_BYTES = 64 * 1024 * 1024;
