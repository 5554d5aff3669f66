/** The side-by-side benchmark's own arithmetic and manners: a wrong median or a lost row would be a wrong claim. */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createSecureContext } from 'node:tls';
import { makeCertificate } from '../bench/load/certificate.js';
import { readOptions } from '../bench/load/options.js';
import { command } from '../bench/load/peers/command.js';
import { ALL_PEERS, PEERS } from '../bench/load/peers/index.js';
import { uws } from '../bench/load/peers/servers.js';
import { freePort, ROOT, run, serve } from '../bench/load/process.js';
import { type Bound, roundsMarkdown } from '../bench/load/report.js';
import { disturbed, type Measurement } from '../bench/load/rounds.js';
import { SCENARIOS, usualPeers } from '../bench/load/scenarios.js';
import { spread } from '../bench/load/stats.js';
import { folder } from './kit/binary.js';

test('spread: quartiles are interpolated, and nothing has none', () => {
  assert.deepEqual(spread([4, 1, 3, 2]), { median: 2.5, q1: 1.75, q3: 3.25, min: 1, max: 4, count: 4 });
  assert.deepEqual(spread([7]), { median: 7, q1: 7, q3: 7, min: 7, max: 7, count: 1 });
  assert.throws(() => spread([]));
});

test('a report pairs the rounds that both have, and shows what was lost', () => {
  const taken = [
    measurement(0, 'ours', 12),
    measurement(0, 'theirs', 10),
    measurement(1, 'ours', 30),
    measurement(2, 'ours', 12),
    measurement(2, 'theirs', 10),
  ];
  const text = roundsMarkdown({ taken, refused: 3, missing: 1, dropped: ['theirs'] }, 'ours');
  assert.match(text, /\| ours \| 12\.0 \(12\.0–21\.0\) \|.*\| 3 \|\n/);
  assert.match(
    text,
    /\| CPU µs\/request beside theirs \| 1\.200 \| 1\.200–1\.200 \| 1\.200–1\.200 \| 2 \| behind \|/,
  );
  assert.match(text, /\| requests\/s beside theirs \|.*\| even \|/);
  assert.match(text, /another process ran: 3; left out after all retries: 1\. No further rounds of theirs/);
});

test('a bound is judged by the median of the ratios, where both were measured', () => {
  const taken = [measurement(0, 'ours', 9), measurement(0, 'theirs', 10)];
  const bounds: Bound[] = [
    { figure: 'cpu_us_per_request', beside: 'theirs', most: 0.9 },
    { figure: 'cpu_us_per_request', beside: 'theirs', most: 0.89 },
    { figure: 'requests_per_s', beside: 'theirs', least: 1 },
    { figure: 'requests_per_s', beside: 'theirs', least: 1.01 },
    { figure: 'requests_per_s', beside: 'nobody', least: 1 },
  ];
  const text = roundsMarkdown({ taken, refused: 0, missing: 0, dropped: [] }, 'ours', bounds);
  const rows = text.slice(text.indexOf('## Bounds')).match(/^\| .* \| (yes|no) \|$/gm);
  assert.deepEqual(rows, [
    '| CPU µs/request beside theirs | at most 0.90 | 0.900 | yes |',
    '| CPU µs/request beside theirs | at most 0.89 | 0.900 | no |',
    '| requests/s beside theirs | at least 1.00 | 1.000 | yes |',
    '| requests/s beside theirs | at least 1.01 | 1.000 | no |',
  ]);
});

test('what stands in front of an app is told apart where it was measured', () => {
  const front = { ...measurement(0, 'ours', 9), proxy_cpu_us_per_request: 4, busy_percent: 97 };
  const text = roundsMarkdown(
    { taken: [front, measurement(0, 'bare', 3)], refused: 0, missing: 0, dropped: [] },
    'ours',
  );
  assert.match(text, /^\| proxy \| CPU µs\/request \| of it the proxy \|.*\| CPU busy % \|/m);
  assert.match(text, /^\| ours \| 9\.00 \S+ \| 4\.00 .*\| 97\.0 \|/m);
  assert.match(text, /^\| bare \| 3\.00 \S+ \| {2}\|/m);
  assert.ok(!text.includes('of it the proxy beside'), 'nothing to compare it with');
});

