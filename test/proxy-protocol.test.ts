/**
 * The PROXY protocol beside programs that others wrote: HAProxy and nginx on both sides, and curl.
 *
 * HAProxy and nginx listen on Unix sockets, so that no port is fixed. What HAProxy takes for its client's addresses is
 * what the test says in a header of its own.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { connect as secure } from 'node:tls';
import { promisify } from 'node:util';
import type { Config } from '../ts/index.js';
import { TLV, writeProxyHeader } from '../ts/parts.js';
import { command, folder } from './kit/binary.js';
import { certificate } from './kit/certificate.js';
import { gateway } from './kit/gateway.js';
import { listening, nginx, open, SBIN } from './kit/nginx.js';
import { raw } from './kit/raw.js';
import { type Site, site } from './kit/site.js';
import { until } from './kit/until.js';

const run = promisify(execFile);
const CLIENT = 'PROXY TCP4 203.0.113.7 198.51.100.1 40000 443\r\n';
const GET = 'GET / HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n';
/** Behind 127.0.0.1 all must say whose connection it is. */
const BEHIND = [
  { name: 'web', bind: '127.0.0.1:0', proxy_protocol: { trust: ['127.0.0.1'] } },
] satisfies Config['listeners'];

async function there(t: TestContext, program: string): Promise<boolean> {
  const found = await run('sh', ['-c', `PATH=$PATH:/usr/sbin command -v ${program}`]).then(
    () => true,
    () => false,
  );
  // In CI the runner takes a skipped test for a failure.
  if (!found) t.skip(`${program} is missing: sh test/kit/parts.sh installs it`);
  return found;
}

/** Starts HAProxy in `dir` with these sections, and waits for its socket `name`. */
async function haproxy(t: TestContext, dir: string, name: string, sections: string): Promise<void> {
  const file = join(dir, 'haproxy.cfg');
  const times = ['connect', 'client', 'server'].map((side) => `  timeout ${side} 10s\n`).join('');
  await writeFile(file, `global\n  nbthread 1\ndefaults\n  mode http\n${times}${sections}`);
  await listening(command(t, 'haproxy', ['-db', '-f', file], SBIN), join(dir, name));
}

/** A certificate for `name` that vouches for itself. */
async function made(dir: string, name: string): Promise<{ key: string; cert: string }> {
  const [key, cert] = [join(dir, `${name}.key`), join(dir, `${name}.pem`)];
  const kind = ['-nodes', '-newkey', 'rsa:2048', '-keyout', key, '-out', cert, '-days', '2'];
  const says = [`subjectAltName=DNS:${name}`, 'basicConstraints=critical,CA:FALSE'];
  const words = says.flatMap((extension) => ['-addext', extension]);
  await run('openssl', ['req', '-x509', '-subj', `/CN=${name}`, ...words, ...kind]);
  return { key, cert };
}

/** Sends a request, and resolves with the body of its answer, which has to be 200. */
async function ask(socket: Socket): Promise<string> {
  let text = '';
  socket.setEncoding('latin1').on('data', (piece: string) => {
    text += piece;
  });
  socket.write(GET);
  await new Promise((resolve, reject) => socket.once('end', resolve).once('error', reject));
  socket.destroy();
  assert.match(text, /^HTTP\/1\.[01] 200 /, text);
  return text.slice(text.indexOf('\r\n\r\n') + 4);
}

/** An upstream behind a Unix socket. */
const to = (socket: string, more: object): Pick<Config, 'upstreams' | 'routes'> => ({
  upstreams: [{ name: 'up', endpoints: [`unix:${socket}`], ...more }],
  routes: [{ name: 'all', to: 'up' }],
});

/** The lines of an access log, once there are `n`. */
async function lines(file: string, n: number): Promise<string[]> {
  let all: string[] = [];
  await until(async () => {
    all = (await readFile(file, 'utf8').catch(() => '')).split('\n').slice(0, -1);
    return all.length >= n;
  }, `${n} lines`);
  return all;
}

const FORMAT =
  '$client_ip [$proxy_authority] [$proxy_alpn] [$proxy_unique_id] [$proxy_ssl_version] [$proxy_ssl_cipher] [$proxy_ssl_cn] [$proxy_ssl_verify]';

