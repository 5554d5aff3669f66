/**
 * store thread: the thread that owns the client of the store, and takes its calls from the core.
 *
 * It is not the program's main thread, which a user's code may keep busy, and ioredis is loaded here and nowhere else.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { StoreAsks } from '#bindings';
import { Service, type ServiceData } from './service.js';

if (parentPort !== null) {
  new Service({
    ...(workerData as ServiceData),
    port: parentPort,
    serve: (gateway, wake) => new StoreAsks(gateway, wake),
    exit: () => process.exit(0), // of this thread
  });
}
