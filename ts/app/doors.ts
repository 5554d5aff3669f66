/**
 * doors: the listeners at whose door an app's worker is, each a server of its own on a port that all workers share.
 */

import { canGuard } from '../http/guard.js';
import { choose } from '../http/load.js';
import { openServer } from '../http/server.js';
import type { AppServer } from '../http/server-types.js';
import { Door } from './door.js';
import { Reactor } from './reactor.js';
import type { Runtime } from './runtime.js';
import { type Place, serve } from './serve.js';
import { type Home, socketOptions, type WebSocketHandlers } from './websocket.js';

/** A listener with `door: app`. */
export interface DoorPlan {
  listener: string;
  /** `IP:port`, as bound. */
  address: string;
  /** The most connections of one worker. */
  connections: number;
}

/** The doors of one worker. */
export class Doors {
  readonly #place: Place;
  readonly #runtime: Runtime;
  readonly #websocket: WebSocketHandlers<unknown> | undefined;
  readonly #servers = new Map<string, AppServer>();
  #reactor: Reactor | undefined;
  #gateway: number | undefined;
  /** One change at a time. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(place: Place, runtime: Runtime, websocket: WebSocketHandlers<unknown> | undefined) {
    this.#place = place;
    this.#runtime = runtime;
    this.#websocket = websocket;
  }

  /** Is at these doors from now on, and at no others; resolves with why it cannot be. */
  open(gateway: number, plans: readonly DoorPlan[]): Promise<string | undefined> {
    const done = this.#turn.then(() => this.#open(gateway, plans));
    this.#turn = done;
    return done;
  }

  /** Leaves all doors; what is on its way has `patienceMs`, with `keepSockets` WebSockets too. */
  async close(patienceMs: number, keepSockets = false): Promise<void> {
    const servers = [...this.#servers.values()];
    this.#servers.clear();
    await Promise.all(servers.map((server) => this.#leave(server, patienceMs, keepSockets)));
  }

  async #leave(server: AppServer, patienceMs: number, keepSockets: boolean): Promise<void> {
    await server.close(patienceMs, keepSockets);
    this.#runtime.remove(server);
  }

  async #open(gateway: number, plans: readonly DoorPlan[]): Promise<string | undefined> {
    try {
      if (plans.length > 0 && this.#gateway !== gateway) {
        this.#reactor?.close();
        this.#reactor = new Reactor(gateway);
        this.#gateway = gateway;
      }
      for (const [key, server] of this.#servers) {
        if (plans.some((plan) => keyOf(plan) === key)) continue;
        this.#servers.delete(key);
        void this.#leave(server, PATIENCE_MS, true);
      }
      for (const plan of plans) {
        if (!this.#servers.has(keyOf(plan))) this.#servers.set(keyOf(plan), await this.#listen(plan));
      }
      return undefined;
    } catch (error) {
      return (error as Error).message;
    }
  }

  async #listen({ listener, address, connections }: DoorPlan): Promise<AppServer> {
    const place = this.#place;
    const at = address.lastIndexOf(':');
    const host = address.slice(0, at).replace(/^\[|\]$/g, '');
    const door = new Door(this.#reactor as Reactor, listener, (exchange) => {
      place.served();
      serve(exchange, place);
    });
    const home: Home = { runtime: this.#runtime };
    const websocket = this.#websocket && socketOptions(this.#websocket, place, home);
    const server = await openServer({
      listen: { host, port: Number(address.slice(at + 1)), shared: true },
      handler: () => {},
      door,
      ...(websocket === undefined ? {} : { websocket }),
      maxConnections: connections,
      onError: (error) => place.fault(error, listener),
    });
    home.server = server;
    this.#runtime.add(server);
    return server;
  }
}

/** Throws where an app cannot be at a door. */
export async function canBeAtDoor(): Promise<void> {
  const { engine, why } = choose();
  if (engine === 'uws' && (await canGuard())) return;
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major > 23 || (major === 23 && minor >= 1) || (major === 22 && minor >= 12)) return;
  throw new Error(
    `door: app needs uWebSockets.js, or Node 22.12 to share a port: ${why} (write door: edge, and a route that leads to the app)`,
  );
}

function keyOf({ listener, address, connections }: DoorPlan): string {
  return `${listener} ${address} ${connections}`;
}

const PATIENCE_MS = 30_000;
