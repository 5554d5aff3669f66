/**
 * What carries topics to other nodes: frames, what waits and is dropped, and gateways that share a real Redis.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { framed, packed, unframe } from '../../ts/app/frames.js';
import { MOST_AGE_MS, MOST_MESSAGE_BYTES, MOST_WAITING_BYTES, Outbox } from '../../ts/app/outbox.js';
import type { Store } from '../../ts/generated/config.js';
import { certificate } from '../kit/certificate.js';
import { faultProxy } from '../kit/fault-proxy.js';
import { cluster, type RedisServer, redis, sentinels } from '../kit/redis.js';
import { type Client, type Site, site, webSocket } from '../kit/site.js';
import { until } from '../kit/until.js';

const A = Buffer.from('aaaaaaaa');
const B = Buffer.from('bbbbbbbb');

/** What a frame has for node B. */
function read(frame: Buffer): [string, unknown][] {
  const got: [string, unknown][] = [];
  unframe(frame, B, (topic, message) => got.push([topic, message]));
  return got;
}

test('a frame has its messages, text and bytes, and nothing for the node that it is from', () => {
  const messages: [string, string | Uint8Array][] = [
    ['t', 'text'],
    ['é'.repeat(256), '👋'],
    ['t', ''],
    ['t', Uint8Array.of(0, 255)],
    ['t', new Uint8Array(0)],
    ['big', 'x'.repeat(70_000)],
  ];
  const packs = messages.map(([topic, message]) => packed(topic, message));
  assert.deepEqual(read(framed(A, packs)), messages);
  assert.deepEqual(read(framed(B, packs)), []);
  assert.deepEqual(read(framed(A, [])), []);
});

test('what is no frame is refused, wherever it is cut or changed', () => {
  const whole = framed(A, [packed('topic', 'message')]);
  const ends = new Set([9, whole.length]);
  for (let length = 0; length < whole.length; length += 1) {
    if (ends.has(length)) continue;
    assert.throws(() => read(whole.subarray(0, length)), RangeError, `${length} bytes`);
  }
  const changed = (at: number, byte: number): Buffer => {
    const copy = Buffer.from(whole);
    copy[at] = byte;
    return copy;
  };
  const cases: [Buffer, RegExp][] = [
    [changed(0, 2), /form/],
    [changed(9, 2), /kind 2/],
    [changed(10, 255), /within a message/],
    [changed(12, 255), /within a message/],
    [framed(A, [packed('', 'x')]), /topic/],
    [framed(A, [packed('x'.repeat(257), 'x')]), /topic/],
  ];
  for (const [frame, why] of cases) assert.throws(() => read(frame), why);
});

test('what waits is bounded in bytes and in time: the oldest are dropped', () => {
  const dropped: string[] = [];
  const box = new Outbox((app, why) => dropped.push(`${app}: ${why}`));
  assert.equal(box.take(0), undefined);
  for (let n = 0; n < 3_000; n += 1)
    box.put(n % 1_500 < 1_000 ? 'a' : 'b', Buffer.from([n >> 8, n & 255]), 0);
  const numbers: number[] = [];
  const apps: string[] = [];
  for (let batch = box.take(0); batch !== undefined; batch = box.take(0)) {
    apps.push(batch.app);
    numbers.push(...batch.messages.map((message) => message.readUInt16BE(0)));
  }
  assert.deepEqual(apps, ['a', 'b', 'a', 'b'], 'a batch is of one app');
  assert.deepEqual(
    numbers,
    Array.from({ length: 3_000 }, (_, n) => n),
    'in the order they came',
  );
  assert.equal(box.bytes, 0);

  box.put('a', Buffer.alloc(MOST_MESSAGE_BYTES + 1), 0);
  assert.match(dropped.splice(0).join(), /^a: a message has 1048577 bytes/);
  for (let n = 0; n < 8; n += 1) box.put('a', Buffer.alloc(MOST_MESSAGE_BYTES, n), 0);
  assert.match(dropped.splice(0).join(), /^a: more than 8388608 bytes wait$/);
  assert.ok(box.bytes <= MOST_WAITING_BYTES);
  assert.equal(box.take(MOST_AGE_MS)?.messages[0]?.[0], 1, 'the oldest was dropped');
  assert.equal(box.take(MOST_AGE_MS + 1), undefined);
  assert.equal(dropped.length, 6);
  assert.match(dropped[0] ?? '', /away for 10 s/);
});

