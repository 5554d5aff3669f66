/**
 * System calls of the thread that carries a request, counted by strace from outside: two receives, two sends, two
 * waits, no epoll_ctl, and next to nothing else.
 *
 * `crates/net/tests/counts.rs` counts the same from inside; here it is the program as users run it.
 */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { Agent, get } from 'node:http';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { folder, launch } from './kit/binary.js';
import { origin } from './kit/origin.js';
import { until } from './kit/until.js';

/** Connections, pools and buffers are made by these. */
const WARM_UP = 100;
const N = 500;

test('a request costs two receives, two sends and two waits', async (t) => {
  if (!(await hasStrace())) {
    // In CI the runner takes a skipped test for a failure.
    t.skip('strace is missing: sh test/kit/parts.sh installs it');
    return;
  }
  const up = await origin(t);
  const config = {
    workers: 1,
    admin: 'off',
    listeners: [{ name: 'web', bind: '127.0.0.1:0' }],
    upstreams: [{ name: 'up', endpoints: [up.address] }],
    routes: [{ name: 'all', to: 'up' }],
  };
  const path = join(await folder(t, { 'a.json': JSON.stringify(config) }), 'a.json');
  const running = launch(t, ['start', '--config', path]);
  const { address } = await running.logged('listening');
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  t.after(() => agent.destroy());
  const ask = async (times: number): Promise<void> => {
    for (let n = 0; n < times; n++) assert.equal(await status(`http://${address}/`, agent), 200);
  };

  await ask(WARM_UP);
  const calls = await traced(t, shard(running.child.pid ?? 0), () => ask(N));

  assert.equal(up.hits, WARM_UP + N);
  assert.equal(new Set(up.seen.map(({ remotePort }) => remotePort)).size, 1, 'one upstream connection');
  const told = JSON.stringify(Object.fromEntries(calls));
  t.diagnostic(`of ${N} requests: ${told}`);
  const take = (name: RegExp): number => {
    let sum = 0;
    for (const [call, times] of calls) {
      if (!name.test(call)) continue;
      sum += times;
      calls.delete(call);
    }
    return sum;
  };
  for (const call of [/^recvfrom$/, /^sendto$/]) {
    assert.ok(Math.abs(take(call) - 2 * N) <= (2 * N) / 100, `${call} twice a request: ${told}`);
  }
  assert.equal(take(/^epoll_ctl$/), 0, told);
  // Its name depends on the machine.
  assert.ok(take(/^epoll_p?wait2?$/) <= 2 * N * 1.05, `waits twice a request: ${told}`);
  const others = take(/./);
  assert.ok(others <= N / 20, `${others} other calls: ${told}`);
});

function hasStrace(): Promise<boolean> {
  return promisify(execFile)('strace', ['--version']).then(
    () => true,
    () => false,
  );
}

/** The thread that carries traffic. */
function shard(pid: number): string {
  const tasks = readdirSync(`/proc/${pid}/task`);
  const found = tasks.filter((id) => readFileSync(`/proc/${pid}/task/${id}/comm`, 'utf8') === 'shard-0\n');
  assert.equal(found.length, 1, 'one shard');
  return found[0] ?? '';
}

/** How often the thread made which call while `work` ran. */
async function traced(t: TestContext, id: string, work: () => Promise<void>): Promise<Map<string, number>> {
  const table = join(await folder(t), 'table');
  const strace = spawn('strace', ['-c', '-o', table, '-p', id], { stdio: ['ignore', 'ignore', 'pipe'] });
  const ended = once(strace, 'close');
  t.after(() => strace.kill('SIGKILL'));
  let said = '';
  strace.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  await until(() => /attached/.test(said) || strace.exitCode !== null, 'strace to attach');
  assert.equal(strace.exitCode, null, said);
  await work();
  strace.kill('SIGINT'); // it lets go of the thread and writes its table
  await ended;
  //   % time     seconds  usecs/call     calls    errors syscall
  const rows = readFileSync(table, 'utf8').matchAll(/^ *[\d.]+ +[\d.]+ +\d+ +(\d+) +(?:\d+ +)?(\w+)$/gm);
  const calls = new Map([...rows].map(([, times, call = '']) => [call, Number(times)]));
  assert.ok(calls.delete('total'), `no table of strace's: ${said}`);
  return calls;
}

function status(url: string, agent: Agent): Promise<number> {
  return new Promise((resolve, reject) => {
    get(url, { agent }, (answer) => {
      answer.resume().on('end', () => resolve(answer.statusCode ?? 0));
    }).on('error', reject);
  });
}
