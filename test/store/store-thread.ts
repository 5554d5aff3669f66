/**
 * store-thread: the store's thread with a core of its own, which asks one thing as soon as it is told that the store is there and
 * logs what it hears.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { clock } from '../../ts/store/redis.js';
import { type Asks, Service, type ServiceData, type StoreAsk } from '../../ts/store/service.js';
import type { LogLine } from '../../ts/thread.js';

const say = (message: string): void => {
  parentPort?.postMessage({ type: 'log', level: 'info', fields: {}, message } satisfies LogLine);
};

function core(gateway: number, wake: () => void): Asks {
  let isAsked = false;
  const key = Buffer.from('test:{a}');
  const args = [60e9, 3, 0, 1, 1, 0];
  const waiting: StoreAsk[] = [];
  return {
    linger: 5,
    take: () => waiting.splice(0),
    answer: (answers) => say(`answers ${JSON.stringify(answers)}`),
    note({ up, nodes }) {
      say(`note ${up} ${nodes}`);
      if (!up || isAsked) return;
      isAsked = true;
      waiting.push({ number: gateway, script: 'gcra', key, args, until: clock() + 1_000 });
      wake();
    },
    close: () => say('closed'),
  };
}

if (parentPort !== null) {
  new Service({
    ...(workerData as ServiceData),
    port: parentPort,
    serve: core,
    exit: () => process.exit(0), // of this thread
  });
}
