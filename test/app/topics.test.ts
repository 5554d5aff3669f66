/**
 * What topics rest on: links between threads, their order and bounds, and the one order of events.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type LinkEnd, Links, MOST_WAITING } from '../../ts/app/links.js';
import { type Member, Mesh } from '../../ts/app/mesh.js';
import { Order } from '../../ts/app/order.js';
import { checkMessage, checkTopic } from '../../ts/app/topics.js';
import { until } from '../kit/until.js';

interface Thread extends Member {
  links: Links;
  got: string[];
  dropped: number;
}

/** Members of a mesh, all in this thread; each says what it gets. */
function members(count: number): { threads: Thread[]; outside: Links; mesh: Mesh } {
  const outside = new Links(() => {});
  const mesh = new Mesh((end) => outside.add(end));
  const threads: Thread[] = [];
  for (let n = 0; n < count; n += 1) {
    const thread: Thread = {
      listening: true,
      takesEvents: true,
      got: [],
      dropped: 0,
      links: new Links((messages) => {
        thread.dropped += messages;
      }),
      link: (end: LinkEnd) => thread.links.add(end, { events: [`of ${n}`, 'x', n + 1], dropped: {} }),
    };
    thread.links.receive((topic, message, number) => {
      const text = typeof message === 'string' ? message : `bytes ${Buffer.from(message).toString('hex')}`;
      thread.got.push(`${topic} ${text.slice(0, 20)} ${number}`);
    });
    for (const end of mesh.join(thread)) thread.links.add(end);
    threads.push(thread);
  }
  return { threads, outside, mesh };
}

test('a message goes to all other members once, in the order of its publisher', async () => {
  const { threads, outside } = members(3);
  const [a, b, c] = threads as [Thread, Thread, Thread];
  for (let n = 0; n < 100; n += 1) a.links.publish('t', String(n), 0);
  a.links.publish('t', Buffer.from('ff00', 'hex'), 7); // of Node's pool
  await until(() => b.got.length === 101 && c.got.length === 101, 'all messages');
  const expected = [...Array.from({ length: 100 }, (_, n) => `t ${n} 0`), 't bytes ff00 7'];
  assert.deepEqual([a.got, b.got, c.got], [[], expected, expected]);
  outside.publish('t', 'from outside', 0);
  await until(() => threads.every(({ got }) => got.at(-1) === 't from outside 0'), 'that of the program');
  for (const { links } of threads) links.close();
  outside.close();
});

test('a thread that does not take what comes gets no more than the bound, and the others get it all', async () => {
  const { threads, outside } = members(3);
  const [a, b, c] = threads as [Thread, Thread, Thread];
  const message = Buffer.alloc(1 << 20);
  const results: boolean[] = [];
  // All within one turn: nobody can take anything.
  for (let n = 0; n < 40; n += 1) results.push(a.links.publish('t', message, 0));
  const most = Math.floor(MOST_WAITING / (message.length + 66));
  assert.equal(results.indexOf(false), most);
  assert.equal(a.dropped, 2 * (40 - most));
  await until(() => b.got.length === most && c.got.length === most, 'what found room');
  assert.equal(a.links.publish('t', 'again', 0), true);
  await until(() => b.got.length === most + 1, 'a message after they took all');
  for (const { links } of threads) links.close();
  outside.close();
});

test('a message that is changed after it was published arrives as it was', async () => {
  const { threads, outside } = members(2);
  const [a, b] = threads as [Thread, Thread];
  const message = Uint8Array.of(1, 2);
  a.links.publish('t', message, 0);
  message[0] = 9;
  await until(() => b.got.length === 1, 'the message');
  assert.deepEqual(b.got, ['t bytes 0102 0']);
  for (const { links } of threads) links.close();
  outside.close();
});

test('a new member is told what each of the others knows, and one that is gone is not written to', async () => {
  const { threads, outside, mesh } = members(2);
  const [a, b] = threads as [Thread, Thread];
  const seeds: string[] = [];
  const links = new Links(() => {});
  links.receiveSeeds(({ events }) => seeds.push(String(events[0])));
  const fresh: Member = { listening: false, takesEvents: true, link() {} };
  const ends = mesh.join(fresh);
  assert.deepEqual(
    ends.map(({ sends, waits }) => [sends, waits]),
    [
      [true, true],
      [true, true],
      [false, false],
    ],
  );
  for (const end of ends) links.add(end);
  await links.greeted(10_000);
  assert.deepEqual(seeds, ['of 0', 'of 1']);
  mesh.leave(b);
  b.links.close();
  await until(() => links.publish('t', 'x', 0) && a.got.length > 0, 'messages to who is left');
  assert.equal(
    mesh.join({ listening: false, takesEvents: true, link() {} }).length,
    3,
    'a, the new one, and the outside',
  );
  for (const one of [a.links, links, outside]) one.close();
});