test('what others took is what processes used, and no more than the CPUs did', () => {
  const known = 700;
  for (const [busy_ns, processes_ns, steal_ns, part] of [
    [900, 710, 0, 0.01], // the CPUs fell asleep and woke
    [760, 1500, 0, 0.06], // others ran on other CPUs too
    [900, 900, 0, 0.2],
    [690, 690, 0, 0],
    [700, 700, 80, 0.08],
  ] as const) {
    const seen = { busy_ns, processes_ns, steal_ns, capacity_ns: 1000 };
    assert.equal(disturbed(seen, known).toFixed(3), part.toFixed(3));
  }
});

test('wrong arguments are refused', () => {
  for (const argv of [
    ['h3'],
    ['--peers', 'apache'],
    ['--secs', '0'],
    ['--rounds', 'x'],
    ['--cmd', 'true'],
    ['--x'],
  ]) {
    assert.throws(() => readOptions(argv, 'out'), argv.join(' '));
  }
  assert.equal(readOptions(['--help'], 'out'), 'help');
});

test('each peer writes a configuration that names its port and the origin', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'bench-test-'));
  try {
    const mine = command('mine=serve {port} {origin} {unknown} < {config}');
    for (const peer of [...PEERS, mine]) {
      for (const feature of ['plain', 'limit'] as const) {
        const setting = { dir, port: 18081, origin: '127.0.0.1:18082', feature };
        const argv = await peer.prepare(setting);
        const files = argv.join(' ').match(new RegExp(`${dir}/\\S+\\.(conf|cfg|json)`, 'g')) ?? [];
        const texts = await Promise.all(files.map((file) => readFile(file, 'utf8')));
        const all = [...argv, ...texts].join('\n');
        for (const want of ['18081', '18082']) assert.ok(all.includes(want), `${peer.name}: ${all}`);
        if (peer.lacks?.includes(feature)) continue;
        assert.equal(feature === 'limit', /\b10{6,7}(?!\d)/.test(all), `${peer.name}, ${feature}: ${all}`);
      }
    }
    const argv = await mine.prepare({ dir, port: 1, origin: 'o:2', feature: 'plain' });
    assert.deepEqual(argv, ['sh', '-c', `exec serve 1 o:2 {unknown} < ${dir}/ironsluice.json`]);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
});

test('each scenario that names its peers has such that name their port, and what is behind and beside them', async (t) => {
  const names = new Set<string>();
  for (const scenario of SCENARIOS.filter(({ peers, tls }) => peers !== undefined && !tls)) {
    const { feature, bounds = [] } = scenario;
    const peers = usualPeers(scenario);
    assert.equal(peers[0]?.name, 'ironsluice', scenario.name);
    for (const name of bounds.flatMap(({ of = 'ironsluice', beside }) => [of, beside]))
      assert.ok(
        peers.some((peer) => peer.name === name),
        name,
      );
    for (const peer of peers) {
      names.add(peer.name);
      const dir = await folder(t);
      const path = join(dir, 'behind.sock');
      const behind = peer.behind?.({ path, feature });
      const origin = behind === undefined ? '127.0.0.1:18082' : path;
      const store = join(dir, 'store.sock');
      const argv = await peer.prepare({ dir, port: 18081, origin, feature, store });
      const files = argv.join(' ').match(new RegExp(`${dir}/\\S+\\.(conf|cfg|json|yaml)`, 'g')) ?? [];
      const texts = await Promise.all(files.map((file) => readFile(file, 'utf8')));
      const all = [...argv, ...texts].join('\n');
      assert.ok(all.includes('18081'), `${peer.name}: ${all}`);
      assert.equal(all.includes(store), peer.store !== undefined, `${peer.name}: ${all}`);
      if (feature === 'forward') assert.ok(all.includes(origin), `${peer.name}: ${all}`);
      if (behind === undefined) continue;
      assert.ok(behind.includes(path) && all.includes(`unix:${path};`), `${peer.name}: ${all}`);
      assert.equal(feature === 'websocket', /proxy_set_header Upgrade/.test(all), peer.name);
    }
  }
  for (const name of names) assert.ok(ALL_PEERS.has(name), `${name} can be asked for`);
});

