/**
 * docs/examples/quota: each caller has what its plan says, also after a restart, and the ledger can be read.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { folder, ironsluice } from '../kit/binary.js';
import { commands, example } from '../kit/example.js';

test('a quota is used up over a restart, and the ledger says by whom', async (t) => {
  const keys = commands('quota').flatMap((line) => /demo_(?:ali|else)_\w+/.exec(line)?.[0] ?? []);
  assert.equal(keys.length, 2);
  const state = await folder(t);
  const left: string[] = [];
  for (let start = 0; start < 2; start += 1) {
    const env = { PORT: '0', ADMIN_PORT: '0', STATE_DIR: state };
    const running = example(t, 'quota', 'npx ironsluice start', env);
    const { address } = await running.logged('listening');
    for (const key of [...keys, ...keys]) {
      const { status, headers } = await fetch(`http://${address}/`, { headers: { 'x-api-key': key } });
      left.push(`${status} ${/r=\d+/.exec(headers.get('ratelimit') ?? '')}`);
    }
    const { address: admin } = await running.logged('admin listening');
    const { consumers } = (await (await fetch(`http://${admin}/quotas`)).json()) as { consumers: unknown[] };
    assert.equal(consumers.length, 2);
    process.kill(-(running.child.pid ?? 0), 'SIGTERM');
    await running.ended();
  }
  assert.deepEqual(left, [
    ...['200 r=999', '200 r=1', '200 r=998', '200 r=0'],
    ...['200 r=997', '429 r=0', '200 r=996', '429 r=0'],
  ]);

  for (const what of ['sum', 'check']) {
    const line = `npx ironsluice ledger ${what} state/ledger`;
    assert.ok(commands('quota').includes(line), line);
    const { code, stdout } = await ironsluice(t, ['ledger', what, join(state, 'ledger')]);
    assert.equal(code, 0, stdout);
    if (what === 'sum')
      assert.match(stdout, /^all-month +ali +\S+ +4 +requests +4\nall-month +else +\S+ +2 +requests +2$/m);
    else assert.match(stdout, /nothing is missing/);
  }
});
