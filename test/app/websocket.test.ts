/**
 * WebSockets of an app behind the edge: the same cases with both engines.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { WebSocket } from 'ws';
import type { Engine } from '../../ts/http/load.js';
import { ConfigError } from '../../ts/index.js';
import { ENGINES } from '../kit/app.js';
import { type Client, site, webSocket } from '../kit/site.js';
import { until } from '../kit/until.js';

/** An app that does what messages say. */
const VERBS = (options = '') => `
import { defineApp } from 'ironsluice';
export default defineApp({
  fetch(request, ctx) {
    const [, verb, topic, text] = request.path.split('/');
    if (verb === 'publish') {
      for (const word of text.split(',')) ctx.publish(topic, word);
      return 'published';
    }
    return { worker: ctx.worker, closes: closes.value() };
  },
  websocket: {
    ${options}
    upgrade(request, ctx) {
      if (request.path === '/no') return { reply: { status: 403, headers: { 'x-why': 'name' }, body: { no: true } } };
      if (request.path === '/response') return { reply: new Response('gone', { status: 410 }) };
      if (request.path === '/throw') throw new Error('the secret');
      if (request.path === '/other') return { context: { user: '' }, protocol: 'not-offered' };
      const offered = request.header('sec-websocket-protocol');
      return { context: { user: request.query, worker: ctx.worker }, protocol: offered === undefined ? undefined : 'v2' };
    },
    open(socket) {
      socket.send(JSON.stringify([socket.context.user, socket.client, socket.route, socket.path, socket.protocol]));
    },
    message(socket, message) {
      if (typeof message !== 'string') { socket.send(message); return; }
      const [verb, topic, text] = message.split(' ');
      if (verb === 'subscribe') socket.subscribe(topic);
      if (verb === 'unsubscribe') socket.unsubscribe(topic);
      if (verb === 'publish') for (const word of text.split(',')) socket.publish(topic, word);
      if (verb === 'publish-bytes') socket.publish(topic, new TextEncoder().encode(text));
      if (verb === 'worker') socket.send('worker ' + socket.context.worker);
      if (verb === 'close') socket.close(Number(topic), text);
      if (verb === 'throw') throw new Error('boo');
      if (verb === 'reject') return Promise.reject(new Error('boo'));
      if (verb === 'bad') {
        const bad = [() => socket.subscribe(''), () => socket.send(5 as never), () => socket.close(1005),
          () => socket.close(1000, 'x'.repeat(124)), () => socket.publish('x'.repeat(257), '')];
        let n = 0;
        for (const run of bad) try { run(); } catch { n += 1; }
        socket.send('bad ' + n);
      }
      socket.send('done');
    },
    close(socket, code, reason) { closes.add(socket.path, code, reason); },
  },
});
/** What was closed since the last question; of one worker. */
const closes = {
  add(path, code, reason) { last.push(path + ' ' + code + ' ' + reason); },
  value: () => last.splice(0),
};
const last: string[] = [];
`;

/** Sends a message and waits until it was handled. */
async function say(client: Client, text: string): Promise<void> {
  const before = client.got.length;
  client.ws.send(text);
  await until(() => client.got.slice(before).includes('t:done'), `an answer to ${text}: ${client.got}`);
  client.got.splice(client.got.indexOf('t:done', before), 1);
}

/** How an upgrade is refused. */
async function refused(port: number, path: string, protocols: string[] = []): Promise<[number, string]> {
  const ws = new WebSocket(`ws://127.0.0.1:${port}${path}`, protocols);
  const [, answer] = await once(ws, 'unexpected-response');
  let text = '';
  answer.setEncoding('utf8').on('data', (part: string) => {
    text += part;
  });
  await once(answer, 'end');
  return [answer.statusCode, text];
}

