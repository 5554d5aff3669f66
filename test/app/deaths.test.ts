/**
 * Deaths of workers in one process, of six kinds, with open connections and under load at the edge: a worker is closed by a
 * reload, calls `process.exit`, throws where nobody catches, is ended by `worker.terminate()` because it does not come to its
 * end, loops until the watchdog ends it after 1 s, or needs too much heap. The log must tell each for what it was.
 *
 * `DEATHS_OF_EACH` says how many of each kind (default 6); the soak sets 40. Memory is judged from 100 deaths on: by the
 * slope of the resident set over the last half.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { Agent, get as httpGet, request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { slope } from '../../bench/load/stats.js';
import { folder, launch } from '../kit/binary.js';
import { origin } from '../kit/origin.js';
import { until } from '../kit/until.js';

const EACH = Number(process.env.DEATHS_OF_EACH ?? 6);
/** What the log says of each kind; a worker that is closed by a reload is no news. */
const KINDS = {
  exit: /"code":7,"delay":\d+,"msg":"a worker ended and is replaced"/,
  throw: /"msg":"a worker died: Error: thrown/,
  terminate: /"msg":"a worker did not finish in time and is ended"/,
  loop: /"msg":"a worker is stuck and is replaced"/,
  memory: /"msg":"a worker died: it needs more than 48 MiB/,
};
/** KiB a death. */
const MOST_GROWTH = 64;

/**
 * Ends in the way that the path says; `held` is never answered, and `block` stands still after its answer, as in a synchronous
 * call that does not return. The number makes each bundle another.
 */
const MODULE = (n: number) => `
const number = ${n};
export default (request) => {
  switch (request.path.slice(5)) {
    case 'exit': process.exit(7);
    case 'throw': setTimeout(() => { throw new Error('thrown'); }); return new Promise(() => {});
    case 'loop': for (;;);
    case 'memory': { const all = []; for (;;) all.push(new Array(100_000).fill(all.length)); }
    case 'block':
      setImmediate(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0));
      return 'blocked';
    case 'held': return new Promise(() => {});
    default: return String(number);
  }
};
`;

/** The status of an answer on a connection of its own; 0 if none came. */
function askOnce(port: number): Promise<number> {
  return new Promise((resolve) => {
    const outgoing = httpGet({ host: '127.0.0.1', port, path: '/app/x', agent: false }, (answer) => {
      answer.resume();
      answer.on('close', () => resolve(answer.statusCode ?? 0));
    });
    outgoing.on('error', () => resolve(0));
  });
}