test('each scenario with TLS has peers that show the one certificate', async (t) => {
  const secure = SCENARIOS.filter(({ tls }) => tls);
  assert.deepEqual(
    secure.map(({ name }) => name),
    ['tls', 'tls-handshake', 'h2-tls'],
  );
  const certificate = { host: 'bench.test', cert: '/x/cert.pem', key: '/x/key.pem', both: '/x/both.pem' };
  const mine = command('mine=serve {cert} {key}');
  const all = secure.flatMap((scenario) => usualPeers(scenario).map((peer) => ({ peer, ...scenario })));
  for (const { peer, feature } of [...all, { peer: mine, feature: 'plain' } as const]) {
    const setting = { dir: await folder(t), port: 18081, origin: '127.0.0.1:18082', feature } as const;
    const texts = async (more: object): Promise<string> => {
      const argv = await peer.prepare({ ...setting, ...more });
      const files = argv.join(' ').match(new RegExp(`${setting.dir}/\\S+\\.(conf|cfg|json)`, 'g')) ?? [];
      return [...argv, ...(await Promise.all(files.map((file) => readFile(file, 'utf8'))))].join('\n');
    };
    const shown = await texts({ certificate });
    const isThere =
      shown.includes(certificate.both) ||
      [certificate.cert, certificate.key].every((file) => shown.includes(file));
    assert.ok(isThere, `${peer.name}: ${shown}`);
    if (peer !== mine) assert.match(shown, /TLSv1\.3|"min_version": "1\.3"/, peer.name);
    if (feature === 'http2') assert.match(shown, /ssl http2|alpn h2|"http2": \{\}/, peer.name);
    const clear = await texts({});
    assert.doesNotMatch(clear, /\.pem|\bssl|"tls"/, peer.name);
  }
});

test('a server with TLS is waited for, and shows the certificate that was made', async (t) => {
  const dir = await folder(t);
  const certificate = await makeCertificate(dir);
  const made = new X509Certificate(await readFile(certificate.cert));
  assert.equal(made.publicKey.asymmetricKeyDetails?.namedCurve, 'prime256v1');
  assert.equal(made.checkHost(certificate.host), certificate.host);
  const both = await readFile(certificate.both);
  assert.doesNotThrow(() => createSecureContext({ cert: both, key: both }), 'they fit and are in one file');
  const port = await freePort();
  const program = `const { readFileSync: read } = require('node:fs');
const [cert, key, port] = process.argv.slice(1);
const answer = (_, response) => response.end('x'.repeat(128));
require('node:https').createServer({ cert: read(cert), key: read(key) }, answer).listen(Number(port), '127.0.0.1');`;
  const argv = [process.execPath, '-e', program, certificate.cert, certificate.key, String(port)];
  const running = await serve({ name: 'https', argv, cpu: 0, at: port, dir, certificate });
  assert.equal(running.port, port);
  await running.stop();
});

test('bare uWebSockets.js is waited for at a port and at a path', async (t) => {
  const dir = await folder(t);
  const port = await freePort();
  const byPort = await uws.prepare({ dir, port, origin: '', feature: 'direct' });
  const path = join(dir, 'uws.sock');
  const byPath = byPort.map((word) => (word === String(port) ? path : word));
  const started = [
    await serve({ name: 'uws', argv: byPort, cpu: 0, at: port, dir }),
    await serve({ name: 'uws', argv: byPath, cpu: 0, at: path, dir }),
  ];
  assert.deepEqual(
    started.map((running) => running.port),
    [port, 0],
  );
  await Promise.all(started.map((running) => running.stop()));
});

test('each crossing between JavaScript and Rust has its row', async () => {
  const { stdout } = await run(process.execPath, [
    join(ROOT, 'dist/bench/boundary/main.js'),
    '--rounds',
    '1',
  ]);
  const rows = stdout.trim().split('\n');
  assert.equal(rows.length, 12);
  for (const row of rows) {
    const { by, ns, crossing } = JSON.parse(row);
    assert.ok(Number.isFinite(ns) && (ns > 0 || by.startsWith('difference')), `${crossing}: ${ns}`);
  }
});

function measurement(round: number, peer: string, cpu_us_per_request: number): Measurement {
  const same = { requests_per_s: 1000, p50_us: 5, p99_us: 9, memory_mib: 2, bad: 0, disturbed: 0 };
  return { round, peer, cpu_us_per_request, ...same };
}
