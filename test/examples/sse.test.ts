/**
 * docs/examples/sse: a page shows the clock and what others post, and after a restart of its stream what it missed.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { browser } from '../kit/browser.js';
import { example } from '../kit/example.js';

const BOARD = `[...document.querySelectorAll('#board li')].map((line) => line.textContent)`;

test('the clock ticks, and a note of one window is in the other, and in a terminal', async (t) => {
  const chromium = await browser(t);
  if (chromium === undefined) return;
  const running = example(t, 'sse', 'npx ironsluice start', { PORT: '0', ADMIN_PORT: '0' });
  const { address } = await running.logged('listening');
  const [one, two] = [await chromium.open(`http://${address}/`), await chromium.open(`http://${address}/`)];
  const clock = `document.getElementById('clock').textContent`;
  await one.until(`/^\\d\\d:\\d\\d:\\d\\d$/.test(${clock})`);
  const before = await one.evaluate<string>(clock);
  await one.until(`${clock} !== ${JSON.stringify(before)}`);

  const terminal = await fetch(`http://${address}/board`);
  assert.equal(terminal.headers.get('content-type'), 'text/event-stream');
  await one.evaluate(`{
    document.getElementById('text').value = 'first <i>note</i>';
    document.getElementById('form').requestSubmit();
  }`);
  for (const page of [one, two]) {
    await page.until(`${BOARD}.includes('127.0.0.1: first <i>note</i>')`, 'the note');
  }
  let text = '';
  for await (const part of terminal.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    text += part;
    if (text.includes('\n\n', text.indexOf('event: note'))) break;
  }
  const [, id = ''] =
    /^id: (\S+)\nevent: note\ndata: \{"from":"127\.0\.0\.1","text":"first/m.exec(text) ?? [];
  assert.match(id, /^[0-9a-f]+-1$/, text);

  await fetch(`http://${address}/board`, { method: 'POST', body: 'second' });
  const missed = await fetch(`http://${address}/board`, { headers: { 'last-event-id': id } });
  let rest = '';
  for await (const part of missed.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    rest += part;
    if (rest.includes('"second"}\n\n')) break;
  }
  assert.ok(!rest.includes('first'), rest);
  for (const page of [one, two]) {
    await page.until(`${BOARD}.includes('127.0.0.1: second')`, 'the second note');
    assert.equal(await page.evaluate(`${BOARD}.length`), 2);
  }
});