const CASES: Record<string, (t: TestContext, engine: Engine) => Promise<void>> = {
  async 'a socket knows its context, client and route; text and bytes come back'(t, engine) {
    const { port, get } = await site(t, VERBS(), { engine });
    const { ws, got } = await webSocket(t, port, '/chat%20x?me', ['v1', 'v2']);
    assert.equal(ws.protocol, 'v2');
    ws.send(Buffer.from([1, 2, 0xff]));
    await until(() => got.length === 2, 'two messages');
    assert.equal(got[0], 't:["me","127.0.0.1","all","/chat%20x","v2"]');
    ws.send('bad');
    await until(() => got.includes('t:bad 5'), 'calls that are refused');
    ws.close(4001, 'bye');
    const closes: string[] = [];
    await until(async () => {
      closes.push(...((await (await get('/')).json()) as { closes: string[] }).closes);
      return closes.length > 0;
    }, 'the close handler');
    assert.deepEqual(closes, ['/chat%20x 4001 bye']);
  },

  async 'an upgrade is refused by an answer, a fault, or a handshake that is none'(t, engine) {
    const { port, get } = await site(t, VERBS(), { engine });
    assert.deepEqual(await refused(port, '/no'), [403, '{"no":true}']);
    assert.deepEqual(await refused(port, '/response'), [410, 'gone']);
    const [status, text] = await refused(port, '/throw');
    assert.equal(status, 500);
    assert.doesNotMatch(text, /secret/);
    assert.equal((await refused(port, '/other', ['v1']))[0], 500, 'a protocol that was not offered');
    assert.equal((await get('/')).status, 200);
  },

  async 'an app without websocket answers an upgrade as any request'(t, engine) {
    const { port } = await site(t, `export default (request) => request.method + ' ' + request.path;`, {
      engine,
    });
    assert.deepEqual(await refused(port, '/x'), [200, 'GET /x']);
  },

  async 'a handler that fails closes its socket with 1011, and no other'(t, engine) {
    const { port } = await site(t, VERBS(), { engine });
    const other = await webSocket(t, port);
    for (const verb of ['throw', 'reject']) {
      const { ws, closed } = await webSocket(t, port);
      ws.send(verb);
      assert.equal(await closed, 1011, verb);
    }
    await say(other, 'worker');
    const { ws, closed } = await webSocket(t, port);
    ws.send('close 4003 x');
    assert.equal(await closed, 4003);
  },

  async 'what is published reaches all workers, in order, from a socket, a request and the program'(
    t,
    engine,
  ) {
    const { port, get, gateway } = await site(t, VERBS(), { engine, workers: 3 });
    const clients: Client[] = [];
    const workers = new Set<string>();
    for (let i = 0; i < 60 && (workers.size < 3 || i < 6); i += 1) {
      const client = await webSocket(t, port);
      await say(client, 'worker');
      workers.add(client.got.splice(0).find((text) => text.startsWith('t:worker')) ?? '');
      await say(client, 'subscribe news');
      clients.push(client);
    }
    assert.equal(workers.size, 3, 'sockets in all workers');
    const [publisher] = clients as [Client];
    const words = Array.from({ length: 500 }, (_, i) => `${i}`);
    await say(publisher, `publish news ${words.join(',')}`);
    await say(publisher, 'publish-bytes news end');
    const others = clients.slice(1);
    await until(() => others.every(({ got }) => got.at(-1) === 'b:end'), 'the last of a socket');
    for (const { got } of others) assert.deepEqual(got.splice(0), [...words.map((w) => `t:${w}`), 'b:end']);
    assert.deepEqual(publisher.got, [], 'not to who published');

    await get(`/publish/news/${words.slice(0, 100).join(',')}`);
    await until(() => clients.every(({ got }) => got.length === 100), 'all of a request');
    for (const { got } of clients) {
      assert.deepEqual(
        got.splice(0),
        words.slice(0, 100).map((w) => `t:${w}`),
      );
    }

    for (const word of words) assert.equal(gateway.publish('site', 'news', word), true);
    gateway.publish('site', 'news', Buffer.from('é'));
    await until(() => clients.every(({ got }) => got.at(-1) === 'b:é'), 'the last of the program');
    for (const { got } of clients) assert.deepEqual(got.splice(0), [...words.map((w) => `t:${w}`), 'b:é']);

    await say(clients[1] as Client, 'unsubscribe news');
    gateway.publish('site', 'news', 'x');
    await until(() => publisher.got.length === 1, 'the message after');
    assert.deepEqual(clients[1]?.got, []);
    assert.throws(() => gateway.publish('other', 'news', 'x'), { code: 'usage' });
    assert.throws(() => gateway.publish('site', '', 'x'), RangeError);
    assert.throws(() => gateway.publish('site', 'news', 5 as never), TypeError);
  },

  async 'a reload leaves sockets with their worker until its deadline; topics join both'(t, engine) {
    const { port, replace, gateway, get } = await site(t, VERBS('// one'), {
      engine,
      app: { drain_timeout: '1500ms' },
    });
    const old = await webSocket(t, port, '/?old');
    await say(old, 'subscribe news');
    old.got.length = 0;
    await replace(VERBS('// two'));
    const reloaded = performance.now();
    const fresh = await webSocket(t, port, '/?new');
    await say(fresh, 'subscribe news');
    fresh.got.length = 0;
    await say(old, 'publish news from-old');
    await say(fresh, 'publish news from-new');
    gateway.publish('site', 'news', 'from-outside');
    await get('/publish/news/from-fetch');
    await until(() => old.got.length === 3 && fresh.got.length === 3, 'messages of both generations');
    assert.deepEqual(old.got.sort(), ['t:from-fetch', 't:from-new', 't:from-outside']);
    assert.deepEqual(fresh.got.sort(), ['t:from-fetch', 't:from-old', 't:from-outside']);
    assert.equal(await old.closed, 1001);
    const after = performance.now() - reloaded;
    assert.ok(after > 1_000, `closed ${after} ms after the reload`);
    await say(fresh, 'worker');
    assert.equal(fresh.ws.readyState, WebSocket.OPEN);
  },

  async 'the close handler runs when a worker goes'(t, engine) {
    const module = (n: number) => `
      export default {
        fetch: () => 'ok',
        websocket: {
          open(socket) { socket.subscribe('ends'); },
          close(socket, code) { socket.publish('ends', ${n} + ' ' + code); },
        },
      };`;
    const { port, replace } = await site(t, module(1), { engine, app: { drain_timeout: '200ms' } });
    const old = await webSocket(t, port);
    await replace(module(2));
    const [fresh, other] = [await webSocket(t, port), await webSocket(t, port)];
    assert.equal(await old.closed, 1001);
    await until(() => fresh.got.length > 0, 'the word of the close handler, from the old worker');
    other.ws.close(4000);
    await until(() => fresh.got.length > 1, 'that of a socket beside it');
    assert.deepEqual(fresh.got, ['t:1 1001', 't:2 4000']);
  },

  async 'frequent reloads keep the sockets of three old modules, and no more'(t, engine) {
    const { port, replace } = await site(t, VERBS('// 0'), { engine, app: { drain_timeout: '60s' } });
    const clients = [await webSocket(t, port)];
    for (let n = 1; n <= 4; n += 1) {
      await replace(VERBS(`// ${n}`));
      clients.push(await webSocket(t, port));
    }
    assert.equal(await clients[0]?.closed, 1001);
    for (const client of clients.slice(1)) await say(client, 'worker');
  },

  async 'a stop of the gateway closes with 1001 well before its patience ends'(t, engine) {
    const { port, gateway } = await site(t, VERBS(), { engine, workers: 2 });
    const clients = [await webSocket(t, port), await webSocket(t, port), await webSocket(t, port)];
    const began = performance.now();
    await gateway.close(20_000);
    assert.ok(performance.now() - began < 10_000, `${performance.now() - began} ms`);
    assert.deepEqual(await Promise.all(clients.map(({ closed }) => closed)), [1001, 1001, 1001]);
  },

  async 'compression is agreed on if the app wants it'(t, engine) {
    const text = 'z'.repeat(20_000);
    for (const wanted of [true, false]) {
      const { port } = await site(t, VERBS(`compression: ${wanted},`), { engine });
      const { ws, got } = await webSocket(t, port, '/', [], { perMessageDeflate: true });
      assert.equal(ws.extensions, wanted ? 'permessage-deflate' : '');
      const before = (ws as unknown as { _socket: { bytesRead: number } })._socket.bytesRead;
      ws.send(Buffer.from(text));
      await until(() => got.length === 2, 'the echo');
      assert.equal(got[1], `b:${text}`);
      const read = (ws as unknown as { _socket: { bytesRead: number } })._socket.bytesRead - before;
      assert.equal(read < 1_000, wanted, `${read} bytes`);
    }
  },

  async 'a client that does not read loses messages beyond the limit, and nobody else does'(t, engine) {
    const { port, gateway } = await site(t, VERBS('maxBackpressure: 65_536,'), { engine });
    const [slow, quick] = [await webSocket(t, port), await webSocket(t, port)];
    for (const client of [slow, quick]) await say(client, 'subscribe news');
    slow.got.length = 0;
    quick.got.length = 0;
    slow.ws.pause();
    const count = 300;
    const filler = 'x'.repeat(60_000);
    for (let i = 0; i < count; i += 1) {
      gateway.publish('site', 'news', `${i} ${filler}`);
      await until(() => quick.got.length === i + 1, `message ${i}`);
    }
    const numbers = (client: Client): number[] =>
      client.got.map((text) => Number.parseInt(text.slice(2), 10));
    assert.deepEqual(
      numbers(quick),
      Array.from({ length: count }, (_, i) => i),
    );
    slow.ws.resume();
    await until(() => {
      gateway.publish('site', 'news', 'last');
      return slow.got.includes('t:last');
    }, 'a message after the slow client reads again');
    const got = numbers(slow).filter((n) => !Number.isNaN(n));
    assert.ok(got.length > 0 && got.length < count, `${got.length} of ${count}`);
    assert.deepEqual(
      got,
      [...new Set(got)].sort((a, b) => a - b),
      'in order, each once',
    );
  },

  async 'a client that answers no ping is closed after the idle timeout; one that does stays'(t, engine) {
    const { port } = await site(t, VERBS('idleTimeout: 8,'), { engine });
    const alive = await webSocket(t, port);
    const dead = await webSocket(t, port, '/', [], { autoPong: false });
    const began = performance.now();
    const code = await dead.closed;
    const after = performance.now() - began;
    assert.ok(after > 6_000 && after < 16_000, `${code} after ${after} ms`);
    assert.equal(alive.ws.readyState, WebSocket.OPEN);
  },
};

