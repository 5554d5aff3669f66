/**
 * headers: fields of requests and responses, set, added and removed, in the order that the reference names.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Filter } from '../../ts/generated/config.js';
import { ConfigError, checkConfig } from '../../ts/index.js';
import { filtered } from '../kit/filtered.js';
import { raw } from '../kit/raw.js';

/** Values of all fields of this name, in order: `[name, value, name, value]`, as sent. */
function values(fields: string[], name: string): string[] {
  return fields.filter((_, i) => i % 2 === 1 && fields[i - 1]?.toLowerCase() === name);
}

const CHANGES = {
  remove: ['X-Gone'],
  set: { 'x-set': 'new' },
  add: { 'x-more': '2', 'x-gone': 'again' },
};
const BEFORE: [string, string][] = [
  ['x-gone', '1'],
  ['X-GONE', '2'],
  ['x-set', 'a'],
  ['X-Set', 'b'],
  ['x-more', '1'],
  ['x-keep', 'k'],
];
const NAMES = ['x-gone', 'x-set', 'x-more', 'x-keep'];
const AFTER = [['again'], ['new'], ['1', '2'], ['k']];
const UNTOUCHED = [['1', '2'], ['a', 'b'], ['1'], ['k']];

test('remove, then set, then add, on the side that is named and not on the other', async (t) => {
  for (const [config, atOrigin, atClient] of [
    [{ request: CHANGES }, AFTER, UNTOUCHED],
    [{ response: CHANGES }, UNTOUCHED, AFTER],
    [{ request: CHANGES, response: CHANGES }, AFTER, AFTER],
  ] as const) {
    const edge = await filtered(t, [{ use: 'headers', ...config } as Filter], {
      handler: (_, response) => {
        response.writeHead(200, BEFORE.flat());
        response.end('ok');
      },
    });
    const client = await raw(t, edge.port);
    const fields = BEFORE.map(([name, value]) => `${name}: ${value}\r\n`).join('');
    await client.send(`GET / HTTP/1.1\r\nHost: a\r\n${fields}\r\n`);
    const [head = ''] = (await client.waitFor(/\r\n\r\n/)).split('\r\n\r\n');

    const answered = head
      .split('\r\n')
      .slice(1)
      .flatMap((line) => line.split(': '));
    const side = (list: string[]): string[][] => NAMES.map((name) => values(list, name));
    assert.deepEqual(side(edge.up.seen[0]?.rawHeaders ?? []), atOrigin, JSON.stringify(config));
    assert.deepEqual(side(answered), atClient, JSON.stringify(config));
  }
});

test('requests pass the filters in order, responses in reverse', async (t) => {
  const says = (word: string): Filter => ({
    use: 'headers',
    request: { set: { 'x-last': word }, add: { 'x-all': word } },
    response: { set: { 'x-last': word }, add: { 'x-all': word } },
  });
  const edge = await filtered(t, [says('first'), says('second')]);
  const answer = await edge.get('/');

  const { rawHeaders = [] } = edge.up.seen[0] ?? {};
  assert.deepEqual(values(rawHeaders, 'x-last'), ['second']);
  assert.deepEqual(values(rawHeaders, 'x-all'), ['first', 'second']);
  assert.equal(answer.headers.get('x-last'), 'first');
  assert.equal(answer.headers.get('x-all'), 'second, first');
});

test('the answer of a filter behind it is changed too, that of one before it is not', async (t) => {
  const mark: Filter = { use: 'headers', response: { set: { 'x-mark': 'yes' } } };
  const refuse: Filter = { use: 'respond', status: 403 };
  const mark403 = async (filters: Filter[]): Promise<string | null> => {
    const answer = await (await filtered(t, filters)).get('/');
    assert.equal(answer.status, 403);
    return answer.headers.get('x-mark');
  };

  assert.equal(await mark403([mark, refuse]), 'yes');
  assert.equal(await mark403([refuse, mark]), null);
});

test('a client cannot have the field taken out again by naming it in Connection', async (t) => {
  const edge = await filtered(t, [
    { use: 'headers', request: { set: { 'x-env': 'prod' }, remove: ['x-admin'] } },
  ]);
  const client = await raw(t, edge.port);
  for (const fields of [
    'Connection: x-env\r\n',
    'Connection: keep-alive, X-Env, X-Forwarded-For\r\nX-Env: mine\r\n',
    'X-Env: mine\r\nx-env: again\r\nX-ADMIN: 1\r\n',
  ]) {
    const n = edge.up.hits;
    await client.send(`GET / HTTP/1.1\r\nHost: a\r\n${fields}\r\n`);
    await edge.up.reached(n + 1);
    const rawHeaders = edge.up.seen[n]?.rawHeaders ?? [];
    assert.deepEqual(values(rawHeaders, 'x-env'), ['prod'], fields);
    assert.deepEqual(values(rawHeaders, 'x-admin'), [], fields);
    assert.deepEqual(values(rawHeaders, 'x-forwarded-for'), ['127.0.0.1'], fields);
  }
});

test('a config that would split a head, or write what the gateway writes, is refused', async () => {
  const changes: [change: object, path: string][] = [
    [{ response: { set: { a: 'x\r\nset-cookie: y' } } }, 'response.set.a'],
    [{ response: { add: { 'a\r\nb': 'x' } } }, 'response.add["a\\r\\nb"]'],
    [{ request: { set: { host: 'x' } } }, 'request.set.host'],
    [{ request: { set: { 'Content-Length': '0' } } }, 'request.set.Content-Length'],
    [{ request: { add: { 'transfer-encoding': 'chunked' } } }, 'request.add.transfer-encoding'],
    [{ request: { remove: ['X-Forwarded-For'] } }, 'request.remove[0]'],
  ];
  for (const [change, path] of changes) {
    const filters = [{ use: 'headers' as const, ...change }];
    await assert.rejects(
      checkConfig({
        listeners: [{ name: 'web', bind: '127.0.0.1:0' }],
        upstreams: [{ name: 'up', endpoints: ['127.0.0.1:1'] }],
        routes: [{ name: 'all', filters, to: 'up' }],
      }),
      (error) => {
        assert.ok(error instanceof ConfigError);
        assert.deepEqual(
          error.faults.map((fault) => fault.path),
          [`routes[0].filters[0].${path}`],
        );
        return true;
      },
    );
  }
});
