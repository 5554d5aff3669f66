/**
 * Parts of the core as any program uses them: what each answers, what it refuses, and where its bounds are.
 *
 * The properties of each (balance, least movement, every cut of the bytes) are tested in Rust; here is what crosses.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  clientIp,
  Gcra,
  type GcraDecision,
  jumpHash,
  KetamaRing,
  Maglev,
  type ProxyHeaderOptions,
  parseProxyHeader,
  parseRequestHead,
  Rendezvous,
  TLV,
  writeProxyHeader,
} from '../ts/parts.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const NODES = ['10.0.0.1:80', '10.0.0.2:80', '10.0.0.3:80'];
const keys = (n: number): string[] => Array.from({ length: n }, (_, i) => `user:${i}`);
const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');
const said = (allowed: boolean, remaining: number, retryAfterMs: number, resetAfterMs: number) =>
  ({ allowed, remaining, retryAfterMs, resetAfterMs }) satisfies GcraDecision;

test('a limit counts each key for itself, by the time that it is given', () => {
  const limit = new Gcra({ count: 10, periodMs: 1000, burst: 2, maxKeys: 100 });
  const steps: [key: string | Uint8Array, cost: number, nowMs: number, want: GcraDecision][] = [
    ['a', 1, 0, said(true, 1, 0, 100)],
    ['a', 1, 0, said(true, 0, 0, 200)],
    ['a', 1, 0, said(false, 0, 100, 200)],
    ['a', 0, 0, said(true, 0, 0, 200)],
    ['a', 2, 50.5, said(false, 0, 150, 150)],
    ['b', 2, 50, said(true, 0, 0, 200)],
    [Buffer.from('b'), 1, 50, said(false, 0, 100, 200)],
    ['a', 1, 100, said(true, 0, 0, 200)],
    ['a', 3, 1_000, said(false, 2, Number.POSITIVE_INFINITY, 0)],
    ['a', 2, 1_000, said(true, 0, 0, 200)],
  ];
  for (const [key, cost, nowMs, want] of steps) {
    assert.deepEqual(limit.check(key, cost, nowMs), want, `${key} ${cost} at ${nowMs}`);
  }
});

test('a limit reads the clock by itself, and objects share nothing', () => {
  const options = { count: 1, periodMs: 3_600_000 };
  const [one, other] = [new Gcra(options), new Gcra(options)];
  assert.equal(one.check('a').allowed, true);
  const refused = one.check('a');
  assert.equal(refused.allowed, false);
  assert.ok(refused.retryAfterMs > 3_590_000 && refused.retryAfterMs <= 3_600_000, `${refused.retryAfterMs}`);
  assert.equal(other.check('a').allowed, true);
});

test('a flood of keys resets none', () => {
  const limit = new Gcra({ count: 1, periodMs: 60_000, maxKeys: 8 });
  assert.equal(limit.check('victim', 1, 0).allowed, true);
  for (const key of keys(1_000)) limit.check(key, 1, 1);
  assert.equal(limit.check('victim', 1, 2).allowed, false);
});

for (const [name, make] of [
  ['Maglev', (nodes) => new Maglev(nodes)],
  ['KetamaRing', (nodes) => new KetamaRing(nodes)],
  ['Rendezvous', (nodes) => new Rendezvous(nodes)],
] as [string, (nodes: ConstructorParameters<typeof Maglev>[0]) => Maglev | KetamaRing | Rendezvous][]) {
  test(`${name} answers by name, whatever the order, moves few keys, and keeps to weights`, () => {
    const [all, turned, fewer] = [make(NODES), make([...NODES].reverse()), make(NODES.slice(0, 2))];
    const heavy = make([{ name: 'heavy', weight: 3 }, { name: 'light' }, { name: 'out', weight: 0 }]);
    let moved = 0;
    const count: Record<string, number> = {};
    for (const key of keys(3_000)) {
      const node = all.pick(key);
      assert.equal(turned.pick(Buffer.from(key)), node);
      if (node !== NODES[2] && fewer.pick(key) !== node) moved += 1;
      const by = heavy.pick(key);
      count[by] = (count[by] ?? 0) + 1;
    }
    assert.ok(moved < 60, `${moved} of 2000 moved needlessly`);
    assert.deepEqual(Object.keys(count).sort(), ['heavy', 'light']);
    assert.ok(Math.abs((count.heavy ?? 0) - 2_250) < 250, `${count.heavy} of 3000`);
  });

  test(`${name} with bounded loads: at home while there is room, and never above the bound`, () => {
    const hash = make(NODES);
    const loads: Record<string, number> = { unknown: 1e9 };
    for (const key of keys(300)) {
      const node = hash.pickBounded(key, loads, 0.1);
      loads[node] = (loads[node] ?? 0) + 1;
    }
    for (const node of NODES) assert.ok((loads[node] ?? 0) <= 110, `${node}: ${loads[node]}`);
    const home = hash.pick('hot');
    assert.equal(hash.pickBounded('hot', {}, 0.1), home);
    assert.notEqual(hash.pickBounded('hot', { [home]: 100 }, 0.1), home);
  });

  refused(`${name}: no node`, 'bad_nodes', () => make([]));
  refused(`${name}: every weight 0`, 'bad_nodes', () => make([{ name: 'a', weight: 0 }]));
  refused(`${name}: twins`, 'bad_nodes', () => make(['a', { name: 'a', weight: 2 }]));
  refused(`${name}: a weight below 0`, 'bad_nodes', () => make([{ name: 'a', weight: -1 }]));
  refused(`${name}: half a weight`, 'bad_nodes', () => make([{ name: 'a', weight: 0.5 }]));
  refused(`${name}: too many nodes`, 'bad_nodes', () => make(keys(65_536)));
  refused(`${name}: eps 0`, 'bad_argument', () => make(NODES).pickBounded('a', {}, 0));
  refused(`${name}: eps NaN`, 'bad_argument', () => make(NODES).pickBounded('a', {}, Number.NaN));
  refused(`${name}: a load below 0`, 'bad_argument', () =>
    make(NODES).pickBounded('a', { '10.0.0.1:80': -1 }, 1),
  );
}

test('a node of a ring that has no point gets nothing, also with bounded loads', () => {
  const ring = new KetamaRing([
    { name: 'a', weight: 1_000 },
    { name: 'b', weight: 1 },
  ]);
  for (const key of keys(100)) assert.equal(ring.pickBounded(key, { a: 1_000 }, 0.1), 'a');
});

test('the ring is that of ketama, and jump hash that of its paper', () => {
  const ring = new KetamaRing([1, 2, 3, 4].map((i) => `192.168.1.10${i}:11210`));
  // Computed by Python's hashlib.
  const picks = ['', 'a', 'user:1', 'user:2', '/index.html', '12936', 'ünï'].map((key) => ring.pick(key));
  assert.deepEqual(
    picks.map((name) => name[12]),
    ['4', '4', '1', '3', '2', '1', '3'],
  );
  for (const key of keys(200)) {
    const [few, more] = [jumpHash(key, 10), jumpHash(key, 11)];
    assert.ok(few < 10 && (more === few || more === 10), key);
    assert.equal(jumpHash(key, 1), 0);
  }
  assert.ok(jumpHash('a', 2 ** 32 - 1) < 2 ** 32);
});

const CLIENTS: [peer: string, field: string | string[] | undefined, trusted: string[], want: string][] = [
  ['192.0.2.1', '8.8.8.8', [], '192.0.2.1'],
  ['192.0.2.1', '8.8.8.8', ['10.0.0.0/8'], '192.0.2.1'],
  ['10.0.0.1', undefined, ['10.0.0.0/8'], '10.0.0.1'],
  ['10.0.0.1', '', ['10.0.0.0/8'], '10.0.0.1'],
  ['10.0.0.1', '1.1.1.1, 8.8.8.8', ['10.0.0.0/8'], '8.8.8.8'],
  ['::ffff:10.0.0.1', ['1.1.1.1', '8.8.8.8, 10.0.0.9'], ['10.0.0.0/8'], '8.8.8.8'],
  ['2001:db8::1', '[2001:db9::7]:443', ['2001:db8::/32'], '2001:db9::7'],
  ['10.0.0.1', '8.8.8.8, unknown, 10.0.0.2', ['10.0.0.0/8'], '10.0.0.2'],
  ['10.0.0.1', '8.8.8.8', ['10.0.0.1'], '8.8.8.8'],
];
for (const [peer, field, trusted, want] of CLIENTS) {
  test(`the client behind ${peer}, ${JSON.stringify(field)}, trusting ${trusted.join()}: ${want}`, () => {
    assert.equal(clientIp(peer, field, trusted), want);
  });
}

const source = { address: '192.0.2.1', port: 40_000 };
const destination = { address: '198.51.100.2', port: 443 };
const HEADERS: [what: string, options: ProxyHeaderOptions, length: number, told?: object][] = [
  ['nothing', {}, 16, { version: 2, command: 'proxy', transport: 'unspecified', tlvs: [] }],
  ['local', { command: 'local', source, destination }, 16, { command: 'local', transport: 'unspecified' }],
  ['TCP', { source, destination }, 28, { version: 2, transport: 'stream', source, destination }],
  ['UDP', { transport: 'datagram', source, destination }, 28, { transport: 'datagram', source }],
  ['unspecified', { transport: 'unspecified', source, destination }, 16, { transport: 'unspecified' }],
  ['IPv6', { source: { address: '2001:db8::1', port: 1 }, destination }, 52, { destination }],
  ['TCP in text', { version: 1, source, destination }, 45, { version: 1, source, destination }],
  ['nothing in text', { version: 1 }, 15, { version: 1, transport: 'unspecified' }],
];
for (const [what, options, length, told] of HEADERS) {
  test(`a PROXY header comes back: ${what}`, () => {
    const wrote = writeProxyHeader(options);
    assert.equal(wrote.length, length);
    const read = parseProxyHeader(Buffer.concat([wrote, bytes('GET / HTTP/1.1\r\n')]));
    assert.ok(read);
    assert.deepEqual({ ...read, length, ...told }, read);
    for (let end = 0; end < length; end += 1)
      assert.equal(parseProxyHeader(wrote.subarray(0, end)), undefined);
  });
}

test('a PROXY header carries values, and a checksum over all of it', () => {
  const tlvs = [
    { type: TLV.ALPN, value: 'h2' },
    { type: TLV.AUTHORITY, value: 'example.com' },
    { type: TLV.UNIQUE_ID, value: new Uint8Array(128) },
    { type: TLV.NOOP, value: '' },
    { type: 0xe0, value: new Uint8Array([0, 255]) },
  ];
  const wrote = writeProxyHeader({ source, destination, tlvs, checksum: true });
  const read = parseProxyHeader(wrote)?.tlvs ?? [];
  assert.deepEqual(
    read.slice(0, -1).map(({ type, value }) => [type, value]),
    tlvs.map(({ type, value }) => [type, Buffer.from(value as Uint8Array)]),
  );
  assert.equal(read.at(-1)?.type, TLV.CRC32C);
  wrote[20] = 1;
  throws('bad_proxy_header', () => parseProxyHeader(wrote));
});

test('a header of a request is read with one meaning', () => {
  const head = bytes(
    'POST /a/./b%7e?x=1 HTTP/1.1\r\nHost: Example.com:8080\r\nX-Name: caf\xe9\r\nContent-Length: 3\r\n\r\n',
  );
  const want = {
    method: 'POST',
    target: '/a/b~?x=1',
    path: '/a/b~',
    query: 'x=1',
    host: 'example.com:8080',
    version: '1.1',
    headers: [['X-Name', 'caf\xe9']],
    bodyFraming: 'length',
    contentLength: 3,
    keepAlive: true,
    expectContinue: false,
    length: head.length,
  };
  assert.deepEqual(parseRequestHead(Buffer.concat([head, bytes('abc')])), want);
  for (let end = 0; end < head.length; end += 1)
    assert.equal(parseRequestHead(head.subarray(0, end)), undefined);
  const others: [text: string, told: object][] = [
    ['GET / HTTP/1.0\r\n\r\n', { version: '1.0', host: '', keepAlive: false, bodyFraming: 'none' }],
    ['OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n', { target: '*', keepAlive: false }],
    ['PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n', { bodyFraming: 'chunked' }],
  ];
  for (const [text, told] of others) {
    const read = parseRequestHead(bytes(text));
    assert.deepEqual({ ...read, ...told }, read, text);
  }
});

const REFUSALS: [text: string, code: string, status: number][] = [
  ['GET / HTTP/1.1\n', 'bad_line_end', 400],
  ['\0', 'not_http', 400],
  ['GET / HTTP/1.1\r\n\r\n', 'missing_host', 400],
  [`GET /${'a'.repeat(8 << 10)} HTTP/1.1\r\nHost: a\r\n\r\n`, 'uri_too_long', 414],
  [`GET / HTTP/1.1\r\nHost: a\r\nX: ${'a'.repeat(32 << 10)}`, 'head_too_large', 431],
  [`GET / HTTP/1.1\r\nHost: a\r\n${'X: a\r\n'.repeat(101)}\r\n`, 'too_many_fields', 431],
];
for (const [text, code, status] of REFUSALS) {
  test(`a request is refused: ${code}`, () => {
    const error = throws(code, () => parseRequestHead(bytes(text)));
    assert.equal((error as Error & { status?: number }).status, status);
    assert.match(error.message, /^[a-z].{5,}/);
  });
}

const rate = { count: 1, periodMs: 1_000 };
const tlv = (type: number, value: string | Uint8Array) => ({ source, destination, tlvs: [{ type, value }] });
refused('a rate of 0', 'bad_rate', () => new Gcra({ ...rate, count: 0 }));
refused('half a count', 'bad_rate', () => new Gcra({ ...rate, count: 0.5 }));
refused('a period of 0', 'bad_rate', () => new Gcra({ ...rate, periodMs: 0 }));
refused('a period that is no number', 'bad_rate', () => new Gcra({ ...rate, periodMs: Number.NaN }));
refused('a burst of 0', 'bad_rate', () => new Gcra({ ...rate, burst: 0 }));
refused('a burst of years', 'bad_rate', () => new Gcra({ ...rate, burst: 1e9 }));
refused('room for no key', 'bad_capacity', () => new Gcra({ ...rate, maxKeys: 0 }));
refused('room for too many keys', 'bad_capacity', () => new Gcra({ ...rate, maxKeys: 2 ** 26 + 1 }));
refused('half a cost', 'bad_argument', () => new Gcra(rate).check('a', 0.5));
refused('a cost below 0', 'bad_argument', () => new Gcra(rate).check('a', -1));
refused('a time below 0', 'bad_argument', () => new Gcra(rate).check('a', 1, -1));
refused('a size that is no prime', 'bad_size', () => new Maglev(NODES, 65_536));
refused('a size that is too large', 'bad_size', () => new Maglev(NODES, 5_000_077));
refused('no bucket', 'bad_argument', () => jumpHash('a', 0));
refused('too many buckets', 'bad_argument', () => jumpHash('a', 2 ** 32));
refused('a peer that is no address', 'bad_address', () => clientIp('localhost', '', []));
refused('a block that is none', 'bad_cidr', () => clientIp('10.0.0.1', '', ['10.0.0.0/33']));
refused('a block with bits behind it', 'bad_cidr', () => clientIp('10.0.0.1', '', ['10.1.0.0/8']));
refused('no PROXY header', 'bad_proxy_header', () => parseProxyHeader(bytes('GET / HTTP/1.1')));
refused('one end alone', 'bad_proxy_header', () => writeProxyHeader({ source }));
refused('a name for an address', 'bad_proxy_header', () =>
  writeProxyHeader({ source: { address: 'localhost', port: 1 }, destination }),
);
refused('a port too high', 'bad_proxy_header', () =>
  writeProxyHeader({ source: { ...source, port: 65_536 }, destination }),
);
refused('version 3', 'bad_proxy_header', () => writeProxyHeader({ version: 3 as 2 }));
refused('values in text', 'bad_proxy_header', () => writeProxyHeader({ ...tlv(1, 'h2'), version: 1 }));
refused('UDP in text', 'bad_proxy_header', () =>
  writeProxyHeader({ version: 1, transport: 'datagram', source, destination }),
);
refused('a type above 255', 'bad_proxy_header', () => writeProxyHeader(tlv(256, '')));
refused('a checksum by hand', 'bad_proxy_header', () => writeProxyHeader(tlv(TLV.CRC32C, new Uint8Array(4))));
refused('a long unique id', 'bad_proxy_header', () =>
  writeProxyHeader(tlv(TLV.UNIQUE_ID, new Uint8Array(129))),
);
refused('64 KiB', 'bad_proxy_header', () => writeProxyHeader(tlv(0xe0, new Uint8Array(65_521))));
test('64 KiB, all but a byte, are written', () => {
  assert.equal(writeProxyHeader(tlv(0xe0, new Uint8Array(65_520))).length, 16 + 65_535);
});

test('what ironsluice/parts exports is documented, and is where package.json says', async () => {
  const guide = readFileSync(`${ROOT}docs/guide/parts.md`, 'utf8');
  const parts = await import('../ts/parts.js');
  for (const name of Object.keys(parts)) assert.match(guide, new RegExp(`\\b${name}\\b`));
  const { exports } = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8'));
  const { types, default: module } = exports['./parts'];
  assert.deepEqual([types, module], ['./dist/ts/parts.d.ts', './dist/ts/parts.js']);
  assert.ok(readFileSync(ROOT + module, 'utf8').length > 0);
});

test('the examples of the guide hold', async () => {
  const guide = readFileSync(`${ROOT}docs/guide/parts.md`, 'utf8');
  const blocks = [...guide.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code = '']) => code);
  assert.ok(blocks.length >= 5);
  const parts = new URL('../ts/parts.js', import.meta.url).href;
  for (const block of blocks) {
    // `expression; // → value` is a claim.
    const code = block
      .replaceAll("'ironsluice/parts'", JSON.stringify(parts))
      .replace(/^(.+);\s+\/\/ → (.+)$/gm, 'assert.deepEqual($1, $2);');
    const text = `import assert from 'node:assert/strict';\n${code}`;
    await import(`data:text/javascript,${encodeURIComponent(text)}`);
  }
});

/** A test that `act` throws an error with this code. */
function refused(what: string, code: string, act: () => unknown): void {
  test(`refused: ${what}`, () => {
    throws(code, act);
  });
}

function throws(code: string, act: () => unknown): Error {
  try {
    act();
  } catch (error) {
    assert.ok(error instanceof Error);
    assert.equal((error as Error & { code?: string }).code, code, error.message);
    return error;
  }
  throw new Error(`nothing was thrown, wanted ${code}`);
}
