/** Where and of what a measurement was taken. */
import { cpus, release, totalmem } from 'node:os';
import { ROOT, run } from './process.js';

/** A machine, in the words of a result file. */
export interface Machine {
  cpu: string;
  cores: number;
  memory_gib: number;
  kernel: string;
  node: string;
}

/** This machine. */
export function machine(): Machine {
  const all = cpus();
  return {
    cpu: all[0]?.model.trim() || 'unknown',
    cores: all.length,
    memory_gib: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
  };
}

/** The commit of the working tree, with `-dirty` when files differ from it. Results do not count as a difference. */
export async function commit(): Promise<string> {
  try {
    const { stdout } = await run('git', ['rev-parse', '--short', 'HEAD'], { cwd: ROOT });
    const changed = ['status', '--porcelain', '--', '.', ':!bench/results'];
    const status = await run('git', changed, { cwd: ROOT });
    return stdout.trim() + (status.stdout === '' ? '' : '-dirty');
  } catch {
    return 'no commit';
  }
}
