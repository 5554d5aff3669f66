/**
 * docs/examples/proxy-protocol: behind a load balancer, and in front of a server.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TLV, writeProxyHeader } from '../../ts/parts.js';
import { example } from '../kit/example.js';
import { raw } from '../kit/raw.js';

test('who connected to the load balancer is told to the server behind', async (t) => {
  const origin = example(t, 'proxy-protocol', 'node origin.mjs', { ORIGIN: '127.0.0.1:0' });
  const [, at = ''] = await origin.printed(/^listens on (\S+)$/m);
  const running = example(t, 'proxy-protocol', 'npx ironsluice start', { ORIGIN: at, PORT: '0' });
  const { address } = await running.logged('listening');
  const port = Number(String(address).split(':').at(-1));

  const client = await raw(t, port);
  await client.send(
    writeProxyHeader({
      source: { address: '203.0.113.7', port: 40_000 },
      destination: { address: '198.51.100.1', port: 443 },
      tlvs: [{ type: TLV.AUTHORITY, value: 'partner.example' }],
    }),
  );
  for (const path of ['/a', '/b']) {
    await client.send(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`);
    await client.waitFor(
      new RegExp(
        `\r\nRateLimit: [^]*${path} for 203.0.113.7:40000 at 198.51.100.1 of partner.example\n$`,
        'i',
      ),
    );
  }
  await running.printed(/^203\.0\.113\.7:40000 "GET \/b" 200 partner\.example$/m);

  const silent = await raw(t, port);
  await silent.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  assert.equal(await silent.waitForClose(), '');
});
