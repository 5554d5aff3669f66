/**
 * What befalls a store under load, and what gateways make of it: `rate_limit` with scope global, in both modes and with each `on_fail`.
 */
import { type TestContext, test } from 'node:test';
import type { RedisStore } from '../../ts/generated/config.js';
import { type FaultProxy, faultProxy } from '../kit/fault-proxy.js';
import { cluster, failedOver, type RedisOptions, type RedisServer, redis, sentinels } from '../kit/redis.js';
import { until } from '../kit/until.js';
import { endure, type Kind, type Scene } from './traffic.js';

const KINDS: readonly Kind[] = (['fair_share', 'open', 'closed'] as const).flatMap((onFail) => [
  { mode: 'strict' as const, onFail },
  { mode: 'leased' as const, onFail },
]);

/** Nodes that reach one Redis, each through a proxy of its own. */
interface Ground {
  server: RedisServer;
  proxies: FaultProxy[];
  stores: RedisStore[];
}

async function ground(t: TestContext, nodes = 2, options: RedisOptions = {}): Promise<Ground> {
  const server = await redis(t, options);
  const each = Array.from({ length: nodes }, () => faultProxy(t, server.port));
  const proxies = await Promise.all(each);
  return { server, proxies, stores: proxies.map(({ port }) => ({ redis: `redis://127.0.0.1:${port}` })) };
}

const set = ({ admin }: RedisServer, key: string, value: string): Promise<unknown> =>
  admin.config('SET', key, value);

const FAULTS: Record<string, (t: TestContext) => Promise<Scene>> = {
  'is killed': async (t) => {
    const { server, stores } = await ground(t);
    return { stores, harm: server.kill, mend: server.start, lost: 2 };
  },
  'is paused': async (t) => {
    const { server, stores } = await ground(t);
    return { stores, harm: server.pause, mend: server.resume, lost: 2 };
  },
  'is 2 s slow': async (t) => {
    const { proxies, stores } = await ground(t);
    const delay = (delayMs: number): void => {
      for (const proxy of proxies) proxy.set({ delayMs });
    };
    return { stores, harm: () => delay(2_000), mend: () => delay(0), lost: 2 };
  },
  'is cut from one node of three': async (t) => {
    const { proxies, stores } = await ground(t, 3);
    const proxy = proxies[2] as FaultProxy;
    return { stores, harm: proxy.cut, mend: proxy.mend, lost: 1 };
  },
  'is LOADING': async (t) => {
    const lines = [
      'enable-debug-command yes',
      'rdbcompression no',
      'loading-process-events-interval-bytes 1024',
    ];
    const { server, stores } = await ground(t, 2, { lines: [...lines, 'key-load-delay 2000'] });
    // Keys that take 3 s to load, beside those of the limits.
    await server.admin.call('DEBUG', 'POPULATE', '1500', 'other', '100');
    let started: Promise<void> | undefined;
    const harm = async (): Promise<void> => {
      await server.admin.save();
      await server.kill();
      started = server.start();
    };
    return { stores, harm, mend: () => started, lost: 2 };
  },
  'is READONLY': async (t) => {
    const { server, stores } = await ground(t);
    const harm = (): unknown => server.admin.call('REPLICAOF', '127.0.0.1', '1');
    return { stores, harm, mend: () => server.admin.call('REPLICAOF', 'NO', 'ONE'), lost: 2 };
  },
  'lacks replicas': async (t) => {
    const { server, stores } = await ground(t);
    const most = (count: string) => () => set(server, 'min-replicas-to-write', count);
    return { stores, harm: most('1'), mend: most('0'), lost: 2 };
  },
  'is flushed': async (t) => {
    const { server, stores } = await ground(t);
    return { stores, harm: () => server.admin.flushall(), lost: 0, forgets: true };
  },
  'forgets its scripts': async (t) => {
    const { server, stores } = await ground(t);
    return { stores, harm: () => server.admin.script('FLUSH'), lost: 0 };
  },
  'fails over': async (t) => {
    const all = await sentinels(t);
    const { name, sentinels: watchers } = all;
    const store = { sentinel: { name, nodes: watchers.map(({ port }) => `127.0.0.1:${port}`) } };
    const harm = (): unknown => watchers[0]?.admin.call('SENTINEL', 'FAILOVER', name);
    return {
      stores: [store, store],
      harm,
      mend: () => failedOver(all),
      lost: 'some',
    };
  },
  'loses a node of its cluster': async (t) => {
    const servers = await cluster(t);
    const store = { redis: servers.map(({ url }) => url) };
    const [victim, survivor] = servers;
    const isWhole = async (): Promise<boolean> =>
      /master,fail/.test(String(await survivor?.admin.call('CLUSTER', 'NODES'))) &&
      String(await survivor?.admin.call('CLUSTER', 'INFO')).includes('cluster_state:ok');
    const mend = (): Promise<void> => until(isWhole, 'a replica took its place', 30_000);
    return { stores: [store, store], harm: () => victim?.kill(), mend, lost: 'some' };
  },
};

test('a store that', { concurrency: 2 }, async (t) => {
  const cases = Object.entries(FAULTS).map(([what, arrange]) =>
    t.test(what, async (t) => endure(t, await arrange(t), KINDS)),
  );
  await Promise.all(cases);
});
