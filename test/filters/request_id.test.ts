/**
 * request_id: each request has a name of its own, at the origin and at the client, and a trace that goes on or begins.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Filter, RequestIdFilter } from '../../ts/generated/config.js';
import { filtered } from '../kit/filtered.js';
import { raw } from '../kit/raw.js';

const named = (more: Partial<RequestIdFilter> = {}): Filter => ({ use: 'request_id', ...more });
const MADE = /^[0-9a-f]{32}$/;
const TRACE = '0af7651916cd43dd8448eb211c80319c';
const PARENT = `00-${TRACE}-b7ad6b7169203331-01`;

test('origin and client are told the same name, and no two requests have one', async (t) => {
  const edge = await filtered(t, [named()]);
  const told = new Set<string>();
  for (let n = 0; n < 50; n++) {
    const id = (await edge.get('/')).headers.get('x-request-id') ?? '';
    assert.match(id, MADE);
    assert.equal(edge.up.seen[n]?.headers['x-request-id'], id);
    told.add(id);
  }
  assert.equal(told.size, 50);
});

test('a name that a request brings is kept only where it is trusted, valid and alone', async (t) => {
  const cases: [trust: boolean, sent: string[], kept: boolean][] = [
    [false, ['abc'], false],
    [true, ['abc'], true],
    [true, ['A-z.0_9~:+/='], true],
    [true, ['a'.repeat(128)], true],
    [true, ['a'.repeat(129)], false],
    [true, [''], false],
    [true, ['a b'], false],
    // What a log or a page would take for more than a name.
    [true, ['"}{"admin":true'], false],
    [true, ['<script>'], false],
    [true, [']0;x'], false],
    [true, ['\xe4'], false],
    [true, ['abc', 'abc'], false],
    [true, ['abc, def'], false],
  ];
  for (const trust of [false, true]) {
    const edge = await filtered(t, [named({ trust })]);
    const client = await raw(t, edge.port);
    for (const [, sent, kept] of cases.filter(([wants]) => wants === trust)) {
      const n = edge.up.hits;
      const fields = sent.map((value) => `X-Request-ID: ${value}\r\n`).join('');
      await client.send(`GET / HTTP/1.1\r\nHost: a\r\n${fields}\r\n`);
      await edge.up.reached(n + 1);
      const ids = edge.up.seen[n]?.rawHeaders.filter((_, i, all) => /^x-request-id$/i.test(all[i - 1] ?? ''));
      assert.equal(ids?.length, 1, fields);
      if (kept) assert.deepEqual(ids, sent);
      else assert.match(ids?.[0] ?? '', MADE, fields);
    }
  }
});

test('a valid trace is passed on as it is', async (t) => {
  const edge = await filtered(t, [named()]);
  for (const traceparent of [PARENT, `cc-${PARENT.slice(3)}-more`]) {
    const n = edge.up.hits;
    await edge.get('/', { headers: { traceparent, tracestate: 'a=b,c=d' } });
    const { headers = {} } = edge.up.seen[n] ?? {};
    assert.deepEqual([headers.traceparent, headers.tracestate], [traceparent, 'a=b,c=d']);
  }
});

test('a trace that is missing or invalid begins anew, named as the request, not sampled', async (t) => {
  const edge = await filtered(t, [named()]);
  for (const traceparent of [
    undefined,
    PARENT.toUpperCase(),
    PARENT.slice(0, -1),
    `${PARENT}-more`,
    `ff${PARENT.slice(2)}`,
    PARENT.replace(TRACE, '0'.repeat(32)),
    'x'.repeat(500),
  ]) {
    const n = edge.up.hits;
    await edge.get('/', { headers: { ...(traceparent ? { traceparent } : {}), tracestate: 'a=b' } });
    const { headers = {} } = edge.up.seen[n] ?? {};
    const [, trace, parent] = /^00-(.{32})-([0-9a-f]{16})-00$/.exec(`${headers.traceparent}`) ?? [];
    assert.equal(trace, headers['x-request-id'], `${traceparent}`);
    assert.notEqual(parent, '0'.repeat(16));
    assert.equal(headers.tracestate, undefined, `${traceparent}`);
  }
});

test('the field has the name of the config, and the response has it only if it shall', async (t) => {
  const edge = await filtered(t, [named({ header: 'x-trace', response: false })]);
  const answer = await edge.get('/', { headers: { 'X-Request-ID': 'mine' } });

  assert.match(`${edge.up.seen[0]?.headers['x-trace']}`, MADE);
  assert.equal(edge.up.seen[0]?.headers['x-request-id'], 'mine');
  assert.equal(answer.headers.get('x-trace'), null);
});

test('a refusal of a filter behind it has a name, that of one before it has none', async (t) => {
  const refuse: Filter = { use: 'respond', status: 403 };
  const behind = await (await filtered(t, [named(), refuse])).get('/');
  const before = await (await filtered(t, [refuse, named()])).get('/');

  assert.match(behind.headers.get('x-request-id') ?? '', MADE);
  assert.equal(before.headers.get('x-request-id'), null);
});
