/**
 * fleet: gateways in processes of their own with the same config, and clients that send at a pace.
 */
import { Agent, request } from 'node:http';
import type { TestContext } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import type { Config } from '../../ts/index.js';
import { folder, launch } from './binary.js';

/** A gateway in a process of its own. */
export interface Node {
  /** `IP:port` of its listener. */
  readonly address: string;
  /** The sum of a metric's samples. */
  metric(name: string): Promise<number>;
}

/** An answer, in milliseconds of `performance.now()`. */
export interface Told {
  path: string;
  sent: number;
  took: number;
  status: number;
}

/**
 * Starts `count` gateways; each has a listener and an admin listener of its own.
 *
 * @param config of all, or of each by its number from 0.
 * @param env is added to their environment.
 */
export async function fleet(
  t: TestContext,
  count: number,
  config: Partial<Config> | ((number: number) => Partial<Config>),
  env: Record<string, string> = {},
): Promise<Node[]> {
  const start = async (_: unknown, number: number): Promise<Node> => {
    const whole = {
      admin: { bind: '127.0.0.1:0' },
      workers: 1,
      listeners: [{ name: 'web', bind: '127.0.0.1:0' }],
      ...(typeof config === 'function' ? config(number) : config),
    };
    const cwd = await folder(t, { 'ironsluice.json': JSON.stringify(whole) });
    const words = ['start', '--config', 'ironsluice.json', '--log-format', 'json'];
    const running = launch(t, words, { cwd, env });
    const admin = String((await running.logged('admin listening')).address);
    const { address } = await running.logged('listening');
    return {
      address: String(address),
      async metric(name) {
        const text = await (await fetch(`http://${admin}/metrics`)).text();
        const lines = text
          .split('\n')
          .filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`));
        if (lines.length === 0) throw new Error(`no metric ${name}`);
        return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
      },
    };
  };
  return Promise.all(Array.from({ length: count }, start));
}

/** What {@link load} sends. */
export interface Load {
  /** Requests a second. */
  rate: number;
  /** How long at most, milliseconds. */
  forMs: number;
  /** One after the other, again and again; default `/`. */
  paths?: string[];
  /** Ends it before. */
  signal?: AbortSignal;
}

/**
 * Sends at a pace, whatever the answers are; resolves when all have come. What is late because this process was busy is made up for.
 * A connection that fails is an answer with status 0.
 */
export async function load(
  node: Pick<Node, 'address'>,
  { rate, forMs, paths = ['/'], signal }: Load,
): Promise<Told[]> {
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  const open: Promise<Told>[] = [];
  const began = performance.now();
  for (let at = began; at < began + forMs && signal?.aborted !== true; at = performance.now()) {
    const due = ((at - began) * rate) / 1_000;
    while (open.length < due) open.push(get(node.address, paths[open.length % paths.length] ?? '/', agent));
    await pause(2); // the pace itself
  }
  const told = await Promise.all(open);
  agent.destroy();
  return told;
}

function get(address: string, path: string, agent: Agent): Promise<Told> {
  const sent = performance.now();
  return new Promise((resolve) => {
    const end = (status: number): void => resolve({ path, sent, took: performance.now() - sent, status });
    request(`http://${address}${path}`, { agent }, (response) => {
      response.resume();
      response.on('end', () => end(response.statusCode ?? 0));
    })
      .on('error', () => end(0))
      .end();
  });
}
