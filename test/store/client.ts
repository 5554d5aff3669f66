/**
 * client: a client of the store for one test, and what a call of it took.
 */
import type { TestContext } from 'node:test';
import type { RedisSettings } from '../../ts/store/address.js';
import { clock, type Outcome, RedisClient } from '../../ts/store/redis.js';
import { loadScripts, type Script } from '../../ts/store/scripts.js';
import { until } from '../kit/until.js';

/** What came of a call, and after how many milliseconds. */
export interface Done {
  outcome: Outcome;
  ms: number;
}

/** Longer than a call may take at all, by how late this machine may run a timer while others work on it. */
export const ALLOWANCE_MS = 150;

/** Connects, and waits until it is. */
export async function connected(
  t: TestContext,
  settings: Partial<RedisSettings> & { urls: string[] },
): Promise<RedisClient> {
  const client = new RedisClient(
    { timeoutMs: 20, prefix: 'test', ...settings },
    { onReady() {}, onLost() {} },
  );
  t.after(() => client.close());
  await until(() => client.isReady, 'the client is connected', 10_000);
  return client;
}

/** Takes a token of a key, by a limit that never refuses. */
export function call(client: RedisClient, key = 'test:{a}', timeoutMs = 2_000): Promise<Done> {
  const began = clock();
  return new Promise((resolve) => {
    client.call(GCRA, key, [1_000, 1_000_000, 0, 1, 1, 0], began + timeoutMs, (outcome) =>
      resolve({ outcome, ms: clock() - began }),
    );
  });
}

/** Calls again and again, each with the deadline that requests have, until one is answered; how long that took. */
export async function answered(client: RedisClient, key?: string, patienceMs = 5_000): Promise<number> {
  const began = clock();
  const replies = async (): Promise<boolean> => {
    const { outcome, ms } = await call(client, key, TIMEOUT_MS);
    if (ms > TIMEOUT_MS + ALLOWANCE_MS) throw new Error(`a call took ${ms} ms`);
    return outcome.type === 'replied';
  };
  await until(replies, `a call is answered within ${patienceMs} ms`, patienceMs);
  return clock() - began;
}

/** The deadline of {@link answered}: longer than that of requests, so that a busy machine is no store that is gone. */
const TIMEOUT_MS = 100;
const GCRA = loadScripts().get('gcra') as Script;
