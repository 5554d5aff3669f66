/**
 * Frames that are meant to do harm: they end their own connection, or cost no more than a bound, and the one beside it goes on. By a client of bytes
 * through the edge to an app that echoes, over clear HTTP/1.1, TLS and HTTP/2, on both engines.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ENGINES } from '../kit/app.js';
import { Frames, frame, OPCODE } from '../kit/frames.js';
import { CARRIERS, type Tunnel } from '../kit/tunnel.js';
import { bomb } from './frames-limits.js';
import { drained, echo, MAX_PAYLOAD, run, soon, text, write } from './frames-run.js';

const { more, bytes, text: textual, ping, pong } = OPCODE;

/** What is sent, and the code that is due for it; uWebSockets.js ends without one. */
const ATTACKS: Record<string, { send: () => Buffer[]; code: number; deflates?: boolean }> = {
  'a frame that claims 2^63 - 1 bytes': {
    send: () => [frame(bytes, '', { length: (1n << 63n) - 1n })],
    code: 1009,
  },
  'a frame that claims 2^64 - 1 bytes': {
    send: () => [frame(bytes, '', { length: (1n << 64n) - 1n })],
    code: 1009,
  },
  'a frame one byte over the bound': {
    send: () => [frame(bytes, Buffer.alloc(MAX_PAYLOAD + 1))],
    code: 1009,
  },
  'fragments over the bound': {
    send: () => [
      frame(bytes, '', { fin: false }),
      ...Array.from({ length: 300 }, () => frame(more, Buffer.alloc(64 << 10), { fin: false })),
    ],
    code: 1009,
  },
  'a deflate bomb of 1 GiB': {
    send: () => [frame(textual, bomb(1024), { rsv: 4 })],
    code: 1009,
    deflates: true,
  },
  'a deflate bomb of 1 GiB in fragments': {
    send: () => {
      const packed = bomb(1024);
      return [
        frame(textual, packed.subarray(0, 5000), { rsv: 4, fin: false }),
        frame(more, packed.subarray(5000)),
      ];
    },
    code: 1009,
    deflates: true,
  },
  'deflated bytes that are none': {
    send: () => [frame(textual, Buffer.alloc(100, 0xff), { rsv: 4 })],
    code: 1007,
    deflates: true,
  },
};

/** The most memory that this process, with the gateway and the worker in it, has had, in MiB. */
const peak = (): number => process.resourceUsage().maxRSS / 1024;
/** Messages of this test are up to 19 MiB, in the client and, at the bound, in the worker. */
const MOST_MIB = 160;

async function goesOn(good: Tunnel, what: string): Promise<void> {
  const want = [['t', Buffer.from('there')]] as const;
  const after = await run(good, { send: [frame(textual, 'there')], want, ends: { code: 1000 } });
  assert.deepEqual([after.got.map(text), after.end], [['t:there'], 1000], what);
}

for (const engine of ENGINES) {
  test(`${engine}: attacks end their own connection, in bounded memory`, async (t) => {
    const open = await echo(t, engine, { compression: true });
    for (const carrier of CARRIERS) {
      for (const [what, { send, code, deflates = false }] of Object.entries(ATTACKS)) {
        const good = await open(carrier);
        const bad = await open(carrier, deflates ? { 'sec-websocket-extensions': 'permessage-deflate' } : {});
        const pieces = send();
        const before = peak();
        const { got, end } = await run(bad, { send: pieces, want: [], ends: { fails: [code] } });
        const due = engine === 'uws' ? 'cut' : code;
        assert.deepEqual([got, end], [[], due], `${carrier}: ${what}`);
        const grown = peak() - before;
        assert.ok(grown < MOST_MIB, `${carrier}: ${what}: ${grown} MiB`);
        await goesOn(good, `${carrier}: beside ${what}`);
      }
    }
  });

  test(`${engine}: a flood of empty fragments costs no memory`, async (t) => {
    const open = await echo(t, engine, { maxPayload: 64 << 10 });
    const many = Buffer.concat(Array.from({ length: 1000 }, () => frame(more, '', { fin: false })));
    for (const carrier of CARRIERS) {
      const bad = await open(carrier);
      const frames = new Frames(bad.stream, bad.early);
      const before = peak();
      await write(bad, frame(bytes, '', { fin: false }));
      for (let n = 0; n < 400; n += 1) await write(bad, many);
      await write(bad, frame(more, 'end'));
      const last = await frames.next();
      const is = last === undefined ? 'cut' : [last.opcode, last.payload.toString('latin1')];
      // A bound on their number is one of the library ws alone; without one, nothing may be kept.
      assert.deepEqual(is, engine === 'uws' ? [bytes, 'end'] : [OPCODE.close, '\x03\xf0'], carrier);
      assert.ok(peak() - before < 64, `${carrier}: ${peak() - before} MiB`);
      bad.cut();
      await goesOn(await open(carrier), carrier);
    }
  });

  test(`${engine}: pongs that a client does not take are bounded`, { timeout: 40_000 }, async (t) => {
    const open = await echo(t, engine, { maxBackpressure: 1 << 20 });
    for (const carrier of CARRIERS) {
      const { pongs, end } = await flood(await open(carrier));
      assert.equal(end, engine === 'uws' ? 'goes on' : 'cut', `${carrier}: after ${pongs} pongs`);
      // What waits in the worker, and in the buffers of the system between it and the client.
      assert.ok(pongs * 127 < 16 << 20, `${carrier}: ${pongs} of ${FLOOD} pongs`);
      await goesOn(await open(carrier), carrier);
    }
  });
}

/** Sends pings without reading; then reads what is there, until the echo of a message comes or the connection ends. */
async function flood(bad: Tunnel): Promise<{ pongs: number; end: 'goes on' | 'cut' | 'silent' }> {
  const many = Buffer.concat(Array.from({ length: 1000 }, () => frame(ping, Buffer.alloc(125))));
  for (let n = 0; n < FLOOD / 1000 && !bad.stream.destroyed; n += 1) {
    if (bad.stream.write(many)) continue;
    // An engine may also stop to read: what the way to it takes is bounded.
    if (!(await soon(drained(bad.stream), STUCK_MS))) break;
  }
  if (bad.stream.destroyed) return { pongs: 0, end: 'cut' };
  const frames = new Frames(bad.stream, bad.early);
  let [pongs, seen, asked] = [0, -1, 0];
  // An echo is dropped as pongs are, as long as too much waits.
  const idle = setInterval(() => {
    if (pongs === seen) {
      asked += 1;
      if (asked > 20) bad.cut();
      else if (!bad.stream.destroyed) bad.stream.write(frame(textual, 'last'));
    }
    seen = pongs;
  }, 200);
  try {
    for (;;) {
      const f = await frames.next();
      if (f === undefined) return { pongs, end: asked > 20 ? 'silent' : 'cut' };
      if (f.opcode !== pong) return { pongs, end: 'goes on' };
      pongs += 1;
    }
  } finally {
    clearInterval(idle);
    bad.cut();
  }
}

/** 64 MiB of them. */
const FLOOD = 500_000;
const STUCK_MS = 500;
