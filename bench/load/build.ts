/** Builds what is measured (the full release build) and what measures it. */
import { spawn } from 'node:child_process';
import { join, resolve } from 'node:path';
import { ROOT } from './process.js';

/** The path of a program of `bench/tools`. */
export function tool(name: 'floor' | 'idle' | 'load' | 'origin'): string {
  const target = process.env.CARGO_TARGET_DIR ?? 'target';
  return join(resolve(ROOT, target), 'release', name);
}

/** Builds `bench/tools`. */
export function buildTools(): Promise<void> {
  return visibly('cargo', ['build', '--release', '-p', 'bench-tools']);
}

/** Builds the gateway as it is published: fat link-time optimisation, one codegen unit. */
export function buildRelease(): Promise<void> {
  return visibly('npm', ['run', 'build:release']);
}

function visibly(file: string, args: string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { cwd: ROOT, stdio: ['ignore', 'inherit', 'inherit'] });
    child.once('error', reject);
    child.once('close', (code) => {
      if (code === 0) resolve();
      else reject(new Error(`${file} ${args.join(' ')} ended with ${code}`));
    });
  });
}