test('HAProxy says who its client is: send-proxy and send-proxy-v2 with each of its options', async (t) => {
  if (!(await there(t, 'haproxy')) || !(await there(t, 'openssl'))) return;
  const own = await certificate(t);
  const dir = await folder(t, { 'server.pem': own.cert + own.key });
  const { key, cert } = await made(dir, 'alice');
  const log = join(dir, 'access.log');
  const { port } = await gateway(t, {
    workers: 1,
    listeners: BEHIND,
    access_log: { to: log, format: FORMAT },
    routes: [
      { name: 'alice', match: { proxy: { ssl_cn: 'alice', ssl_verify: 'success' } }, filters: says('alice') },
      { name: 'host', match: { proxy: { authority: 'localhost' } }, filters: says('host') },
      { name: 'named', match: { proxy: { unique_id: true } }, filters: says('named') },
      { name: 'rest', filters: says('rest') },
    ],
  });
  const ssl = 'proxy-v2-options ssl,cert-cn,ssl-cipher,cert-sig,cert-key,authority,unique-id,crc32c';
  const ways = {
    v1: 'send-proxy',
    v2: 'send-proxy-v2',
    named: 'send-proxy-v2 proxy-v2-options crc32c,unique-id',
    tls: `send-proxy-v2 ${ssl}`,
  };
  const sections = Object.entries(ways).map(([name, how]) => {
    const tls = name === 'tls' ? `ssl crt ${dir}/server.pem verify optional ca-file ${cert}` : '';
    return `frontend ${name}
  bind unix@${dir}/${name} accept-proxy ${tls}
  unique-id-format id-%ci-%cp
  default_backend ${name}
backend ${name}
  server gate 127.0.0.1:${port} ${how}
`;
  });
  await haproxy(t, dir, 'tls', sections.join(''));

  const plain = async (name: string): Promise<string> => {
    const socket = await open(join(dir, name));
    socket.write(CLIENT);
    return ask(socket);
  };
  const tls = async (shown: { cert?: Buffer; key?: Buffer }): Promise<string> => {
    const socket = await open(join(dir, 'tls'));
    socket.write(CLIENT);
    const ca = await readFile(own.ca);
    return ask(secure({ socket, servername: 'localhost', ca, maxVersion: 'TLSv1.3', ...shown }));
  };
  assert.equal(await plain('v1'), 'rest');
  assert.equal(await plain('v2'), 'rest');
  assert.equal(await plain('named'), 'named');
  assert.equal(await tls({}), 'host');
  assert.equal(await tls({ cert: await readFile(cert), key: await readFile(key) }), 'alice');

  const cipher = '[TLS_AES_256_GCM_SHA384]';
  assert.deepEqual(await lines(log, 5), [
    '203.0.113.7 [-] [-] [-] [-] [-] [-] [-]',
    '203.0.113.7 [-] [-] [-] [-] [-] [-] [-]',
    '203.0.113.7 [-] [-] [id-203.0.113.7-40000] [-] [-] [-] [-]',
    `203.0.113.7 [localhost] [-] [id-203.0.113.7-40000] [TLSv1.3] ${cipher} [-] [none]`,
    `203.0.113.7 [localhost] [-] [id-203.0.113.7-40000] [TLSv1.3] ${cipher} [alice] [success]`,
  ]);
});

test('HAProxy is told who the client is: accept-proxy, with a checksum and values, and before TLS', async (t) => {
  if (!(await there(t, 'haproxy')) || !(await there(t, 'openssl'))) return;
  const dir = await folder(t);
  const { key, cert } = await made(dir, 'up.example');
  await writeFile(join(dir, 'server.pem'), (await readFile(cert, 'utf8')) + (await readFile(key, 'utf8')));
  const told = '%[src]:%[src_port] %[dst]:%[dst_port] [%[fc_pp_authority]] [%[fc_pp_unique_id]]';
  const answer = `http-request return status 200 content-type text/plain lf-string "${told}"`;
  await haproxy(
    t,
    dir,
    'secure',
    `frontend plain
  bind unix@${dir}/plain accept-proxy
  ${answer}
frontend secure
  bind unix@${dir}/secure accept-proxy ssl crt ${dir}/server.pem
  ${answer}
`,
  );
  const tlvs = ['authority', 'unique_id', 'alpn', 'ssl', 'crc32c'] as const;
  const tls = { ca: cert, sni: 'up.example' };
  for (const [socket, more] of [
    ['plain', { proxy_protocol: 'v1' }],
    ['plain', { proxy_protocol: 'v2' }],
    ['plain', { proxy_protocol: { version: 'v2', tlvs } }],
    ['secure', { proxy_protocol: 'v1', tls }],
    ['secure', { proxy_protocol: { version: 'v2', tlvs }, tls }],
  ] as const) {
    const { port } = await gateway(t, { listeners: BEHIND, ...to(join(dir, socket), more) });
    const header = writeProxyHeader({
      source: { address: '2001:db8::7', port: 40_000 },
      destination: { address: '2001:db8::1', port: 443 },
      tlvs: [{ type: TLV.AUTHORITY, value: 'example.com' }],
    });
    const client = await raw(t, port);
    await client.send(header);
    const ids = new Set<string>();
    for (let i = 1; i <= 2; i += 1) {
      const before = client.received.length;
      await client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
      await until(() => client.received.slice(before).endsWith(']'), `an answer in ${client.received}`);
      const body = client.received.slice(before).split('\r\n\r\n')[1] ?? '';
      const name = `${socket} ${JSON.stringify(more)}`;
      const isLong = typeof more.proxy_protocol === 'object';
      const want = isLong ? /\[example\.com\] \[([0-9a-f]{32})\]$/ : /\[\] \[()\]$/;
      assert.ok(body.startsWith('2001:db8::7:40000 2001:db8::1:443 '), `${name}: ${body}`);
      ids.add(want.exec(body)?.[1] ?? assert.fail(`${name}: ${body}`));
    }
    assert.equal(ids.size, 1, 'a connection keeps its name');
  }
});

