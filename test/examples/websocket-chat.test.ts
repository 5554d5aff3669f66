/**
 * docs/examples/websocket-chat: two people in two browser windows talk through the edge, and a reload does not part them.
 */
import assert from 'node:assert/strict';
import { copyFile, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { WebSocket } from 'ws';
import { folder, launch } from '../kit/binary.js';
import { browser, type Page } from '../kit/browser.js';
import { EXAMPLES, example } from '../kit/example.js';
import { redis } from '../kit/redis.js';
import { until } from '../kit/until.js';

const ENV = { PORT: '0', ADMIN_PORT: '0' };
const LOG = `[...document.querySelectorAll('#log li')].map((line) => line.textContent)`;

const connected = (page: Page, name: string): Promise<void> =>
  page.until(`document.getElementById('state').textContent === 'connected as ${name}'`);

const say = (page: Page, text: string): Promise<void> =>
  page.evaluate(`{
    document.getElementById('text').value = ${JSON.stringify(text)};
    document.getElementById('form').requestSubmit();
  }`);

const reads = (page: Page, line: string): Promise<void> =>
  page.until(`${LOG}.includes(${JSON.stringify(line)})`, line);

test('two windows exchange messages, in a room of their own', async (t) => {
  const chromium = await browser(t);
  if (chromium === undefined) return;
  const running = example(t, 'websocket-chat', 'npx ironsluice start', ENV);
  const { address } = await running.logged('listening');
  const ada = await chromium.open(`http://${address}/tea?name=Ada`);
  await connected(ada, 'Ada');
  const bob = await chromium.open(`http://${address}/tea?name=Bob`);
  const eve = await chromium.open(`http://${address}/coffee?name=Eve`);
  await Promise.all([connected(bob, 'Bob'), connected(eve, 'Eve')]);
  await reads(ada, 'Bob joined');
  await say(ada, 'hello <b>Bob</b>');
  await reads(bob, 'Ada: hello <b>Bob</b>');
  await say(bob, 'grüß dich 👋');
  await reads(ada, 'Bob: grüß dich 👋');
  assert.deepEqual(await eve.evaluate(LOG), ['Eve joined'], 'nothing of another room');
  await bob.close();
  await reads(ada, 'Bob left');
});

test('a room spans two gateways that have the same store', async (t) => {
  const store = await redis(t);
  const start = async (): Promise<string> => {
    const env = { ...ENV, REDIS_URL: store.url };
    const running = example(t, 'websocket-chat', 'npx ironsluice start --config nodes.yaml', env);
    const { address } = await running.logged('listening');
    await running.logged('messages on topics go to other nodes');
    return String(address);
  };
  const [one, other] = await Promise.all([start(), start()]);
  const join = async (address: string, name: string): Promise<{ ws: WebSocket; got: string[] }> => {
    const ws = new WebSocket(`ws://${address}/tea?name=${name}`, { origin: `http://${address}` });
    t.after(() => ws.terminate());
    const got: string[] = [];
    ws.on('message', (data) => {
      const { type, name: who, text = '' } = JSON.parse(String(data));
      got.push(`${who} ${type} ${text}`.trim());
    });
    await until(() => got.includes(`${name} joined`), `${name} is in the room`);
    return { ws, got };
  };
  const ada = await join(one, 'Ada');
  const bob = await join(other, 'Bob');
  await until(() => ada.got.includes('Bob joined'), 'Ada sees Bob');
  bob.ws.send('grüß dich 👋');
  await until(() => ada.got.includes('Bob said grüß dich 👋'), 'Ada reads Bob');
  bob.ws.close();
  await until(() => ada.got.includes('Bob left'), 'Ada sees Bob go');
  assert.deepEqual(ada.got, ['Ada joined', 'Bob joined', 'Bob said grüß dich 👋', 'Bob left']);
});

test('a page of another site is refused, as is who has no name or talks too fast', async (t) => {
  const running = example(t, 'websocket-chat', 'npx ironsluice start', ENV);
  const { address } = await running.logged('listening');
  const open = async (query: string, origin: string): Promise<WebSocket> => {
    const ws = new WebSocket(`ws://${address}/${query}`, { origin });
    t.after(() => ws.terminate());
    await new Promise((resolve, reject) => ws.once('open', resolve).once('error', reject));
    return ws;
  };
  await assert.rejects(open('?name=a', 'http://evil.test'), /403/);
  await assert.rejects(open('', `http://${address}`), /400/);
  const ws = await open('?name=a', `http://${address}`);
  const types: string[] = [];
  const seen = new Promise<void>((resolve) => {
    ws.on('message', (data) => {
      const { type } = JSON.parse(String(data));
      types.push(type);
      if (type === 'slow-down') resolve();
    });
  });
  for (let i = 0; i < 20; i += 1) ws.send('x');
  await seen;
  ws.send(Buffer.from('bytes'));
  const [code] = await new Promise<[number]>((resolve) => ws.on('close', (of) => resolve([of])));
  assert.equal(code, 1003);
});

test('over a reload the old socket is closed with 1001, and the page comes back by itself', async (t) => {
  const chromium = await browser(t);
  if (chromium === undefined) return;
  const from = join(EXAMPLES, 'websocket-chat');
  const config = (await readFile(join(from, 'ironsluice.yaml'), 'utf8')).replace('10s', '500ms');
  const dir = await folder(t, { 'ironsluice.yaml': config });
  for (const file of ['app.ts', 'index.html']) await copyFile(join(from, file), join(dir, file));
  await symlink(join(EXAMPLES, '../../node_modules'), join(dir, 'node_modules'));
  const running = launch(t, ['start', '--log-format', 'json'], { cwd: dir, env: ENV });
  const { address } = await running.logged('listening');
  const page = await chromium.open(`http://${address}/tea?name=Ada`);
  await connected(page, 'Ada');
  const text = await readFile(join(dir, 'app.ts'), 'utf8');
  await writeFile(join(dir, 'app.ts'), text.replace("type: 'said'", "type: 'said', version: 2"));
  running.child.kill('SIGHUP');
  await page.until(`document.getElementById('state').textContent.startsWith('closed with 1001')`);
  await connected(page, 'Ada');
  await say(page, 'again');
  await reads(page, 'Ada: again');
});
