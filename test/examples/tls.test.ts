/**
 * docs/examples/tls: HTTPS on localhost.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { request } from 'node:https';
import { test } from 'node:test';
import { certificate } from '../kit/certificate.js';
import { example } from '../kit/example.js';

test('a request comes by HTTPS, and the server behind is told so', async (t) => {
  const { ca, state } = await certificate(t);
  const origin = example(t, 'tls', 'node origin.mjs', { ORIGIN: '127.0.0.1:0' });
  const [, at = ''] = await origin.printed(/^listens on (\S+)$/m);
  const env = { ORIGIN: at, PORT: '0', XDG_STATE_HOME: state };
  const running = example(t, 'tls', 'npx ironsluice start', env);
  const { address } = await running.logged('listening');
  const port = Number(String(address).split(':').at(-1));
  const authority = await readFile(ca, 'utf8');

  const answer = await new Promise<string>((resolve, reject) => {
    const asked = request(
      { host: '127.0.0.1', servername: 'localhost', port, path: '/a', ca: authority },
      (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (piece: string) => {
          text += piece;
        });
        response.on('end', () => resolve(text));
      },
    );
    asked.on('error', reject).end();
  });
  assert.equal(answer, 'GET /a by https\n');

  const plain = await fetch(`http://127.0.0.1:${port}/`);
  assert.equal(plain.status, 400);
  assert.equal(((await plain.json()) as { code: string }).code, 'plain_http');
});
