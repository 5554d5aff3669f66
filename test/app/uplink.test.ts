/**
 * uplink: which apps are linked with the carrier, also after it died and after another store; one carrier at a time.
 *
 * This file is also the carrier's thread: it says what it hears, and dies when an app of the name `die` is linked.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isMainThread, parentPort, workerData } from 'node:worker_threads';
import type { CarrierStart, ToCarrier } from '../../ts/app/carrier-thread.js';
import { Mesh } from '../../ts/app/mesh.js';
import { Uplink } from '../../ts/app/uplink.js';
import type { RedisSettings } from '../../ts/store/address.js';
import { until } from '../kit/until.js';

const store = (prefix: string): RedisSettings => ({ urls: ['redis://127.0.0.1:1'], timeoutMs: 20, prefix });

if (!isMainThread) {
  const { store: of, node } = workerData as CarrierStart;
  const say = (message: string): void => {
    parentPort?.postMessage({
      type: 'log',
      level: 'info',
      fields: { node },
      message: `${of.prefix} ${message}`,
    });
  };
  parentPort?.on('message', (message: ToCarrier) => {
    say(message.type === 'close' ? 'close' : `${message.type} ${message.app}`);
    if (message.type === 'close') process.exit(0);
    if (message.app === 'die') process.exit(1);
  });
} else {
  test('apps are linked with the carrier of their store, and linked anew when it has died', async (t) => {
    const said: string[] = [];
    const nodes = new Set<unknown>();
    const put = (fields: Record<string, unknown>, message: string): void => {
      nodes.add(fields.node);
      said.push(message);
    };
    const meshes = new Map<string, Mesh>();
    const mesh = (app: string): Mesh => {
      const found = meshes.get(app) ?? new Mesh((end) => end.port.close());
      meshes.set(app, found);
      return found;
    };
    const uplink = new Uplink(mesh, { info: put, warn: put, error: put }, new URL(import.meta.url));
    t.after(() => uplink.close(0));
    const heard = (wanted: string[], what: string): Promise<void> =>
      until(() => said.length >= wanted.length, `${what}; there is ${said}`).then(() =>
        assert.deepEqual(said.splice(0), wanted, what),
      );
    uplink.use(undefined, ['a']);
    uplink.use(store('one'), []);
    uplink.use(store('one'), ['a']);
    await heard(['one link a'], 'an app without workers is linked with the program only');
    mesh('a').join({ listening: true, takesEvents: true, link: (end) => end.port.close() });
    await heard(['one link a'], 'a new worker');
    uplink.use(store('one'), ['a', 'b']);
    await heard(['one link b'], 'another app; the first is left alone');
    uplink.use(store('one'), ['b']);
    await heard(['one leave a'], 'an app that wants it no more');
    mesh('a').join({ listening: true, takesEvents: true, link: (end) => end.port.close() });
    uplink.use(store('two'), ['b', 'die']);
    await heard(
      ['one close', 'two link b', 'two link die', 'two link b', 'two link die'],
      'another store, and a death',
    );
    uplink.use(undefined, []);
    await uplink.close(0);
    assert.equal(nodes.size, 1, 'it is the same node to others');
  });
}