test('nginx is told who the client is, and what it sends is believed', async (t) => {
  if (!(await there(t, 'nginx'))) return;
  const dir = await folder(t);
  const told =
    '$proxy_protocol_addr:$proxy_protocol_port $proxy_protocol_server_addr:$proxy_protocol_server_port';
  await nginx(t, dir, `listen unix:${dir}/s proxy_protocol; location / { return 200 "${told}"; }`);
  for (const proxy_protocol of ['v1', 'v2', { version: 'v2', tlvs: ['crc32c'] }] as const) {
    const config = to(join(dir, 's'), { proxy_protocol });
    const { gateway: running, port } = await gateway(t, config);
    const sockets = await Promise.all([1, 2].map(() => raw(t, port)));
    for (const client of [...sockets, ...sockets]) {
      const before = client.received.length;
      await client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
      const want = `127.0.0.1:${client.socket.localPort} 127.0.0.1:${port}`;
      await until(() => client.received.slice(before).endsWith(want), `${want} in ${client.received}`);
    }
    await running.close(0);
  }
});

test('curl --haproxy-protocol', async (t) => {
  if (!(await there(t, 'curl'))) return;
  const dir = await folder(t);
  const log = join(dir, 'access.log');
  const config: Partial<Config> = {
    listeners: BEHIND,
    access_log: { to: log, format: '$peer $status' },
    routes: [{ name: 'all', filters: says('ok') }],
  };
  const { url } = await gateway(t, config);
  const words = ['-sS', '--max-time', '10', '-w', '\n%{local_port}', url];
  const { stdout } = await run('curl', ['--haproxy-protocol', ...words]);
  const [body, port] = stdout.split('\n');
  assert.equal(body, 'ok');
  assert.deepEqual(await lines(log, 1), [`127.0.0.1:${port} 200`]);
  await assert.rejects(run('curl', words), 'without its header nobody is served');
  const { stdout: help } = await run('curl', ['--help', 'all']);
  if (help.includes('--haproxy-clientip')) {
    await run('curl', ['--haproxy-clientip', '203.0.113.7', ...words]);
    assert.match((await lines(log, 2))[1] ?? '', /^203\.0\.113\.7:\d+ 200$/);
  }
});

test('a limit counts each host of the PROXY header by itself', async (t) => {
  const { port } = await gateway(t, {
    listeners: BEHIND,
    routes: [
      {
        name: 'all',
        filters: [{ use: 'rate_limit', rate: '1/h', burst: 1, key: 'proxy:authority' }, ...says('ok')],
      },
    ],
  });
  const status = async (authority: string): Promise<string> => {
    const tlvs = [{ type: TLV.AUTHORITY, value: authority }];
    const client = await raw(t, port);
    await client.send(writeProxyHeader({ ...ENDS, tlvs, checksum: true }));
    await client.send(GET);
    return (await client.waitForClose()).slice(9, 12);
  };
  const got: string[] = [];
  for (const host of ['a.example', 'b.example', 'A.example', 'b.example']) got.push(await status(host));
  assert.deepEqual(got, ['200', '200', '429', '429']);
});

const ENDS = {
  source: { address: '203.0.113.7', port: 40_000 },
  destination: { address: '198.51.100.1', port: 443 },
};
const good = (): Buffer =>
  writeProxyHeader({ ...ENDS, tlvs: [{ type: TLV.UNIQUE_ID, value: 'a' }], checksum: true });