test('a member that takes no events gets messages only, and events do not wait for it', async () => {
  const { threads, outside, mesh } = members(2);
  const [a, b] = threads as [Thread, Thread];
  const got: string[] = [];
  const carrier = new Links(() => assert.fail('nothing is dropped'));
  carrier.receive((topic, message, number) => got.push(`${topic} ${message} ${number}`));
  const member: Member = { listening: false, takesEvents: false, link: (end) => carrier.add(end) };
  for (const end of mesh.join(member)) carrier.add(end);
  for (let n = 0; n < 10; n += 1) {
    a.links.publish('t', String(n), 0);
    a.links.publish('hub', 'event', n + 1);
  }
  // An event that is told alone, and more of them than may wait.
  await until(() => b.got.length === 20, 'all of them at a worker');
  for (let n = 0; n < 40; n += 1) {
    assert.equal(a.links.publish('hub', 'x'.repeat(1 << 18), 11 + n), true);
    await until(() => b.got.length === 21 + n, 'it is taken');
  }
  outside.publish('t', 'of the program', 0);
  await until(() => got.length === 11, 'messages at the carrier');
  assert.deepEqual(got, [...Array.from({ length: 10 }, (_, n) => `t ${n} 0`), 't of the program 0']);
  carrier.publish('t', 'of another node', 0);
  await until(() => [a, b].every((one) => one.got.at(-1) === 't of another node 0'), 'it comes to both');
  for (const one of [a.links, b.links, carrier, outside]) one.close();
});

/** An order, and what it delivers. */
function order(before = 0): { order: Order; got: (string | number)[][]; numbers: SharedArrayBuffer } {
  const numbers = new SharedArrayBuffer(8);
  new BigInt64Array(numbers)[0] = BigInt(before);
  const got: (string | number)[][] = [];
  return { numbers, got, order: new Order(numbers, (_, text, number) => got.push([text, number])) };
}

test('events are delivered in the order of their numbers, from the start on', () => {
  const { order: one, got } = order(5);
  one.add('t', 'six', 6, false);
  one.add('t', 'three', 3, false);
  one.add('t', 'three', 3, true);
  one.add('t', 'one', 1, false);
  assert.deepEqual(got, []);
  one.start();
  assert.deepEqual(got.splice(0), [
    ['one', 1],
    ['three', 3],
    ['six', 6],
  ]);
  one.add('t', 'eight', 8, false);
  assert.deepEqual([got.length, one.last], [0, 6]);
  one.add('t', 'seven', 7, false);
  assert.deepEqual(got.splice(0), [
    ['seven', 7],
    ['eight', 8],
  ]);
  one.add('t', 'late', 2, false);
  assert.deepEqual([got, one.last], [[['late', 2]], 8]);
});

test('a number that does not come is waited for a second, or until too much waits behind it', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { order: one, got } = order();
  one.start();
  assert.equal(one.take(), 1);
  one.add('t', 'two', 2, false);
  one.add('t', 'four', 4, false);
  t.mock.timers.tick(999);
  assert.deepEqual(got, []);
  t.mock.timers.tick(1);
  assert.deepEqual(got.splice(0), [['two', 2]]);
  t.mock.timers.tick(1_000);
  assert.deepEqual(got.splice(0), [['four', 4]]);
  for (let n = 0; n < 1_024; n += 1) one.add('t', '', 6 + n, false);
  assert.equal(got.length, 0);
  one.add('t', '', 6 + 1_024, false);
  assert.equal(got.length, 1_025);
  const { order: two, got: much } = order();
  two.start();
  for (let n = 0; n < 5; n += 1) two.add('t', 'x'.repeat(500_000), 2 + n, false);
  assert.equal(much.length, 5, 'more than 4 MiB');
});

test('what is no topic or no message is refused', () => {
  checkTopic('é'.repeat(256));
  checkMessage('');
  checkMessage(new Uint8Array(0));
  for (const topic of ['', 'x'.repeat(257)]) assert.throws(() => checkTopic(topic), RangeError);
  assert.throws(() => checkTopic(5 as never), TypeError);
  for (const message of [5, null, {}, new ArrayBuffer(1)]) {
    assert.throws(() => checkMessage(message as never), TypeError);
  }
});