/** An app whose sockets are on topic `t` and whose requests publish: `/text/a,b` or `/bytes/…` each word, `/big/N` N bytes. */
const APP = `
import { defineApp } from 'ironsluice';
export default defineApp({
  fetch({ path }, ctx) {
    const [, kind, text] = path.split('/');
    if (kind === 'big') return String(ctx.publish('t', new Uint8Array(Number(text))));
    for (const word of text.split(',')) ctx.publish('t', kind === 'text' ? word : new TextEncoder().encode(word));
    return 'published';
  },
  websocket: {
    open(socket) { socket.subscribe('t'); socket.send('open'); },
    message(socket, message) { socket.publish('t', message); },
    close(socket) { socket.publish('t', 'left'); },
  },
});
`;

interface Place {
  node: Site;
  client: Client;
}

/** A gateway with a socket on topic `t`. */
async function place(t: TestContext, store: Store, workers = 2, app: object = {}): Promise<Place> {
  const node = await site(t, APP, { workers, app: { topics: 'global', ...app }, more: { store } });
  const client = await webSocket(t, node.port);
  await until(() => client.got.length === 1, 'the socket is on the topic');
  client.got.splice(0);
  return { node, client };
}

async function metric({ node }: Place, name: string): Promise<number> {
  const text = await node.gateway.metrics();
  const line = text.split('\n').find((one) => one.includes(`name="topics_${name}"`));
  return Number(line?.slice(line.lastIndexOf(' ') + 1) ?? 0);
}

/** Publishes at one until it comes at the other. */
async function linked(from: Place, to: Place, patienceMs = 10_000): Promise<void> {
  const comes = async (): Promise<boolean> => {
    await from.node.get('/text/hello');
    return to.client.got.includes('t:hello');
  };
  await until(comes, 'a message comes to the other node', patienceMs);
  // What was on its way comes before this.
  await from.node.get('/text/mark');
  await until(() => to.client.got.includes('t:mark'), 'all of them came');
  await until(() => from.client.got.includes('t:mark'), 'also here');
  from.client.got.splice(0);
  to.client.got.splice(0);
}

test('what is published at one gateway comes to the subscribers at all, once and in order', async (t) => {
  const server = await redis(t);
  const store = { redis: server.url };
  const [a, b, c] = [
    await place(t, store),
    await place(t, store),
    await place(t, store, 1, { topics: 'process' }),
  ];
  await linked(a, b);
  await linked(b, a);
  const words = Array.from({ length: 2_000 }, (_, n) => `${n}`);
  const before = await publishes(server);
  await a.node.get(`/text/${words.slice(0, 1_000)}`);
  const wanted = words.slice(0, 1_000).map((word) => `t:${word}`);
  await until(() => b.client.got.length >= 1_000, 'all messages at b');
  assert.ok((await publishes(server)) - before < 20, 'what is published together travels together');
  await b.node.get('/bytes/last,one');
  await until(() => a.client.got.length >= 1_002 && b.client.got.length >= 1_002, 'the last');
  for (const { client } of [a, b]) assert.deepEqual(client.got.splice(0), [...wanted, 'b:last', 'b:one']);

  // Of a socket to all but itself, and of the program.
  a.client.ws.send('said');
  b.node.gateway.publish('site', 't', 'by the program');
  b.node.gateway.publish('site', 't', Buffer.from('bytes'));
  await until(() => a.client.got.length === 2 && b.client.got.length === 3, 'all of them');
  assert.deepEqual(a.client.got.splice(0), ['t:by the program', 'b:bytes']);
  assert.deepEqual(b.client.got.splice(0).sort(), ['b:bytes', 't:by the program', 't:said']);
  a.client.ws.close();
  await until(() => b.client.got.length === 1, 'the last word');
  assert.deepEqual(b.client.got, ['t:left']);
  assert.deepEqual(c.client.got, [], 'an app whose topics stay in its process');
  assert.ok((await metric(a, 'sent')) >= 1_000);
  assert.ok((await metric(b, 'received')) >= 1_000);
  assert.equal(await metric(a, 'dropped'), 0);
});

test('without the store topics go on here, what waits is bounded, and they go again when it is back', async (t) => {
  const server = await redis(t);
  const proxy = await faultProxy(t, server.port);
  const [a, b] = [
    await place(t, { redis: `redis://127.0.0.1:${proxy.port}` }),
    await place(t, { redis: server.url }),
  ];
  await linked(a, b);
  proxy.cut();
  await a.node.get('/text/1,2,3');
  await until(() => a.client.got.length === 3, 'those here get it at once');
  assert.deepEqual(a.client.got.splice(0), ['t:1', 't:2', 't:3']);
  // 12 MiB: those in front are too many.
  for (let n = 0; n < 24; n += 1) await a.node.get(`/big/${(512 << 10) - 8}`);
  await until(() => a.client.got.length === 24, 'those here get it all');
  a.client.got.splice(0);
  await until(async () => (await metric(a, 'dropped')) >= 8, 'the oldest were dropped');
  proxy.mend();
  await until(() => b.client.got.length >= 15, 'what waited comes');
  assert.ok(
    b.client.got.every((message) => message.startsWith('b:')),
    'the texts were the oldest',
  );
  b.client.got.splice(0);
  await linked(a, b);
  await linked(b, a);
  assert.equal(await (await a.node.get(`/big/${1 << 20}`)).text(), 'true');
  await until(() => a.client.got.length === 1, 'one that is too large comes here');
  await linked(a, b);

  // A server that hangs, and one that forgets its subscribers.
  server.pause();
  await a.node.get('/text/alone');
  await until(() => a.client.got.length === 1, 'those here get it');
  server.resume();
  await until(() => b.client.got.includes('t:alone'), 'it waited');
  await linked(a, b);
  await server.admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
  await linked(a, b);
  await server.kill();
  await server.start();
  await linked(b, a);
});

