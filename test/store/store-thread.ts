/**
 * store-thread: the store's thread with a core of its own, which asks one thing as soon as it is told that the store is there and
 * logs what it hears.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { clock } from '../../ts/store/redis.js';
import { type Asks, Service, type ServiceData } from '../../ts/store/service.js';
import type { LogLine } from '../../ts/thread.js';

const say = (message: string): void => {
  parentPort?.postMessage({ type: 'log', level: 'info', fields: {}, message } satisfies LogLine);
};

function core(gateway: number, wake: () => void): Asks {
  let isAsked = false;
  const key = Buffer.from('test:{a}');
  return {
    take: () => [
      { number: gateway, script: 'gcra', key, args: [60e9, 3, 0, 1, 1, 0], until: clock() + 1_000 },
    ],
    answer: (answers) => say(`answers ${JSON.stringify(answers)}`),
    note({ up, nodes }) {
      say(`note ${up} ${nodes}`);
      if (up && !isAsked) wake();
      isAsked ||= up;
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
