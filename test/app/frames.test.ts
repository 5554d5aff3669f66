/**
 * A table over the case groups of the Autobahn test suite, by a client of bytes through the edge to an app that echoes: over clear
 * HTTP/1.1, TLS, and an extended CONNECT of HTTP/2, on both engines. Where an engine is not as the suite wants stands in
 * ts/http/differences.ts, with the suite's verdict.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ENGINES } from '../kit/app.js';
import { closeFrame, Frames, OPCODE } from '../kit/frames.js';
import { CARRIERS, type Tunnel } from '../kit/tunnel.js';
import { CASES } from './frames-cases.js';
import { agreed, deflated, LIMITS, OFFERS, unpack } from './frames-limits.js';
import { eachOf, echo, fault, KNOWN, run, same, write } from './frames-run.js';

test('each case has a name of its own, and what is known to differ is a case', () => {
  const ids = CASES.map(({ id }) => id);
  assert.equal(new Set(ids).size, ids.length);
  assert.deepEqual(
    KNOWN.filter((id) => !ids.includes(id)),
    [],
  );
});

for (const engine of ENGINES) {
  test(`${engine}: groups 1 to 7, ${CASES.length} cases over each carrier`, async (t) => {
    const open = await echo(t, engine);
    for (const carrier of CARRIERS) {
      const faults: string[] = [];
      await eachOf(CASES, async (one) => {
        const why = fault(engine, one, await run(await open(carrier), one));
        if (why !== undefined) faults.push(why);
      });
      assert.deepEqual(faults, [], carrier);
    }
  });

  test(`${engine}: groups 9 and 10, ${LIMITS.length} cases over each carrier`, async (t) => {
    const open = await echo(t, engine);
    for (const carrier of CARRIERS) {
      const faults: string[] = [];
      for (const [id, make] of LIMITS) {
        const one = { id, ...make() };
        const why = fault(engine, one, await run(await open(carrier), one));
        if (why !== undefined) faults.push(why);
      }
      assert.deepEqual(faults, [], carrier);
    }
  });

  test(`${engine}: groups 12 and 13, ${OFFERS.length} offers over each carrier`, async (t) => {
    const open = await echo(t, engine, { compression: true });
    for (const carrier of CARRIERS) {
      for (const { id, offer, uws = true } of OFFERS) {
        const opened = await open(carrier, { 'sec-websocket-extensions': offer });
        await deflate(opened, `${carrier} ${id}`, offer, engine === 'node' || uws);
      }
    }
  });
}

/** All of group 12 under one offer: what is agreed on is of the offer, and holds for what comes. */
async function deflate(opened: Tunnel, what: string, offer: string, isTaken: boolean): Promise<void> {
  const field = opened.headers['sec-websocket-extensions'];
  const terms = agreed(field);
  assert.equal(terms !== undefined, isTaken, `${what}: ${field}`);
  for (const [name] of terms ?? []) {
    const isAnswer = /^(server|client)_(no_context_takeover|max_window_bits)$/.test(name);
    assert.ok(isAnswer && (name !== 'client_max_window_bits' || offer.includes(name)), `${what}: ${name}`);
  }
  const window = Number(terms?.get('server_max_window_bits') ?? 15);
  const asked = offer.split(',').map((one) => Number(/server_max_window_bits=(\d+)/.exec(one)?.[1] ?? 15));
  assert.ok(terms === undefined || window <= Math.max(...asked), `${what}: a window of ${window}`);
  // Without a memory between messages, each is unpacked by itself.
  assert.equal(terms?.has('server_no_context_takeover') ?? true, true, `${what}: ${field}`);
  const bits = Number(terms?.get('client_max_window_bits') ?? 15);
  const { send, want } = deflated(terms === undefined ? undefined : bits);
  const frames = new Frames(opened.stream, opened.early);
  void write(opened, send);
  for (const [n, one] of want.entries()) {
    const f = await frames.next();
    assert.ok(
      f?.fin && (f.rsv === 0 || (f.rsv === 4 && isTaken)),
      `${what}: message ${n}: ${f?.opcode} ${f?.rsv}`,
    );
    const payload = f.rsv === 4 ? unpack(f.payload, window) : f.payload;
    assert.ok(same([f.opcode === OPCODE.text ? 't' : 'b', payload], one), `${what}: message ${n}`);
  }
  opened.stream.write(closeFrame(1000));
  assert.equal((await frames.next())?.opcode, OPCODE.close, what);
  opened.cut();
}