test('what others write to the channel is no message, and stops nothing', async (t) => {
  const server = await redis(t);
  const lines: string[] = [];
  const put = (_: unknown, message: string): void => void lines.push(message);
  const log = { info: put, warn: put, error: put } as never;
  const node = await site(t, APP, { app: { topics: 'global' }, more: { store: { redis: server.url } }, log });
  const client = await webSocket(t, node.port);
  const channel = 'ironsluice:topics:0:site';
  await until(async () => (await server.admin.publish(channel, 'nonsense')) === 1, 'it is heard');
  await until(() => lines.some((line) => /not from a gateway/.test(line)), 'it is said');
  await server.admin.publish(channel, Buffer.alloc(100, 1));
  await server.admin.publish(channel, framed(A, [packed('t', 'good')]));
  await until(() => client.got.includes('t:good'), 'a message that is one');
  assert.equal(lines.filter((line) => /not from a gateway/.test(line)).length, 1, 'once');
});

test('topics go by TLS, for a user who may use keys and channels of the prefix only', async (t) => {
  const own = await certificate(t);
  const users = ['gate on >secret ~mine:* &mine:* +@all -@dangerous +info'];
  const server = await redis(t, { certificate: own, users });
  const more = { prefix: 'mine', username: 'gate', password: 'secret', tls: { ca: own.ca } };
  const [a, b] = [
    await place(t, { redis: server.url, ...more }),
    await place(t, { redis: server.url, ...more }),
  ];
  await linked(a, b);
  await linked(b, a);
});

test('a reload brings topics to other nodes, to another store, and back into the process', async (t) => {
  const [one, two] = [await redis(t), await redis(t)];
  const [a, b] = [await place(t, { redis: one.url }), await place(t, { redis: one.url, prefix: 'other' })];
  const change = (store: Store, topics: 'process' | 'global'): Promise<number> => {
    const [app] = b.node.config.apps ?? [];
    return b.node.gateway.reload({ ...b.node.config, store, apps: [{ ...app, topics }] });
  };
  await change({ redis: one.url }, 'global');
  await linked(a, b);
  assert.deepEqual(await subscribers(one), 2);
  await change({ redis: two.url }, 'global');
  await until(async () => (await subscribers(two)) === 1, 'it hears the other store');
  assert.equal(await subscribers(one), 1);
  await change({ redis: one.url }, 'global');
  await linked(a, b);
  await change({ redis: one.url }, 'process');
  await until(async () => (await subscribers(one)) === 1, 'it hears nobody');
  await b.node.gateway.close(0);
  await a.node.gateway.close(0);
  await until(async () => (await subscribers(one)) === 0, 'nobody is left');
});

async function publishes({ admin }: RedisServer): Promise<number> {
  return Number(/^cmdstat_publish:calls=(\d+)/m.exec(await admin.info('commandstats'))?.[1] ?? 0);
}

async function subscribers({ admin }: RedisServer): Promise<number> {
  const [, count] = (await admin.pubsub('NUMSUB', 'ironsluice:topics:0:site')) as [string, number];
  return Number(count);
}

test('behind sentinels and in a cluster topics go on when a server is gone', {
  timeout: 120_000,
}, async (t) => {
  const watched = await sentinels(t);
  const nodes = watched.sentinels.map(({ port }) => `127.0.0.1:${port}`);
  const store = { sentinel: { name: watched.name, nodes } };
  const [a, b] = [await place(t, store, 1), await place(t, store, 1)];
  await linked(a, b);
  await watched.primary.kill();
  await linked(a, b, 30_000);
  await linked(b, a, 30_000);

  const servers = await cluster(t);
  const urls = servers.map(({ url }) => url);
  // They begin at different servers.
  const first = await place(t, { redis: urls }, 1);
  const second = await place(t, { redis: urls.toReversed() }, 1);
  await linked(first, second);
  await servers[0]?.kill();
  await linked(first, second, 30_000);
  await linked(second, first, 30_000);
});
