/**
 * filtered: one route with these filters in front of an origin; for the tests of filters.
 */
import type { TestContext } from 'node:test';
import type { Filter, Route } from '../../ts/generated/config.js';
import type { Config } from '../../ts/index.js';
import { gateway, type TestGateway } from './gateway.js';
import { type Origin, type OriginHandler, origin } from './origin.js';

/** A gateway, the origin behind it, and the config that it runs. */
export interface Filtered extends TestGateway {
  readonly up: Origin;
  /** The same config with these filters, for a reload. */
  config(filters: Filter[]): Config;
}

/** What is not the default: an origin that says 200 and `ok`, two shards, a route for every path. */
export interface FilteredOptions {
  handler?: OriginHandler;
  workers?: number;
  route?: Partial<Route>;
}

/** Starts both. */
export async function filtered(
  t: TestContext,
  filters: Filter[],
  { handler, workers = 2, route }: FilteredOptions = {},
): Promise<Filtered> {
  const up = await origin(t, handler);
  const config = (which: Filter[]): Config => ({
    workers,
    listeners: [{ name: 'web', bind: '127.0.0.1:0' }],
    upstreams: [{ name: 'up', endpoints: [up.address] }],
    routes: [{ name: 'all', to: 'up', ...route, filters: which }],
  });
  return { ...(await gateway(t, config(filters))), up, config };
}

/** The stable word of a refusal; fails if the answer is no problem document. */
export async function code(answer: Response): Promise<string> {
  const kind = answer.headers.get('content-type');
  if (kind !== 'application/problem+json') throw new Error(`${answer.status} with ${kind}`);
  return ((await answer.json()) as { code: string }).code;
}
