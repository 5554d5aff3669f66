/** This gateway: its binary as a user runs it (Node around the Rust addon), one shard. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { commit } from '../machine.js';
import { ROOT } from '../process.js';
import { NEVER_REFUSED, type Peer, type Setting } from './peer.js';

export const ironsluice: Peer = {
  name: 'ironsluice',
  version: commit,
  async prepare(setting) {
    const file = await writeConfig(setting);
    return [process.execPath, join(ROOT, 'dist/main.js'), 'start', '--config', file];
  },
};

/** Writes the gateway's configuration for a setting and returns the file's path. */
export async function writeConfig({ dir, port, origin, feature }: Setting): Promise<string> {
  const rate = `${NEVER_REFUSED}/s`;
  const limit = { use: 'rate_limit', rate, burst: NEVER_REFUSED, key: 'client_ip' };
  const config = {
    admin: { bind: '127.0.0.1:0' },
    state_dir: join(dir, 'state'),
    workers: 1,
    listeners: [{ name: 'web', bind: `127.0.0.1:${port}` }],
    upstreams: [{ name: 'origin', endpoints: [origin] }],
    routes: [
      {
        name: 'all',
        match: { path: '/*' },
        ...(feature === 'limit' ? { filters: [limit] } : {}),
        to: 'origin',
      },
    ],
  };
  const file = join(dir, 'ironsluice.json');
  await writeFile(file, JSON.stringify(config, null, 2));
  return file;
}
