/**
 * A worker thread with a server may end in any way; the process goes on.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { ENGINES } from '../kit/app.js';

const SERVER = new URL('../../ts/http/server.js', import.meta.url).href;

/** Serves one answer in parts to itself, and ends in the midst of it. */
const WORKER = `
  const { parentPort, workerData } = require('node:worker_threads');
  const { connect } = require('node:net');
  (async () => {
    const { openServer } = await import(${JSON.stringify(SERVER)});
    const listen = { host: '127.0.0.1', port: 0, shared: false };
    const ends = {
      close: () => server.close(0).then(() => parentPort.close()),
      exit: () => process.exit(0),
      throw: () => setImmediate(() => { throw new Error('boo'); }),
      terminate: () => parentPort.postMessage('terminate'),
    };
    const server = await openServer({ listen, engine: workerData.engine, handler(x) {
      x.begin(200, []);
      x.write('a'.repeat(100_000));
      setImmediate(ends[workerData.how]);
    } });
    parentPort.ref();
    parentPort.on('message', () => {});
    connect(Number(server.address.split(':')[1]), '127.0.0.1').on('error', () => {}).write('GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n');
  })();`;

const PROGRAM = `
  const { Worker } = require('node:worker_threads');
  const worker = new Worker(${'`'}${WORKER.replaceAll('`', '\\`')}${'`'}, { eval: true, workerData: { engine: process.argv[1], how: process.argv[2] } });
  worker.on('error', () => {});
  worker.on('message', () => worker.terminate());
  worker.on('exit', () => setTimeout(() => console.log('alive'), 20));
`;

for (const engine of ENGINES) {
  test(`${engine}: the process outlives its worker`, async () => {
    for (const how of ['close', 'exit', 'throw', 'terminate']) {
      const child = spawn(process.execPath, ['-e', PROGRAM, engine, how], {
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      let out = '';
      child.stdout.on('data', (text) => {
        out += text;
      });
      child.stderr.on('data', (text) => {
        out += text;
      });
      const [code, signal] = await once(child, 'close');
      assert.deepEqual([code, signal, out.includes('alive')], [0, null, true], `${how}: ${out}`);
    }
  });
}
