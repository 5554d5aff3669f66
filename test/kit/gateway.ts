/**
 * gateway: a gateway for one test, in this process; closed when the test ends.
 */
import type { TestContext } from 'node:test';
import { type Config, createGateway, type Gateway, type GatewayOptions } from '../../ts/index.js';

/** A running gateway and the shortest way to ask it something. */
export interface TestGateway {
  /** The gateway itself. */
  readonly gateway: Gateway;
  /** `http://IP:port` of the first listener. */
  readonly url: string;
  /** The port of the first listener. */
  readonly port: number;
  /** `http://IP:port` of the admin listener; empty if there is none. */
  readonly admin: string;
  /** `GET path`, with `fetch`. */
  get(path: string, init?: RequestInit): Promise<Response>;
}

/** The port of a listener, by its name. */
export function portOf(gateway: Gateway, name: string): number {
  const address = gateway.addresses().find((one) => one.name === name)?.address ?? '';
  return Number(address.slice(address.lastIndexOf(':') + 1));
}

/**
 * Starts a gateway. Listeners default to one on a free port of loopback, and the answer of a reload is
 * awaited by `gateway.reload`. Nothing is logged.
 */
export async function gateway(
  t: TestContext,
  config: Partial<Config>,
  options: GatewayOptions = {},
): Promise<TestGateway> {
  const whole = { listeners: [{ name: 'web', bind: '127.0.0.1:0' }], ...config } as Config;
  const running = await createGateway(whole, { log: false, ...options });
  t.after(() => running.close(0));
  const address = running.addresses()[0]?.address ?? '';
  const url = `http://${address}`;
  return {
    gateway: running,
    url,
    port: Number(address.slice(address.lastIndexOf(':') + 1)),
    admin: running.admin === undefined ? '' : `http://${running.admin}`,
    get: (path, init) => fetch(`${url}${path}`, { redirect: 'manual', ...init }),
  };
}