const changed = (at: number, to: number): Buffer => {
  const bad = good();
  bad[at] = to;
  return bad;
};
/** A header of version 2 with these bytes behind its addresses. */
const behind = (...rest: number[]): Buffer => {
  const bad = Buffer.concat([writeProxyHeader(ENDS), Buffer.from(rest)]);
  bad.writeUInt16BE(12 + rest.length, 14);
  return bad;
};
const MALFORMED: [what: string, header: Buffer][] = [
  ['no signature', changed(0, 0x50)],
  ['version', changed(12, 0x11)],
  ['command', changed(12, 0x22)],
  ['family', changed(13, 0x41)],
  ['length below the addresses', changed(15, 4)],
  ['length of 64 KiB', changed(14, 0xff)],
  ['checksum', changed(16, 1)],
  ['two checksums', behind(3, 0, 4, 0, 0, 0, 0, 3, 0, 4, 0, 0, 0, 0)],
  ['value past the header', behind(5, 0, 2, 0x61)],
  ['value without a length', behind(5)],
  ['ssl without its fields', behind(0x20, 0, 1, 1)],
  ['v1: port', Buffer.from('PROXY TCP4 203.0.113.7 198.51.100.1 65536 80\r\n')],
  ['v1: leading zero', Buffer.from('PROXY TCP4 203.0.113.07 198.51.100.1 1 80\r\n')],
  ['v1: too long', Buffer.from(`PROXY UNKNOWN ${'x'.repeat(100)}`)],
  ['v1: bare LF', Buffer.from('PROXY UNKNOWN\n')],
];
test('a malformed header closes its connection wherever it is cut, and is counted', async (t) => {
  for (const door of ['edge', 'app'] as const) {
    const { gateway: running, port } = await behindDoor(t, door);
    const fine = await raw(t, port);
    await fine.send(good());
    await fine.send(GET);
    assert.match(await fine.waitForClose(), /^HTTP\/1\.1 200 /);
    let sent = 0;
    for (const [what, header] of MALFORMED) {
      const cuts = Array.from({ length: Math.min(header.length, 48) }, (_, at) => at);
      const clients = await Promise.all(
        cuts.map(async (cut) => {
          const client = await raw(t, port);
          await client.send(header.subarray(0, cut));
          await client.send(header.subarray(cut));
          await client.send(GET);
          return client;
        }),
      );
      for (const client of clients) assert.equal(await client.waitForClose(), '', what);
      sent += cuts.length;
    }
    const counted = new RegExp(`^ironsluice_bad_requests_total\\{code="proxy_header"\\} ${sent}$`, 'm');
    await until(async () => counted.test(await running.metrics()), String(counted));
  }
});

test('at the door of an app too a header says who the client is, and one that is missing closes', async (t) => {
  const { port } = await behindDoor(t, 'app');
  const local = Buffer.from('\r\n\r\n\0\r\nQUIT\n\x20\0\0\0', 'latin1');
  for (const [header, client] of [
    [CLIENT, '203.0.113.7'],
    [good(), '203.0.113.7'],
    ['PROXY TCP6 2001:db8::7 2001:db8::1 40000 443\r\n', '2001:db8::7'],
    ['PROXY UNKNOWN\r\n', '127.0.0.1'],
    [local, '127.0.0.1'],
  ] as const) {
    const one = await raw(t, port);
    // In one piece as a proxy sends it, and byte by byte.
    await one.send(Buffer.concat([Buffer.from(header), Buffer.from(GET)]));
    assert.match(await one.waitForClose(), new RegExp(`^HTTP/1\\.1 200 [^]*\r\n\r\n${client}$`));
    const slow = await raw(t, port);
    await slow.trickle(Buffer.from(header).toString('latin1'));
    await slow.send(GET);
    assert.match(await slow.waitForClose(), new RegExp(`\r\n\r\n${client}$`));
  }
  const missing = await raw(t, port);
  await missing.send(GET);
  assert.equal(await missing.waitForClose(), '');
});

/** A gateway that believes loopback, with a handler that says who its client is behind either door. */
function behindDoor(t: TestContext, door: 'edge' | 'app'): Promise<Site> {
  const listeners = BEHIND.map((one) => (door === 'edge' ? one : { ...one, door, app: 'site' }));
  return site(t, 'export default (_: unknown, ctx: { client: string }) => ctx.client;', {
    more: { listeners },
  });
}

/** A filter that answers. */
function says(body: string): [{ use: 'respond'; body: string }] {
  return [{ use: 'respond', body }];
}
