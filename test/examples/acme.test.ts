/**
 * docs/examples/acme: a certificate is ordered, at an authority of the test.
 */
import assert from 'node:assert/strict';
import { request } from 'node:https';
import { test } from 'node:test';
import { folder } from '../kit/binary.js';
import { certificate } from '../kit/certificate.js';
import { example } from '../kit/example.js';
import { freePorts, hasPebble, pebble } from '../kit/pebble.js';

test('a certificate is issued for the domain, and HTTP leads to HTTPS', async (t) => {
  if (!(await hasPebble(t))) return;
  const own = await certificate(t);
  const [tlsPort = 0, httpPort = 0] = await freePorts(2);
  const authority = await pebble(t, { certificate: own, tlsPort, httpPort });
  const running = example(t, 'acme', 'npx ironsluice start', {
    STATE_DIR: await folder(t),
    HOST: '127.0.0.1',
    PORT: String(tlsPort),
    HTTP_PORT: String(httpPort),
    DOMAIN: 'www.example.org',
    DIRECTORY: authority.directory,
    // What the system trusts stands for this in earnest.
    NODE_EXTRA_CA_CERTS: own.ca,
  });
  const { domain } = await running.logged('a certificate was issued');
  assert.equal(domain, 'www.example.org');
  const ca = await authority.root();
  const body = await new Promise<string>((resolve, reject) => {
    const options = { host: '127.0.0.1', port: tlsPort, servername: 'www.example.org', ca };
    const asked = request(options, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (piece: string) => {
        text += piece;
      });
      response.on('end', () => resolve(text));
    });
    asked.on('error', reject).end();
  });
  assert.equal(body, 'by HTTPS\n');
  const plain = await fetch(`http://127.0.0.1:${httpPort}/`, { redirect: 'manual' });
  assert.deepEqual([plain.status, plain.headers.get('location')], [308, 'https://www.example.org/']);
});
