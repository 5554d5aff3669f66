/**
 * acme thread: the thread that orders certificates of ACME authorities and renews them.
 *
 * It is not the program's main thread, which a user's code may keep busy, and acme-client is loaded here and nowhere
 * else. The core is told what to serve and how to answer challenges; no request comes by here.
 * Bounds: {@link MOST_ORDERS} orders at a time.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { type MessagePort, parentPort } from 'node:worker_threads';
import { type AcmeSettings, attach, type View } from '../native.js';
import type { RedisSettings } from '../store/address.js';
import type { LogLine } from '../thread.js';
import { answerBy, type Challenge } from './challenge.js';
import { type Ground, Keeper } from './keeper.js';
import { order } from './order.js';
import { Share } from './share.js';
import { Stored } from './stored.js';

/** What the main thread says. */
export type ToAcme =
  /** These are wanted from now on, and no others; `ca` is an absolute path. */
  | {
      type: 'wanted';
      gateway: number;
      stateDir: string;
      certificates: AcmeSettings[];
      /** Where those are shared that have a secret. */
      store: RedisSettings | undefined;
    }
  | { type: 'close' };

/** It answers nothing. */
export type FromAcme = { type: 'none' };

class AcmeThread {
  readonly #port: MessagePort;
  /** By all that a certificate depends on. */
  readonly #keepers = new Map<string, { keeper: Keeper; domain: string; forget(): void }>();
  readonly #stored = new Map<string, Stored>();
  /** By store and secret. */
  readonly #shares = new Map<string, Share>();
  readonly #gate = new Gate(MOST_ORDERS);
  #view: View | undefined;

  constructor(port: MessagePort) {
    this.#port = port;
    port.on('message', (message: ToAcme) => {
      if (message.type === 'wanted') this.#want(message);
      else void this.#close();
    });
  }

  #want({ gateway, stateDir, certificates, store }: Extract<ToAcme, { type: 'wanted' }>): void {
    let view: View;
    try {
      view = attach(gateway);
    } catch {
      return; // the gateway is closing
    }
    this.#view = view;
    const wanted = new Map(
      certificates.map((one) => {
        const share = one.secret === undefined ? undefined : shareKey(store, one.secret);
        return [JSON.stringify([stateDir, one, share]), { one, share }];
      }),
    );
    const domains = new Set(certificates.map(({ domain }) => domain));
    for (const [key, { keeper, domain, forget }] of this.#keepers) {
      if (wanted.has(key)) continue;
      keeper.stop();
      forget();
      this.#keepers.delete(key);
      if (!domains.has(domain)) view.withdrawCertificate(domain);
    }
    const shares = new Set([...wanted.values()].map(({ share }) => share));
    for (const [key, share] of this.#shares) {
      if (shares.has(key)) continue;
      this.#shares.delete(key);
      void share.close();
    }
    for (const [key, { one, share: shareId }] of wanted) {
      if (this.#keepers.has(key)) continue;
      const share = shareId === undefined ? undefined : this.#share(shareId, store, one.secret);
      const keeper = new Keeper(one, this.#ground(view, stateDir, one, share));
      share?.want(one);
      void keeper.run();
      this.#keepers.set(key, { keeper, domain: one.domain, forget: () => share?.forget(one) });
    }
  }

  #share(id: string, store: RedisSettings | undefined, secret: string | undefined): Share | undefined {
    if (store === undefined || secret === undefined) return undefined;
    const found = this.#shares.get(id);
    if (found !== undefined) return found;
    const share = new Share({
      store,
      secret,
      answer: (challenge) => {
        if (this.#view === undefined) throw new Error('the gateway is closing');
        return answerBy(this.#view, challenge);
      },
      onNews: (about) => {
        for (const { keeper, domain } of this.#keepers.values()) {
          if (about === undefined || about === domain) keeper.wake();
        }
      },
      log: (level, fields, message) => this.#log(level, fields, message),
    });
    this.#shares.set(id, share);
    return share;
  }

  #ground(view: View, stateDir: string, one: AcmeSettings, share: Share | undefined): Ground {
    const { directory, email } = one;
    // One for all certificates of an account, so that its key is made once.
    const key = JSON.stringify([stateDir, directory, email]);
    const stored = this.#stored.get(key) ?? new Stored(stateDir, directory, email);
    this.#stored.set(key, stored);
    const answer = async (challenge: Challenge): Promise<() => void> => {
      const clear = await answerBy(view, challenge);
      const over = await share?.spread(one, challenge);
      return () => {
        clear();
        over?.();
      };
    };
    return {
      stored,
      shared: share && {
        certificate: () => share.certificate(one),
        keep: (kept) => share.keep(one, kept),
        alone: (signal, work) => share.alone(one, signal, work),
        failed: (waitMs) => share.failed(one, waitMs),
      },
      through: (work) => this.#gate.through(work),
      order: (wanted, accountKey, signal) => order(wanted, accountKey, answer, signal),
      publish: (name, cert, secret) => view.publishCertificate(name, cert, secret),
      count: (failure) => view.countOrder(failure),
      log: (level, fields, message) => this.#log(level, fields, message),
    };
  }

  #log(level: LogLine['level'], fields: Record<string, unknown>, message: string): void {
    this.#port.postMessage({ type: 'log', level, fields, message } satisfies LogLine);
  }

  async #close(): Promise<void> {
    for (const { keeper } of this.#keepers.values()) keeper.stop();
    // Others need not wait for a lock to end by itself.
    if (this.#shares.size > 0) {
      const closed = [...this.#shares.values()].map((share) => share.close());
      await Promise.race([Promise.all(closed), pause(LAST_MS)]);
    }
    process.exit(0); // of this thread
  }
}

/** The same for two certificates that are shared in one place. */
function shareKey(store: RedisSettings | undefined, secret: string): string {
  return JSON.stringify([store, secret]);
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
/** How long an end may take that gives locks back. */
const LAST_MS = 500;

if (parentPort !== null) new AcmeThread(parentPort);