for (const engine of ENGINES) {
  for (const [name, run] of Object.entries(CASES)) test(`${engine}: ${name}`, (t) => run(t, engine));
}

test('options that are none fail the start, with the place', async (t) => {
  const cases: [string, RegExp][] = [
    ['maxPayload: 0', /websocket\.maxPayload is a whole number of bytes from 1 to 134217728, not 0/],
    ['maxPayload: "1k"', /websocket\.maxPayload is a number of bytes, not string/],
    ['maxBackpressure: 1e10', /websocket\.maxBackpressure is a whole number of bytes from 1024 to/],
    ['idleTimeout: 5', /websocket\.idleTimeout is 0 or a whole number of seconds from 8 to 960, not 5/],
    ['compression: "on"', /websocket\.compression is true or false, not string/],
    ['massage() {}', /websocket\.massage is not known; there are upgrade, open, message/],
    ['open: 5', /websocket\.open is a function, not number/],
  ];
  for (const [option, why] of cases) {
    const defined = `import { defineApp } from 'ironsluice';\n\nexport default defineApp({\n  fetch: () => 'ok',\n  websocket: { ${option} } as never,\n});\n`;
    await assert.rejects(site(t, defined), (error: unknown) => {
      assert.ok(error instanceof ConfigError, String(error));
      assert.equal(error.faults[0]?.path, 'apps[0].module');
      assert.match(error.faults[0]?.why ?? '', /app\.ts:3:16: /);
      assert.match(error.faults[0]?.why ?? '', why);
      return true;
    });
  }
  // Without defineApp there is no place, but the same fault.
  await assert.rejects(
    site(t, `export default { fetch: () => 'ok', websocket: { idleTimeout: 5 } };`),
    /idleTimeout is 0 or/,
  );
  await assert.rejects(site(t, `export default { fetch: () => 'ok', websocket: null };`), /not null/);
});

