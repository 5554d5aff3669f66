/**
 * docs/examples/static-site: a page that finds its way by itself, and assets that caches keep.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { browser } from '../kit/browser.js';
import { commands, EXAMPLES, example } from '../kit/example.js';

const run = promisify(execFile);
const KEPT = 'public, max-age=31536000, immutable';

test('the commands of its page, and the page in a browser', async (t) => {
  const running = example(t, 'static-site', 'npx ironsluice start', { PORT: '0', ADMIN_PORT: '0' });
  const { address } = await running.logged('listening');
  const script = await readFile(join(EXAMPLES, 'static-site/site/assets/app.1.js'), 'utf8');
  const curls = commands('static-site').filter((line) => line.startsWith('curl '));
  const answers: string[] = [];
  for (const line of curls) {
    const [file = '', ...words] = line.replace('127.0.0.1:8080', String(address)).split(/ +/);
    answers.push((await run(file, ['-sS', '--max-time', '10', ...words])).stdout);
  }
  const [page = '', asset = '', compressed = '', none = ''] = answers;
  assert.match(page, /^HTTP\/1\.1 200 [\s\S]*cache-control: no-cache\r\n[\s\S]*<title>static-site/i);
  for (const answer of [asset, compressed]) {
    assert.match(answer, /^HTTP\/1\.1 200 /);
    assert.ok(answer.includes(KEPT) && answer.endsWith(script), answer);
  }
  assert.doesNotMatch(asset, /content-encoding/i);
  assert.match(compressed, /content-encoding: gzip\r\n/i);
  assert.match(none, /^HTTP\/1\.1 404 /);

  const chromium = await browser(t);
  if (chromium === undefined) return;
  const tab = await chromium.open(`http://${address}/users/7`);
  await tab.until('document.querySelector("main").textContent === "This is /users/7"');
  await tab.evaluate('document.querySelector("nav a").click()');
  await tab.until('document.querySelector("main").textContent === "This is /"');
});
