/**
 * A proxy named on the command line: `--cmd 'NAME=COMMAND'`, run by the shell. In the command `{port}` is the port of
 * 127.0.0.1 to listen on, `{origin}` the origin's `address:port`, `{config}` a file with this gateway's configuration for the
 * scenario, `{cert}` and `{key}` the PEM files of a scenario with TLS, and `{dir}` a directory to write to.
 */

import { writeConfig } from './ironsluice.js';
import type { Peer } from './peer.js';

/** Reads one `--cmd` value. */
export function command(text: string): Peer {
  const at = text.indexOf('=');
  const name = text.slice(0, at);
  const template = text.slice(at + 1).trim();
  if (at < 1 || !/^[\w.-]+$/.test(name) || template === '') {
    throw new Error(`--cmd '${text}' is not NAME=COMMAND`);
  }
  return {
    name,
    version: async () => template,
    async prepare(setting) {
      const values: Record<string, string> = {
        port: String(setting.port),
        origin: setting.origin,
        dir: setting.dir,
        cert: setting.certificate?.cert ?? '',
        key: setting.certificate?.key ?? '',
        config: await writeConfig(setting),
      };
      const line = template.replace(/\{(\w+)\}/g, (whole, key: string) => values[key] ?? whole);
      return ['sh', '-c', `exec ${line}`];
    },
  };
}