test('a socket at a door of the app hears what one behind the edge says', async (t) => {
  const listeners = [
    { name: 'web', bind: '127.0.0.1:0', door: 'app', app: 'site' },
    { name: 'edge', bind: '127.0.0.1:0' },
  ] as never;
  const { gateway, port } = await site(t, VERBS(), { engine: 'uws', more: { listeners } });
  const edge = gateway
    .addresses()
    .find(({ name }) => name === 'edge')
    ?.address.split(':')[1];
  const [direct, behind] = [await webSocket(t, port), await webSocket(t, Number(edge))];
  for (const client of [direct, behind]) await say(client, 'subscribe news');
  for (const client of [direct, behind]) client.got.length = 0;
  await say(behind, 'publish news one');
  await until(() => direct.got.length === 1, 'the message at the door');
  await say(direct, 'publish news two');
  await until(() => behind.got.length === 1, 'the message behind the edge');
  assert.deepEqual([direct.got, behind.got], [['t:one'], ['t:two']]);
});

test('what a stuck worker does not get is bounded, said, and counted; later messages arrive', async (t) => {
  const { port, gateway, get } = await site(
    t,
    `
    import { defineApp } from 'ironsluice';
    export default defineApp({
      fetch(request, ctx) {
        ctx.counter('stuck').add(1);
        for (const end = performance.now() + 1_500; performance.now() < end; );
        return 'free';
      },
      websocket: { maxBackpressure: 1 << 30, open: (socket) => socket.subscribe('news') },
    });`,
  );
  const { got } = await webSocket(t, port);
  await until(() => {
    gateway.publish('site', 'news', 'hello');
    return got.length > 0;
  }, 'a subscription');
  const metric = async (name: string): Promise<number> =>
    Number(new RegExp(`name="${name}"\\} (\\d+)`).exec(await gateway.metrics())?.[1] ?? 0);
  const [stuck, dropped] = [await metric('stuck'), await metric('publish_dropped')];
  const free = get('/');
  await until(async () => (await metric('stuck')) > stuck, 'the worker is stuck');
  const filler = 'x'.repeat(1 << 20); // two bytes a character, as far as the bound knows
  const results = Array.from({ length: 20 }, (_, n) => gateway.publish('site', 'news', `${n} ${filler}`));
  assert.equal(results.indexOf(false), 7);
  assert.equal(results.lastIndexOf(true), 6);
  assert.equal(await (await free).text(), 'free');
  gateway.publish('site', 'news', 'after');
  await until(() => got.at(-1) === 't:after', 'a message after it');
  const numbers = got.filter((text) => text.length > 1_000).map((text) => Number.parseInt(text.slice(2), 10));
  assert.deepEqual(numbers, [0, 1, 2, 3, 4, 5, 6]);
  assert.equal((await metric('publish_dropped')) - dropped, 13);
});
