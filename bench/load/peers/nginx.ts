/** nginx: one worker, upstream keep-alive, no log; request bodies are streamed, not collected. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { firstLine } from '../process.js';
import { NEVER_REFUSED, type Peer, type Setting } from './peer.js';

export const nginx: Peer = {
  name: 'nginx',
  version: () => firstLine('nginx', ['-v'], /nginx\/(\S+)/),
  library: () => firstLine('nginx', ['-V'], /(?:built|running) with (\w+ [\d.]+\w*)(?!.* with)/),
  async prepare(setting) {
    const file = join(setting.dir, 'nginx.conf');
    await writeFile(file, config(setting));
    return ['nginx', '-p', setting.dir, '-e', join(setting.dir, 'error.log'), '-c', file];
  },
};

function config({ dir, port, origin, feature, certificate }: Setting): string {
  const isSocket = feature === 'websocket';
  // Without this a master started by root runs its workers as a user who cannot read `dir`.
  const user = process.getuid?.() === 0 ? 'user root;' : '';
  const zone = `limit_req_zone $binary_remote_addr zone=clients:10m rate=${NEVER_REFUSED}r/s;`;
  const limit = `limit_req zone=clients burst=${NEVER_REFUSED} nodelay;`;
  const tls =
    certificate &&
    `ssl_certificate ${certificate.cert};
    ssl_certificate_key ${certificate.key};
    ssl_protocols TLSv1.3;
    ssl_ecdh_curve X25519:prime256v1;`;
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  return `${user}
daemon off;
worker_processes 1;
pid ${dir}/nginx.pid;
error_log ${dir}/error.log error;
events { worker_connections 16384; }
http {
  access_log off;
  ${temporary.map((name) => `${name}_temp_path ${dir}/${name};`).join('\n  ')}
  keepalive_timeout 75s;
  keepalive_requests 1000000000;
  client_max_body_size 0;
  ${feature === 'limit' ? zone : ''}
  ${isSocket ? 'map $http_upgrade $upgrading { default upgrade; "" ""; }' : ''}
  upstream origin {
    server ${origin.startsWith('/') ? `unix:${origin}` : origin};
    keepalive 128;
    keepalive_requests 1000000000;
  }
  server {
    listen 127.0.0.1:${port}${tls ? ' ssl' : ''}${feature === 'http2' ? ' http2' : ''} reuseport backlog=4096;
    ${tls ?? ''}
    location / {
      ${feature === 'limit' ? limit : ''}
      proxy_pass http://origin;
      proxy_http_version 1.1;
      proxy_request_buffering off;
      proxy_set_header Connection ${isSocket ? '$upgrading' : '""'};
      ${isSocket ? 'proxy_set_header Upgrade $http_upgrade;' : ''}
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    }
  }
}
`;
}
