/**
 * acme: an authority, and gateways that order certificates of it.
 */
import assert from 'node:assert/strict';
import type { X509Certificate } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { connect } from 'node:tls';
import { folder, launch, type Running } from './binary.js';
import { type Certificate, certificate } from './certificate.js';
import { freePorts, type Pebble, pebble } from './pebble.js';

/** An authority, and a place for a gateway that it knows. */
export interface Site {
  own: Certificate;
  authority: Pebble;
  cwd: string;
  tls: number;
  http: number;
  admin: number;
}

/** Starts an authority that comes to one place, or nowhere if that is closed. */
export async function site(
  t: TestContext,
  more: { validity?: number; closed?: boolean } = {},
): Promise<Site> {
  const own = await certificate(t);
  const [tls = 0, http = 0, admin = 0, closed = 0] = await freePorts(4);
  const ports = more.closed ? { tlsPort: closed, httpPort: closed } : { tlsPort: tls, httpPort: http };
  const { validity } = more;
  const authority = await pebble(t, {
    certificate: own,
    ...ports,
    ...(validity === undefined ? {} : { validity }),
  });
  return { own, authority, cwd: await folder(t), tls, http, admin };
}

/** Another place, to which the authority does not come. */
export async function elsewhere(t: TestContext, at: Site): Promise<Site> {
  const [tls = 0, http = 0, admin = 0] = await freePorts(3);
  return { ...at, cwd: await folder(t), tls, http, admin };
}

/** The config of a gateway at this place; `more` is of `acme`, `top` is before all. */
export function config(
  { own, authority, tls, http, admin }: Site,
  domains: string,
  more = '',
  door = 'door: edge',
  top = '',
): string {
  const { directory } = authority;
  return `${top}state_dir: state
admin: { bind: "127.0.0.1:${admin}" }
listeners:
  - { name: plain, bind: "127.0.0.1:${http}", ${door} }
  - name: web
    bind: "127.0.0.1:${tls}"
    ${door.replace(', ', '\n    ')}
    tls:
      acme: { domains: [${domains}], terms: accepted, email: ops@a.example, directory: "${directory}", ca: ${own.ca}${more} }
routes: [{ name: all, match: { path: /* }, filters: [{ use: respond, body: routed }] }]
`;
}

/** Starts a gateway at this place. */
export async function started(t: TestContext, at: Site, text: string): Promise<Running> {
  await writeFile(join(at.cwd, 'a.yaml'), text);
  const words = ['start', '--config', 'a.yaml', '--log-format', 'json'];
  const running = launch(t, words, { cwd: at.cwd });
  await running.logged('listening');
  return running;
}

/** The certificate that a client gets who asks for `name`, verified if there is a root; rejects if it gets none. */
export function shown(port: number, name: string | undefined, root?: string): Promise<X509Certificate> {
  return new Promise((resolve, reject) => {
    const trust = root === undefined ? { rejectUnauthorized: false } : { ca: root };
    const socket = connect({ host: '127.0.0.1', port, ...(name ? { servername: name } : {}), ...trust });
    socket.setTimeout(5_000, () => socket.destroy(new Error('no handshake')));
    socket.on('error', reject);
    socket.on('secureConnect', () => {
      const seen = socket.getPeerX509Certificate();
      socket.destroy();
      if (seen === undefined) reject(new Error('no certificate'));
      else resolve(seen);
    });
  });
}

/** Samples of a metric, as they are told. */
export async function metric({ admin }: Site, name: string): Promise<string[]> {
  const text = await (await fetch(`http://127.0.0.1:${admin}/metrics`)).text();
  return text.split('\n').filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
}

/** Ends a gateway as users do. */
export async function stopped(running: Running): Promise<void> {
  running.child.kill('SIGTERM');
  assert.equal((await running.ended()).code, 0);
}

/** How often a message was logged. */
export function times(running: Running, message: string): number {
  return running.stderr.split(JSON.stringify(message)).length - 1;
}
