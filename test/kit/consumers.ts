/**
 * consumers: a filter that proves consumers by keys, and what each of them sends.
 */
import { createHash } from 'node:crypto';
import type { ApiKeyFilter } from '../../ts/generated/config.js';

/** Lets in these consumers. */
export function keysOf(...consumers: string[]): ApiKeyFilter {
  const keys = consumers.map((consumer) => ({
    prefix: 'test',
    consumer,
    hash: createHash('sha256').update(keyOf(consumer)).digest('hex'),
  }));
  return { use: 'api_key', keys };
}

/** A request of this consumer. */
export function by(consumer: string, init: RequestInit = {}): RequestInit {
  return { ...init, headers: { ...init.headers, 'x-api-key': keyOf(consumer) } };
}

function keyOf(consumer: string): string {
  return `test_${consumer}`;
}
