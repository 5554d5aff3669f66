/**
 * Which engine runs: only a file that is the known one is loaded, and the list is that of the package.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { choose, fileFault } from '../../ts/http/load.js';
import { UWS_HASHES } from '../../ts/http/uws-hashes.js';

const FOLDER = dirname(createRequire(import.meta.url).resolve('uWebSockets.js'));

test('the list has every build for Node 20 and newer, and each is the file of the package', () => {
  const files = readdirSync(FOLDER).filter((name) => Number(/_(\d+)\.node$/.exec(name)?.[1]) >= 115);
  assert.deepEqual(files.sort(), Object.keys(UWS_HASHES).sort());
  for (const name of files) assert.equal(fileFault(name, readFileSync(join(FOLDER, name))), undefined);
});

test('a file that is another one, or not in the list, is not loaded', () => {
  const [name = ''] = Object.keys(UWS_HASHES);
  const bytes = Buffer.from(readFileSync(join(FOLDER, name)));
  bytes[1000] = (bytes[1000] ?? 0) ^ 1;
  assert.match(fileFault(name, bytes) ?? '', /is not the known build: SHA-256 [0-9a-f]{64}$/);
  assert.match(fileFault('constructor', bytes) ?? '', /none of the known builds/);
});

test('what was asked for is what runs', () => {
  assert.deepEqual(choose('node'), { engine: 'node', why: 'it was asked for' });
  assert.equal(choose('uws').engine, 'uws');
  assert.throws(() => choose('other'), { code: 'usage' });
});
