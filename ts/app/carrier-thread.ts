/**
 * carrier thread: the thread that carries topics to other nodes; the supervisor of apps starts it with the first app that wants that.
 *
 * It is not the supervisor's own, so that a flood of messages keeps nobody from looking after workers, and not the store's, whose calls may
 * not be late.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { type Counter, counter } from '#bindings';
import type { RedisSettings } from '../store/address.js';
import type { LogLine } from '../thread.js';
import { Carrier } from './carrier.js';
import type { LinkEnd } from './links.js';

/** What the supervisor says. */
export type ToCarrier =
  | { type: 'link'; app: string; end: LinkEnd }
  /** The topics of this app stay in the process from now on. */
  | { type: 'leave'; app: string }
  | { type: 'close'; patienceMs: number };

/** It answers nothing. */
export type FromCarrier = { type: 'none' };

/** What it is started with. */
export interface CarrierStart {
  store: RedisSettings;
  /** This node, 8 bytes in hex: the same for each carrier that takes another's place. */
  node: string;
}

if (parentPort !== null) {
  const port = parentPort;
  const counters = new Map<string, Counter>();
  const { store, node } = workerData as CarrierStart;
  const carrier = new Carrier({
    store,
    node: Buffer.from(node, 'hex'),
    count(app, name, messages) {
      try {
        const key = `${name} ${app}`;
        const found = counters.get(key) ?? counter(app, name);
        counters.set(key, found);
        found.add(messages);
      } catch {
        // The app has taken all names of counters: then this one is not counted.
      }
    },
    log: (level, fields, message) =>
      port.postMessage({ type: 'log', level, fields, message } satisfies LogLine),
  });
  port.on('message', (message: ToCarrier) => {
    if (message.type === 'link') carrier.link(message.app, message.end);
    else if (message.type === 'leave') carrier.leave(message.app);
    else void carrier.close(message.patienceMs).then(() => process.exit(0)); // of this thread
  });
}
