/** HAProxy: one thread, `http-reuse always`, no log. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { firstLine } from '../process.js';
import { NEVER_REFUSED, type Peer, type Setting } from './peer.js';

export const haproxy: Peer = {
  name: 'haproxy',
  version: () => firstLine('haproxy', ['-v'], /version (\S+)/i),
  library: () => firstLine('haproxy', ['-vv'], /Running on \w+ version : (\w+ [\d.]+\w*)/),
  async prepare(setting) {
    const file = join(setting.dir, 'haproxy.cfg');
    await writeFile(file, config(setting));
    return ['haproxy', '-db', '-f', file];
  },
};

function config({ port, origin, feature, certificate }: Setting): string {
  // The table counts over 10 s, so the bound is ten times the rate.
  const limit = `stick-table type ip size 100k expire 60s store http_req_rate(10s)
  http-request track-sc0 src
  http-request deny deny_status 429 if { sc_http_req_rate(0) gt ${NEVER_REFUSED * 10} }`;
  const http2 = feature === 'http2';
  const alpn = http2 ? 'h2' : 'http/1.1';
  const only = `ssl-min-ver TLSv1.3 ssl-max-ver TLSv1.3 curves X25519:P-256 alpn ${alpn}`;
  const tls = certificate ? ` ssl crt ${certificate.both} ${only}` : '';
  return `global
  nbthread 1
  maxconn 9000
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout http-keep-alive 60s
  http-reuse always
  option forwardfor
frontend web
  bind 127.0.0.1:${port}${http2 && !certificate ? ' proto h2' : ''} backlog 4096${tls}
  ${feature === 'limit' ? limit : ''}
  default_backend origin
backend origin
  server origin ${origin}
`;
}
