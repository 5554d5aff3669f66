/**
 * Thousands of open WebSockets, at each door: each gets every message that is published, in order, and a stop says goodbye to all.
 *
 * `SOCKETS` says how many (default 5000 at the edge, 10,000 at the app's own door).
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { Engine } from '../../ts/http/load.js';
import { ENGINES } from '../kit/app.js';
import { command, folder, MAIN } from '../kit/binary.js';
import { mostDescriptors, roomy, swarm } from '../kit/swarm.js';

const MESSAGES = 20;
/** What makes a listener one door or another, and what a socket costs there. */
const DOORS = [
  // The client's descriptor, and both ends to the worker.
  { door: 'edge', listener: {}, descriptors: 3, engines: ENGINES, sockets: 5_000 },
  // With Node's own server from Node 22.12 on only.
  { door: 'app', listener: { door: 'app', app: 'site' }, descriptors: 1, engines: ['uws'], sockets: 10_000 },
] as const;

const APP = `
import { defineApp } from 'ironsluice';
export default defineApp({
  fetch(request, ctx) {
    const [, from, to] = request.path.split('/').map(Number);
    for (let n = from; n < to; n += 1) ctx.publish('all', n + ' ' + 'x'.repeat(100));
    return String(ctx.worker);
  },
  websocket: {
    idleTimeout: 120,
    open(socket) { socket.subscribe('all'); },
  },
});`;

/** A gateway in a process of its own; `listener` has the keys that make it one door or another. */
async function stand(
  t: TestContext,
  engine: Engine,
  listener: object,
): Promise<{ address: string; stop(): void }> {
  const dir = await folder(t, {
    'app.ts': APP,
    'ironsluice.json': JSON.stringify({
      workers: 2,
      drain_timeout: '20s',
      admin: 'off',
      listeners: [{ name: 'web', bind: '127.0.0.1:0', ...listener }],
      apps: [{ name: 'site', module: './app.ts' }],
      routes: [{ name: 'all', to: { app: 'site' } }],
    }),
  });
  const [file, words] = roomy([process.execPath, MAIN, 'start', '--log-format', 'json']);
  const running = command(t, file, words, { cwd: dir, env: { IRONSLUICE_SERVER: engine } });
  const { address } = await running.logged('listening');
  return { address: String(address), stop: () => void running.child.kill('SIGTERM') };
}

/** All sockets are opened, get all messages, and are closed with 1001 when the gateway stops. */
async function flood(
  t: TestContext,
  engine: Engine,
  { listener, descriptors, sockets }: (typeof DOORS)[number],
): Promise<void> {
  const count = Number(process.env.SOCKETS ?? sockets);
  const most = await mostDescriptors();
  const needed = descriptors * count + 1_000;
  if (most < needed) {
    t.skip(`${count} sockets need ${needed} descriptors, and there are ${most}: ulimit -Hn`);
    return;
  }
  const { address, stop } = await stand(t, engine, listener);
  const began = performance.now();
  const clients = await swarm(t, address, count);
  await clients.until(({ open }) => open === count, `${count} open sockets`, 60_000);
  const opened = performance.now();
  for (let from = 0; from < MESSAGES; from += 5) {
    // One request, one worker: its messages are in order in all workers. The next may be another's.
    const answer = await fetch(`http://${address}/${from}/${from + 5}`);
    assert.equal(answer.status, 200);
    await clients.until(({ least }) => least === from + 5, `message ${from + 4} at all`, 30_000);
  }
  const told = performance.now();
  const { messages, wrong, open } = clients.report;
  assert.deepEqual({ messages, wrong, open }, { messages: count * MESSAGES, wrong: 0, open: count });
  stop();
  await clients.until(({ closed }) => closed['1001'] === count, 'the goodbye to all', 30_000);
  t.diagnostic(
    `${count} sockets opened in ${(opened - began).toFixed(0)} ms, ${messages} messages in ${(told - opened).toFixed(0)} ms, ` +
      `goodbye in ${(performance.now() - told).toFixed(0)} ms`,
  );
}

for (const door of DOORS) {
  for (const engine of door.engines) {
    test(`${door.door}, ${engine}: ${door.sockets} sockets get all messages in order`, (t) =>
      flood(t, engine, door));
  }
}
