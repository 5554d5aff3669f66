/**
 * The app server: the same cases for both engines. Bytes that are no sound request have `bytes.test.ts`, WebSockets
 * `socket.test.ts`.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Engine } from '../../ts/http/load.js';
import type { Exchange } from '../../ts/http/server-types.js';
import { app, ask, ENGINES } from '../kit/app.js';
import { folder } from '../kit/binary.js';
import { raw } from '../kit/raw.js';
import { until } from '../kit/until.js';

const CASES: Record<string, (t: TestContext, engine: Engine) => Promise<void>> = {
  async 'a request is seen as it was sent'(t, engine) {
    const { port } = await app(t, engine, (x) => {
      const fields: string[] = [];
      x.headers((name, value) => fields.push(name, value));
      const { method, path, query, remoteAddress } = x;
      x.respond(
        200,
        ['x-many', 'a', 'x-many', 'b'],
        JSON.stringify({
          method,
          path,
          query,
          remoteAddress,
          fields,
          twice: x.header('x-a'),
          no: x.header('no'),
        }),
      );
    });
    const client = await raw(t, port);
    await client.send(
      'PUT /a%2Fb//c?d=%20&e? HTTP/1.1\r\nHost: h\r\nX-A: a\xe9b\r\nx-a: a\xc3\xa9b\r\nEmpty:\r\n\r\n',
    );
    const text = await client.waitFor(/\{.*\}/);
    assert.deepEqual(JSON.parse(Buffer.from(/\{.*\}/.exec(text)?.[0] ?? '', 'latin1').toString('utf8')), {
      method: 'PUT',
      path: '/a%2Fb//c',
      query: 'd=%20&e?',
      remoteAddress: '127.0.0.1',
      fields: ['host', 'h', 'x-a', 'a\xe9b', 'x-a', 'a\xc3\xa9b', 'empty', ''],
      twice: 'a\xe9b, a\xc3\xa9b',
    });
    assert.match(text, /x-many: a\r\nx-many: b\r\n/);
  },

  async 'bodies come whole: none, empty, with a length, chunked, late, held back'(t, engine) {
    const { port } = await app(t, engine, (x) => {
      let size = 0;
      let last = 0;
      let paused = false;
      const read = (): void =>
        x.onBody((chunk, isLast) => {
          size += chunk.length;
          if (isLast) {
            last += 1;
            x.respond(200, [], `${size} ${last}`);
          } else if (x.path === '/paused' && !paused) {
            paused = true;
            x.pause();
            setImmediate(() => x.resume());
          }
        });
      if (x.path === '/late') setImmediate(read);
      else read();
    });
    const big = Buffer.alloc(5 << 20, 'a');
    const chunked = { 'transfer-encoding': 'chunked' };
    const cases: [string, Buffer | string, Record<string, string>, string][] = [
      ['/now', '', {}, '0 1'],
      ['/late', '', {}, '0 1'],
      ['/now', '', { 'content-length': '0' }, '0 1'],
      ['/now', 'abc', { 'content-length': '3' }, '3 1'],
      ['/late', 'abc', { 'content-length': '3' }, '3 1'],
      ['/late', 'abc', chunked, '3 1'],
      ['/paused', big, chunked, `${big.length} 1`],
      ['/paused', big, { 'content-length': String(big.length) }, `${big.length} 1`],
      ['/late', big, { 'content-length': String(big.length) }, `${big.length} 1`],
    ];
    for (const [path, body, headers, want] of cases) {
      const got = await ask({ port, path, headers, method: 'POST' }, body);
      assert.equal(got.body.toString(), want, `${path} ${JSON.stringify(headers)}`);
    }
  },

  async 'a reader that is slow holds the writer back, and gets every byte'(t, engine) {
    for (const [size, headers] of [
      [100_000, []],
      [1_000, []],
      [100_000, ['content-length', String(STREAM)]],
    ] as const) {
      let highest = 0;
      let held = 0;
      const { port } = await app(t, engine, (x) => {
        x.begin(200, headers);
        let left = STREAM;
        const go = (): void => {
          while (left > 0) {
            const part = Math.min(left, size);
            left -= part;
            highest = Math.max(highest, STREAM - left);
            if (!x.write(Buffer.alloc(part, 'z'))) {
              held += 1;
              return;
            }
          }
          x.end();
        };
        x.onDrain(go);
        go();
      });
      const client = await raw(t, port);
      client.socket.pause();
      await client.send('GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n');
      let before = -1;
      await until(() => {
        const isStill = highest === before && held > 0;
        before = highest;
        return isStill;
      }, 'a writer that is held back');
      assert.ok(highest < STREAM / 2, `${highest} bytes were taken of a stream that nobody reads`);
      client.socket.resume();
      const text = await client.waitForClose();
      assert.equal(text.split('z').length - 1, STREAM, `${headers}`);
      assert.ok(headers.length > 0 || text.endsWith('\r\n0\r\n\r\n'));
    }
  },

  async 'large answers, HEAD and answers without a body are framed'(t, engine) {
    const { port, errors } = await app(t, engine, (x) => {
      const [, status = '', size = ''] = x.path.split('/');
      if (x.query === 'parts') {
        x.begin(Number(status), ['content-length', size]);
        x.end('c'.repeat(x.method === 'HEAD' ? 0 : Number(size)));
      } else x.respond(Number(status), [], 'c'.repeat(Number(size)));
    });
    const cases: [string, string, number, string | undefined][] = [
      ['GET', '/200/0', 0, '0'],
      ['GET', '/200/3000000', 3_000_000, '3000000'],
      ['HEAD', '/200/3000000', 0, '3000000'],
      ['HEAD', '/404/5', 0, '5'],
      ['GET', '/200/5?parts', 5, '5'],
      ['GET', '/200/0?parts', 0, '0'],
      ['HEAD', '/200/5?parts', 0, '5'],
      ['GET', '/204/0', 0, undefined],
      ['GET', '/304/0', 0, undefined],
    ];
    for (const [method, path, size, length] of cases) {
      const got = await ask({ port, method, path });
      assert.deepEqual([got.body.length, got.headers['content-length']], [size, length], `${method} ${path}`);
      assert.equal(got.status, Number(path.slice(1, 4)));
    }
    // The connection can be used again after each.
    const client = await raw(t, port);
    const one = (method: string, path: string): string => `${method} ${path} HTTP/1.1\r\nHost: h\r\n\r\n`;
    await client.send(
      one('HEAD', '/200/5') + one('GET', '/204/0') + one('HEAD', '/200/5?parts') + one('GET', '/200/2'),
    );
    await client.waitFor(/\r\n\r\ncc$/);
    assert.deepEqual(errors, []);
  },

  async 'a client that goes away is an abort, and calls after it do nothing'(t, engine) {
    let aborted = 0;
    let seen: Exchange | undefined;
    const { port, server } = await app(t, engine, (x) => {
      seen = x;
      x.onAbort(() => {
        aborted += 1;
      });
      if (x.path === '/parts') {
        x.begin(200, []);
        x.write('d');
      }
    });
    for (const path of ['/', '/parts']) {
      aborted = 0;
      seen = undefined;
      const client = await raw(t, port);
      await client.send(`GET ${path} HTTP/1.1\r\nHost: h\r\n\r\n`);
      await until(() => seen !== undefined, 'the request');
      client.socket.destroy();
      await until(() => aborted === 1 && server.connections === 0, 'the abort');
      const x = seen as Exchange | undefined;
      assert.equal(x?.aborted, true);
      x?.begin(200, []);
      assert.equal(x?.write('e'), true);
      for (const call of [
        () => x?.end(),
        () => x?.respond(200, []),
        () => x?.pause(),
        () => x?.resume(),
        () => x?.abort(),
      ])
        call();
      assert.equal(aborted, 1);
    }
  },

  async 'a handler that fails, and an answer that breaks its own framing'(t, engine) {
    const { port, errors } = await app(t, engine, (x) => {
      if (x.path === '/throw') throw new Error('boo');
      if (x.path === '/split') x.respond(200, ['x', 'a\r\nb: c']);
      if (x.path === '/name') x.respond(200, ['x y', 'a']);
      x.begin(200, ['content-length', '4']);
      x.write('ab');
      x.end(x.path === '/more' ? 'cde' : 'c');
    });
    for (const path of ['/throw', '/split', '/name']) {
      const { status, body } = await ask({ port, path });
      assert.deepEqual([status, JSON.parse(body.toString()).code], [500, 'internal'], path);
    }
    for (const path of ['/more', '/fewer']) await assert.rejects(ask({ port, path }), { code: 'ECONNRESET' });
    assert.equal(errors.length, 5);
  },

  async 'requests at once that are answered at once'(t, engine) {
    const { port } = await app(t, engine, (x) => x.respond(200, [], x.path));
    const client = await raw(t, port);
    await client.send(['/1', '/2', '/3'].map((path) => `GET ${path} HTTP/1.1\r\nHost: h\r\n\r\n`).join(''));
    await client.waitFor(/\/1HTTP.*\/2HTTP.*\/3$/s);
  },

  async 'a Unix socket; one that is in use is not taken, one left behind is'(t, engine) {
    const unix = join(await folder(t), 'app.sock');
    const { server } = await app(t, engine, (x) => x.respond(200, [], `<${x.remoteAddress}>`), {
      listen: { unix },
    });
    assert.equal(server.address, unix);
    assert.equal((await ask({ socketPath: unix })).body.toString(), '<>');
    await assert.rejects(
      app(t, engine, () => {}, { listen: { unix } }),
      { code: 'EADDRINUSE' },
    );
    await server.close(0);
    await assert.rejects(ask({ socketPath: unix }), { code: 'ENOENT' });
  },

  async 'a port that is taken is said so; a bound on connections holds'(t, engine) {
    const { port, server } = await app(t, engine, (x) => x.respond(200, []), { maxConnections: 1 });
    await assert.rejects(
      app(t, engine, () => {}, { listen: { host: '127.0.0.1', port } }),
      { code: 'EADDRINUSE' },
    );
    const first = await raw(t, port);
    await until(() => server.connections === 1, 'a connection');
    await (await raw(t, port)).waitForClose();
    first.socket.destroy();
    await until(() => server.connections === 0, 'no connection');
    assert.equal((await ask({ port })).status, 200);
  },

  async 'a close lets answers end, and does not wait for the idle or the endless'(t, engine) {
    let slow: Exchange | undefined;
    const { port, server } = await app(t, engine, (x) => {
      if (x.path === '/slow') slow = x;
      else x.respond(200, []);
    });
    const idle = await raw(t, port);
    await idle.send('GET / HTTP/1.1\r\nHost: h\r\n\r\n');
    await idle.waitFor(/200 OK/);
    const answer = ask({ port, path: '/slow' });
    await until(() => slow !== undefined, 'the request');
    const closed = server.close(10_000);
    await assert.rejects(ask({ port }), { code: 'ECONNREFUSED' });
    slow?.respond(200, [], 'e'.repeat(1_000_000));
    const { body, headers } = await answer;
    assert.deepEqual([body.length, headers.connection], [1_000_000, 'close']);
    await closed;
    await idle.waitForClose();

    const other = await app(t, engine, () => {});
    const endless = ask({ port: other.port });
    await until(() => other.server.connections === 1, 'a connection');
    await Promise.all([assert.rejects(endless), other.server.close(20)]);
  },
};

const STREAM = 32 << 20;

for (const engine of ENGINES) {
  for (const [name, run] of Object.entries(CASES)) test(`${engine}: ${name}`, (t) => run(t, engine));
}
