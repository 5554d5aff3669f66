/**
 * Large bodies through an app: a handler or a client that reads slowly stops the other side, and memory does not grow.
 *
 * The gateway is a process of its own. Its memory is the peak of its resident set over the exchange, above what it was
 * before. The slow side has a bounded rate for the first part, and the other could send all of the body meanwhile.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { get, request } from 'node:http';
import { type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { ENGINES } from '../kit/app.js';
import { folder, launch } from '../kit/binary.js';

const UPLOAD = 300e6;
const DOWNLOAD = 500e6;
/** Bytes at {@link RATE}; what follows is read at speed. */
const SLOW = 48e6;
/** Bytes a second. */
const RATE = 32e6;
/** Bytes of resident memory above the state before. */
const MOST_GROWTH = 64 * 2 ** 20;

/** Ways into an app. */
const DOORS = [
  { door: 'edge', listener: {}, engines: ENGINES },
  // With Node's own server from Node 22.12 on only.
  { door: 'app', listener: { door: 'app', app: 'site' }, engines: ['uws'] },
] as const;

const MODULE = `
import { setTimeout as later } from 'node:timers/promises';
export default async (request) => {
  if (request.method === 'GET') {
    const size = Number(request.searchParams.get('size'));
    return { body: (async function* () {
      // New memory for each: what waits must be seen.
      for (let left = size; left > 0; left -= 65_536) yield new Uint8Array(Math.min(left, 65_536)).fill(120);
    })() };
  }
  let size = 0;
  for await (const chunk of request.body) {
    size += chunk.length;
    if (size < Number(request.searchParams.get('slow'))) await later((chunk.length / ${RATE}) * 1000);
  }
  return String(size);
};
`;

interface Stand {
  host: string;
  port: number;
  /** Runs an exchange and returns by how many bytes memory rose above its state before. */
  growth(exchange: () => Promise<void>): Promise<number>;
}

async function stand(t: TestContext, listener: object, engine: string): Promise<Stand> {
  const config = {
    workers: 1,
    admin: { bind: '127.0.0.1:0' },
    apps: [{ name: 'site', module: './app.ts' }],
    listeners: [{ name: 'web', bind: '127.0.0.1:0', ...listener }],
    routes: [{ name: 'all', to: { app: 'site' } }],
  };
  const dir = await folder(t, { 'ironsluice.json': JSON.stringify(config), 'app.ts': MODULE });
  const env = { IRONSLUICE_SERVER: engine };
  const running = launch(t, ['start', '--log-format', 'json'], { cwd: dir, env });
  const [host = '', port = ''] = String((await running.logged('listening')).address).split(':');
  const proc = `/proc/${running.child.pid}`;
  const memory = (key: string): number =>
    Number(new RegExp(`${key}:\\s+(\\d+)`).exec(readFileSync(`${proc}/status`, 'utf8'))?.[1]) * 1024;
  return {
    host,
    port: Number(port),
    async growth(exchange) {
      writeFileSync(`${proc}/clear_refs`, '5'); // the peak begins anew
      const before = memory('VmRSS');
      await exchange();
      return memory('VmHWM') - before;
    },
  };
}

/** Sends as fast as the other side takes it; resolves with the answer. */
function upload({ host, port }: Stand, size: number, slow: number): Promise<string> {
  const chunk = Buffer.alloc(256 * 1024, 'x');
  return new Promise((resolve, reject) => {
    const outgoing = request({
      ...{ host, port, method: 'POST', path: `/up?slow=${slow}`, agent: false },
      headers: { 'content-length': size },
    });
    let left = size;
    const send = (): void => {
      while (left > 0) {
        const piece = chunk.subarray(0, Math.min(left, chunk.length));
        left -= piece.length;
        if (!outgoing.write(piece)) return void outgoing.once('drain', send);
      }
      outgoing.end();
    };
    outgoing.on('error', reject);
    outgoing.on('response', (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (part) => {
        text += part;
      });
      answer.on('error', reject);
      answer.on('end', () => resolve(text));
    });
    send();
  });
}

/** Reads slowly, then at speed; resolves with the number of bytes. */
function download({ host, port }: Stand, size: number, slow: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const outgoing = get({ host, port, path: `/down?size=${size}`, agent: false }, async (answer) => {
      try {
        let got = 0;
        for await (const chunk of answer) {
          got += chunk.length;
          if (got < slow) await pause((chunk.length / RATE) * 1000);
        }
        resolve(got);
      } catch (error) {
        reject(error);
      }
    });
    outgoing.on('error', reject);
  });
}

for (const { door, listener, engines } of DOORS) {
  for (const engine of engines) {
    test(`${door}, ${engine}: bodies of hundreds of megabytes, and a slow reader`, async (t) => {
      const place = await stand(t, listener, engine);
      // Code is compiled, buffers are made.
      assert.equal(await upload(place, 1e6, 0), String(1e6));
      assert.equal(await download(place, 1e6, 0), 1e6);
      const up = await place.growth(async () => {
        assert.equal(await upload(place, UPLOAD, SLOW), String(UPLOAD), 'bytes that the handler counted');
      });
      const down = await place.growth(async () => {
        assert.equal(await download(place, DOWNLOAD, SLOW), DOWNLOAD, 'bytes that the client counted');
      });
      const mib = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
      t.diagnostic(`memory grew by ${mib(up)} in the upload, ${mib(down)} in the download`);
      assert.ok(up < MOST_GROWTH, `the upload took ${mib(up)}`);
      assert.ok(down < MOST_GROWTH, `the download took ${mib(down)}`);
    });
  }
}
