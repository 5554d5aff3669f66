/**
 * websocket: which sites may open one, over HTTP/1.1 and HTTP/2; and that no client has more open than it may, nor fewer
 * after some have ended, however they did.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createServer, type Server, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { ConfigError } from '../../ts/errors.js';
import type { Filter, WebsocketFilter } from '../../ts/generated/config.js';
import type { Config } from '../../ts/index.js';
import { gateway, type TestGateway } from '../kit/gateway.js';
import { site } from '../kit/site.js';
import { ACCEPT, CARRIERS, type Carrier, KEY, type Tunnel, tunnel } from '../kit/tunnel.js';
import { until } from '../kit/until.js';

const ASKED: readonly Carrier[] = CARRIERS.filter((carrier) => carrier !== 'tls');

/** A gateway before an origin that opens tunnels; what its path says becomes of them. */
interface Ground extends TestGateway {
  /** Requests that reached the origin. */
  readonly asked: string[];
  /** Its sockets. */
  readonly sockets: Set<Socket>;
  config(filters: Filter[]): Config;
  open(carrier?: Carrier, path?: string, fields?: Record<string, string>): Promise<Tunnel>;
}

async function ground(
  t: TestContext,
  filters: Filter[],
  workers = 1,
  more: Partial<Config> = {},
): Promise<Ground> {
  const asked: string[] = [];
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket)).on('error', () => {});
    socket.on('data', (part) => {
      const text = part.toString('latin1');
      const path = /^GET (\S+) /.exec(text)?.[1];
      if (path === undefined) return void socket.write(part);
      asked.push(path);
      const key = /^sec-websocket-key: (\S+)/im.exec(text)?.[1] ?? '';
      socket.write(
        path === '/tunnel' || path === '/ends'
          ? yes(key)
          : (NO[path] ?? 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'),
      );
      if (path === '/ends') socket.end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const { port } = server.address() as { port: number };
  const config = (which: Filter[]): Config => ({
    workers,
    admin: 'off',
    listeners: [{ name: 'web', bind: '127.0.0.1:0', http2: { cleartext: true } }],
    upstreams: [{ name: 'up', endpoints: [`127.0.0.1:${port}`], timeouts: { response: '300ms' } }],
    routes: [{ name: 'all', to: 'up', filters: which }],
    ...more,
  });
  const running = await gateway(t, config(filters));
  return {
    ...running,
    asked,
    sockets,
    config,
    open: (carrier = 'http1', path = '/tunnel', fields = {}) =>
      tunnel(t, carrier, running.port, path, fields),
  };
}

function yes(key: string): string {
  const accept = key === KEY ? ACCEPT : createHash('sha1').update(`${key}${GUID}`).digest('base64');
  return `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`;
}

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
/** Answers that open nothing; to `/silent` there is none. */
const NO: Record<string, string> = {
  '/refused': 'HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno',
  '/unproved': 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
  '/silent': '',
};

const code = ({ status, headers, body }: Tunnel): [number, string] => {
  assert.equal(headers['content-type'], 'application/problem+json');
  return [status, (JSON.parse(body) as { code: string }).code];
};

async function replies(ground: Ground, name: string): Promise<number> {
  const line = new RegExp(`^ironsluice_replies_total\\{code="${name}"\\} (\\d+)`, 'm');
  return Number(line.exec(await ground.gateway.metrics())?.[1] ?? 0);
}

test('a page of a site that is not listed opens nothing, and nothing of it goes upstream', async (t) => {
  const edge = await ground(t, [{ use: 'websocket', origins: ['same', 'https://*.example.com'] }]);
  const here = `http://127.0.0.1:${edge.port}`;
  let refused = 0;
  for (const carrier of ASKED) {
    for (const [origin, allowed] of [
      [here, true],
      ['https://app.example.com', true],
      ['https://example.com', false],
      ['https://app.example.com.evil.test', false],
      ['http://127.0.0.1:1', false],
      ['null', false],
      [undefined, false],
    ] as const) {
      const before = edge.asked.length;
      const got = await edge.open(carrier, '/tunnel', origin === undefined ? {} : { origin });
      assert.equal(got.isOpen, allowed, `${carrier} ${origin}`);
      if (!allowed) {
        refused += 1;
        assert.deepEqual(code(got), [403, 'websocket_origin'], `${carrier} ${origin}`);
      }
      assert.equal(edge.asked.length - before, allowed ? 1 : 0, `${carrier} ${origin}`);
      got.cut();
    }
  }
  assert.equal(await replies(edge, 'websocket_origin'), refused);
  const plain = await edge.get('/', { headers: { origin: 'https://evil.test' } });
  assert.deepEqual([plain.status, await plain.text()], [200, 'ok'], 'what is no upgrade is untouched');
});

test('a client gets as many as it may, and again as many once some have ended, however they did', async (t) => {
  const quota: WebsocketFilter = { use: 'websocket', connections_per_client: 3 };
  const edge = await ground(t, [quota]);
  const full = async (what: string): Promise<Tunnel[]> => {
    const open: Tunnel[] = [];
    // An end is seen a moment later on the other side; never is one more admitted.
    await until(async () => {
      const got = await edge.open(ASKED[open.length % 2], '/tunnel');
      if (got.isOpen) open.push(got);
      else got.cut();
      return open.length === 3;
    }, `three after ${what}`);
    for (const carrier of ASKED) {
      const before = edge.asked.length;
      const got = await edge.open(carrier);
      assert.deepEqual(code(got), [429, 'websocket_quota'], what);
      assert.equal(got.headers['retry-after'], undefined);
      assert.equal(edge.asked.length, before, 'nothing went upstream');
      got.cut();
    }
    assert.equal((await edge.get('/')).status, 200, 'a plain request is not counted');
    return open;
  };
  let open = await full('the start');
  const ends: Record<string, () => unknown> = {
    'clients that went away': () => open.map((one) => one.cut()),
    'clients that ended': () => open.map(({ stream }) => stream.end()),
    'an upstream that reset': () => [...edge.sockets].map((socket) => socket.resetAndDestroy()),
    'an upstream that ended': () => [...edge.sockets].map((socket) => socket.end()),
  };
  for (const [what, end] of Object.entries(ends)) {
    end();
    open = await full(what);
  }
  // With one place left: attempts that come to nothing one after the other take no place.
  open.pop()?.cut();
  await until(async () => (await edge.open('http1', '/refused')).status === 401, 'a place');
  for (const [path, status] of [
    ['/refused', 401],
    ['/unproved', 502],
    ['/plain', 200],
    ['/silent', 504],
  ] as const) {
    for (const carrier of ASKED.filter((one) => one === 'http1' || path !== '/plain')) {
      for (let n = 0; n < 3; n += 1) {
        const got = await edge.open(carrier, path);
        assert.equal(got.status, status, `${path} ${carrier} ${n}`);
        got.cut();
      }
    }
  }
  assert.ok((await replies(edge, 'websocket_quota')) >= 10);
});

test('a reload keeps the count, with another number too; and what the old config admitted is given back', async (t) => {
  const quota = (n: number): WebsocketFilter => ({ use: 'websocket', connections_per_client: n });
  const edge = await ground(t, [quota(2)]);
  const [first] = [await edge.open(), await edge.open('http2')];
  assert.equal((await edge.open()).status, 429);
  await edge.gateway.reload(edge.config([{ use: 'headers', request: { set: { a: 'b' } } }, quota(3)]));
  assert.equal((await edge.open()).status, 101);
  assert.equal((await edge.open()).status, 429);
  await edge.gateway.reload(edge.config([]));
  await edge.gateway.reload(edge.config([quota(3)]));
  assert.equal((await edge.open()).status, 429, 'what is open was counted meanwhile');
  first?.cut();
  await until(async () => (await edge.open()).isOpen, 'the place of one that an old config admitted');
  assert.equal((await edge.open()).status, 429);
});

test('two shards together admit exactly so many', async (t) => {
  const edge = await ground(t, [{ use: 'websocket', connections_per_client: 20 }], 2);
  const all = await Promise.all(Array.from({ length: 80 }, (_, n) => edge.open(ASKED[n % 2])));
  const refused = all.filter(({ status }) => status === 429).length;
  assert.deepEqual([all.filter(({ isOpen }) => isOpen).length, refused], [20, 60]);
});

test('clients count apart, and a table that is full takes no new one', async (t) => {
  const edge = await ground(t, [
    { use: 'client_ip', trust: ['127.0.0.1'] },
    { use: 'websocket', connections_per_client: 1, max_clients: 2 },
  ]);
  const from = (ip: string): Promise<Tunnel> => edge.open('http1', '/tunnel', { 'X-Forwarded-For': ip });
  const first = await from('2001:db8::1');
  assert.ok(first.isOpen);
  assert.deepEqual(code(await from('2001:db8::2')), [429, 'websocket_quota'], 'one /64 is one client');
  assert.ok((await from('192.0.2.1')).isOpen);
  assert.deepEqual(code(await from('192.0.2.2')), [503, 'websocket_clients']);
  first.cut();
  await until(async () => (await from('192.0.2.2')).isOpen, 'room');
});

test('at the door of an app a client gets as many as it may, and again as many once some have ended', async (t) => {
  const filters: Filter[] = [{ use: 'websocket', connections_per_client: 2 }];
  const { port } = await site(
    t,
    `export default {
  fetch: () => 'ok',
  websocket: {
    open: (socket) => void socket.send('open'),
    message: (socket, text) => void (text === 'close' ? socket.close(1000) : socket.send(text)),
  },
};`,
    {
      workers: 2,
      more: {
        listeners: [{ name: 'web', bind: '127.0.0.1:0', door: 'app', app: 'site' }],
        routes: [{ name: 'all', to: { app: 'site' }, filters }],
      },
    },
  );
  const full = async (what: string): Promise<Tunnel[]> => {
    const open: Tunnel[] = [];
    await until(async () => {
      const got = await tunnel(t, 'http1', port);
      if (got.isOpen) open.push(got);
      else got.cut();
      return open.length === 2;
    }, `two after ${what}`);
    // What is silent would be handed over by now, were it not counted.
    for (const one of open) await comesBack(one, 'hello');
    for (let n = 0; n < 4; n += 1) {
      const got = await tunnel(t, 'http1', port);
      assert.deepEqual(code(got), [429, 'websocket_quota'], what);
      got.cut();
    }
    return open;
  };
  let open = await full('the start');
  for (const [what, end] of [
    ['clients that went away', (one: Tunnel) => one.cut()],
    ['clients that ended', (one: Tunnel) => one.stream.end()],
    ['an app that closed', (one: Tunnel) => one.stream.write(frame('close'))],
  ] as const) {
    open.map(end);
    open = await full(what);
  }
});

/** A short text in a frame of a client, whose mask changes nothing. */
function frame(text: string): Buffer {
  return Buffer.concat([Buffer.from([0x81, 0x80 | text.length, 0, 0, 0, 0]), Buffer.from(text)]);
}

/** Sends a text and waits for it; the stream goes on flowing. */
async function comesBack({ stream }: Tunnel, text: string): Promise<void> {
  let seen = '';
  const listen = (part: Buffer): void => {
    seen += part.toString('latin1');
  };
  stream.on('data', listen).resume();
  stream.write(frame(text));
  await until(() => seen.endsWith(text), `${text}, there is ${JSON.stringify(seen)}`);
  stream.off('data', listen);
}

test('a second filter is a fault', async (t) => {
  const edge = await ground(t, []);
  const quota: WebsocketFilter = { use: 'websocket', connections_per_client: 1 };
  const twice = edge.config([quota, quota]);
  await assert.rejects(edge.gateway.reload(twice), (error: unknown) => {
    assert.ok(error instanceof ConfigError);
    assert.deepEqual(
      error.faults.map(({ path }) => path),
      ['routes[0].filters[1]'],
    );
    return true;
  });
});