test(`${6 * EACH} deaths of workers harm nobody else`, async (t) => {
  const upstream = await origin(t, (_, response) => void response.end('edge'));
  const config = {
    workers: 1,
    admin: { bind: '127.0.0.1:0' },
    apps: [
      { name: 'site', module: './app.ts', stuck_timeout: '1s', memory: '48MiB', drain_timeout: '100ms' },
    ],
    listeners: [
      { name: 'web', bind: '127.0.0.1:0' },
      { name: 'int', bind: '127.0.0.1:0', door: 'app', app: 'site' },
    ],
    upstreams: [{ name: 'up', endpoints: [upstream.address] }],
    routes: [
      { name: 'app', match: { path: '/app/*' }, to: { app: 'site' } },
      { name: 'rest', match: { path: '/*' }, to: 'up' },
    ],
  };
  const dir = await folder(t, { 'ironsluice.json': JSON.stringify(config), 'app.ts': MODULE(0) });
  const running = launch(t, ['start', '--log-format', 'json'], { cwd: dir });
  const address = String((await running.logged('listening')).address);
  const admin = String((await running.logged('admin listening')).address);
  const [host = '', port = ''] = address.split(':');
  const door = Number(/"listener":"int","address":"127\.0\.0\.1:(\d+)"/.exec(running.stderr)?.[1]);
  const pid = running.child.pid ?? 0;
  const descriptors = (): number => readdirSync(`/proc/${pid}/fd`).length;
  const resident = (): number =>
    Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);

  const agent = new Agent({ keepAlive: true, maxSockets: 4 });
  t.after(() => agent.destroy());
  const busy = new Agent({ keepAlive: true, maxSockets: 6 });
  t.after(() => busy.destroy());
  const odd: number[] = [];
  const ask = (path: string, method = 'GET', by = agent): Promise<[number, string]> =>
    new Promise((resolve, reject) => {
      const send = method === 'GET' ? httpGet : request;
      const outgoing = send({ host, port, path, method, agent: by }, (answer) => {
        let text = '';
        answer.setEncoding('utf8').on('data', (part) => {
          text += part;
        });
        answer.on('end', () => resolve([answer.statusCode ?? 0, text]));
        answer.on('error', reject);
      });
      outgoing.on('error', reject);
      outgoing.end();
    });

  let stop = false;
  let edge = 0;
  let failed = 0;
  const load = Array.from({ length: 2 }, async () => {
    while (!stop) {
      const answer = await ask('/edge').catch((error: Error) => [0, error.message] as const);
      if (answer[0] === 200 && answer[1] === 'edge') edge += 1;
      else failed += 1;
    }
  });
  // Others use the app meanwhile: they may see 502 to 504 and nothing else, and requests wait at a worker that dies.
  const crowd = Array.from({ length: 6 }, async () => {
    while (!stop) {
      const [status] = await ask('/app/x', 'GET', busy).catch(() => [0] as const);
      if (status !== 200 && !(status >= 502 && status <= 504)) odd.push(status);
    }
  });
  // At the app's own door connections die with their worker: nothing but an answer or an end may come of it.
  const atDoor = Array.from({ length: 3 }, async () => {
    while (!stop) {
      const status = await askOnce(door);
      if (![0, 200, 503].includes(status)) odd.push(status);
    }
  });
  const answers = async (): Promise<boolean> => (await ask('/app/x'))[0] === 200;
  await until(answers, 'the app answers');

  let number = 0;
  let slowest = 0;
  const reload = async (): Promise<void> => {
    number += 1;
    await writeFile(join(dir, 'app.ts'), MODULE(number));
    const reloaded = await fetch(`http://${admin}/reload`, { method: 'POST' });
    assert.equal(reloaded.status, 200, await reloaded.text());
    assert.equal((await ask('/app/x'))[1], String(number), 'the new module answers');
  };
  const kill: Record<string, () => Promise<void>> = {
    close: reload,
    async terminate() {
      assert.deepEqual(await ask('/app/block', 'POST'), [200, 'blocked']);
      await reload(); // the supervisor waits for the old worker, and terminates it
    },
    ...Object.fromEntries(
      ['exit', 'throw', 'loop', 'memory'].map((kind) => [
        kind,
        async () => assert.equal((await ask(`/app/${kind}`, 'POST'))[0], 502, kind),
      ]),
    ),
  };
  const memory: number[] = [];
  let first = 0;
  for (let round = 0; round < EACH; round++) {
    for (const [kind, die] of Object.entries(kill)) {
      const held: Socket[] = [];
      for (const at of [port, port, port, door, door, door].map(Number)) {
        const socket = connect(at, host);
        socket.on('error', () => {});
        socket.write('GET /app/held HTTP/1.1\r\nHost: a\r\n\r\n');
        held.push(socket);
      }
      await die();
      const began = performance.now();
      await until(answers, `an answer after ${kind} ${round}`, 5_000);
      slowest = Math.max(slowest, performance.now() - began);
      for (const socket of held) socket.destroy();
      memory.push(resident());
    }
    if (round === 0) first = descriptors();
  }
  const told = (pattern: RegExp): number => running.stderr.match(new RegExp(pattern, 'g'))?.length ?? 0;
  await until(() => told(KINDS.terminate) >= EACH, 'the last worker that stood still is ended');
  stop = true;
  await Promise.all([...load, ...crowd, ...atDoor]);
  for (const [kind, pattern] of Object.entries(KINDS)) assert.equal(told(pattern), EACH, kind);
  assert.deepEqual(odd, [], 'what others at the app saw');
  t.diagnostic(
    `${edge} requests at the edge, ${failed} failed; slowest answer after a death ${slowest.toFixed(0)} ms`,
  );
  assert.equal(failed, 0, 'requests at the edge');
  assert.ok(slowest < 1_000, `an app was gone for ${slowest} ms`);
  await until(
    () => descriptors() <= first,
    `descriptors: ${first} after the first round, ${descriptors()} now`,
  );
  const half = memory.slice(memory.length / 2);
  const growth = slope(half);
  t.diagnostic(`memory grows by ${growth.toFixed(1)} KiB a death over the last ${half.length}`);
  if (half.length >= 100) assert.ok(growth <= MOST_GROWTH, `memory grows by ${growth} KiB a death`);
  running.child.kill('SIGTERM');
  assert.equal((await running.ended()).code, 0);
});
