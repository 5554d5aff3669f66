/**
 * thread: a thread that dies is started again and told what the old one knew; one that ended is not.
 *
 * This file is also the thread: it says how often it was told to count, and ends when it is told to.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isMainThread, parentPort } from 'node:worker_threads';
import { Thread } from '../ts/thread.js';
import { until } from './kit/until.js';

type To = { type: 'count' } | { type: 'die' } | { type: 'close' };
type From = { type: 'counted'; n: number };

if (!isMainThread) {
  let n = 0;
  parentPort?.on('message', ({ type }: To) => {
    if (type !== 'count') process.exit(type === 'die' ? 1 : 0);
    n += 1;
    parentPort?.postMessage({ type: 'counted', n } satisfies From);
  });
} else {
  test('a thread that dies is started again and greeted, and one that is dead answers nothing at once', async () => {
    const greeted: Thread<To, From>[] = [];
    let deaths = 0;
    const thread = new Thread<To, From>(new URL(import.meta.url), {
      name: 'kit',
      log: { info() {}, warn() {}, error: () => assert.fail('an exit is no error') },
      onDeath: () => {
        deaths += 1;
      },
      again: {
        afterMs: 50,
        greet: async (one) => {
          await one.ask({ type: 'count' });
          greeted.push(one);
        },
      },
    });
    assert.deepEqual(await thread.ask({ type: 'count' }), { type: 'counted', n: 1 });
    assert.deepEqual(await thread.ask({ type: 'count' }), { type: 'counted', n: 2 });
    assert.equal(await thread.ask({ type: 'die' }), undefined);
    assert.equal(deaths, 1);
    assert.equal(await thread.ask({ type: 'count' }), undefined, 'it is dead');
    await until(() => greeted.length === 1, 'the new one is greeted');
    assert.deepEqual(await thread.ask({ type: 'count' }), { type: 'counted', n: 2 });
    await thread.ask({ type: 'die' });
    await thread.end({ type: 'close' });
    assert.deepEqual([deaths, greeted.length], [2, 1], 'what was told to end is not started again');
  });
}
