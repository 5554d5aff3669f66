/**
 * acme thread: the thread that orders certificates of ACME authorities and renews them.
 *
 * It is not the program's main thread, which a user's code may keep busy, and acme-client is loaded here and nowhere
 * else. The core is told what to serve and how to answer challenges; no request comes by here.
 * Bounds: {@link MOST_ORDERS} orders at a time.
 */
import { type MessagePort, parentPort } from 'node:worker_threads';
import { type AcmeSettings, attach, type View } from '../native.js';
import type { LogLine } from '../thread.js';
import { type Ground, Keeper } from './keeper.js';
import { order } from './order.js';
import { Stored } from './stored.js';

/** What the main thread says. */
export type ToAcme =
  /** These are wanted from now on, and no others; `ca` is an absolute path. */
  { type: 'wanted'; gateway: number; stateDir: string; certificates: AcmeSettings[] } | { type: 'close' };

/** It answers nothing. */
export type FromAcme = { type: 'none' };

class AcmeThread {
  readonly #port: MessagePort;
  /** By all that a certificate depends on. */
  readonly #keepers = new Map<string, { keeper: Keeper; domain: string }>();
  readonly #stored = new Map<string, Stored>();
  readonly #gate = new Gate(MOST_ORDERS);

  constructor(port: MessagePort) {
    this.#port = port;
    port.on('message', (message: ToAcme) => {
      if (message.type === 'wanted') this.#want(message);
      else this.#close();
    });
  }

  #want({ gateway, stateDir, certificates }: Extract<ToAcme, { type: 'wanted' }>): void {
    let view: View;
    try {
      view = attach(gateway);
    } catch {
      return; // the gateway is closing
    }
    const wanted = new Map(certificates.map((one) => [JSON.stringify([stateDir, one]), one]));
    const domains = new Set(certificates.map(({ domain }) => domain));
    for (const [key, { keeper, domain }] of this.#keepers) {
      if (wanted.has(key)) continue;
      keeper.stop();
      this.#keepers.delete(key);
      if (!domains.has(domain)) view.withdrawCertificate(domain);
    }
    for (const [key, one] of wanted) {
      if (this.#keepers.has(key)) continue;
      const keeper = new Keeper(one, this.#ground(view, stateDir, one));
      this.#keepers.set(key, { keeper, domain: one.domain });
      void keeper.run();
    }
  }

  #ground(view: View, stateDir: string, { directory, email }: AcmeSettings): Ground {
    // One for all certificates of an account, so that its key is made once.
    const key = JSON.stringify([stateDir, directory, email]);
    const stored = this.#stored.get(key) ?? new Stored(stateDir, directory, email);
    this.#stored.set(key, stored);
    return {
      stored,
      order: (wanted, accountKey, signal) =>
        this.#gate.through(() => order(wanted, accountKey, view, signal)),
      publish: (name, cert, secret) => view.publishCertificate(name, cert, secret),
      count: (failure) => view.countOrder(failure),
      log: (level, fields, message) =>
        this.#port.postMessage({ type: 'log', level, fields, message } satisfies LogLine),
    };
  }

  #close(): void {
    for (const { keeper } of this.#keepers.values()) keeper.stop();
    process.exit(0); // of this thread
  }
}

/** Lets so many through at a time; the others wait in the order they came. */
class Gate {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(most: number) {
    this.#free = most;
  }

  async through<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free += 1;
      else next();
    }
  }
}

const MOST_ORDERS = 4;

if (parentPort !== null) new AcmeThread(parentPort);
