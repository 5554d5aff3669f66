/**
 * csrf: what pages of other sites make a browser send is refused, forms and programs of one's own pass.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CsrfFilter, Filter } from '../../ts/generated/config.js';
import { browser } from '../kit/browser.js';
import { curl } from '../kit/curl.js';
import { filtered } from '../kit/filtered.js';
import { gateway } from '../kit/gateway.js';

const csrf = (more: Partial<CsrfFilter> = {}): Filter => ({ use: 'csrf', ...more });

test('a form of another site is refused, and the same form of the own site passes, in a browser', async (t) => {
  const chromium = await browser(t);
  if (chromium === undefined) return;
  const bank = await filtered(t, [csrf()], {
    handler: (request, response) => {
      response.writeHead(200, { 'content-type': 'text/html' }).end(`<p id=done>${request.method} done`);
    },
  });
  const evil = await gateway(t, {
    routes: [{ name: 'page', filters: [{ use: 'respond', body: '<p>', content_type: 'text/html' }] }],
  });
  const submit = async (from: string): Promise<string> => {
    const page = await chromium.open(from);
    await page.evaluate(`(() => {
      const form = document.createElement('form');
      form.method = 'POST';
      form.action = '${bank.url}/transfer';
      document.body.append(form);
      setTimeout(() => form.submit(), 0);
    })()`);
    await page.until(`location.pathname === '/transfer' && document.readyState === 'complete'`);
    return page.evaluate('document.body.textContent');
  };
  assert.equal(await submit(bank.url), 'POST done');
  const posts = (): number => bank.up.seen.filter(({ method }) => method === 'POST').length;
  assert.equal(posts(), 1);
  assert.match(await submit(evil.url), /"code":"csrf_refused"/);
  assert.equal(posts(), 1);
  // A link of another site may be followed.
  const page = await chromium.open(evil.url);
  await page.evaluate(`setTimeout(() => { location.href = '${bank.url}/account'; }, 0)`);
  await page.until(`location.pathname === '/account' && document.querySelector('#done')`);

  await bank.gateway.reload(bank.config([csrf({ origins: [evil.url] })]));
  assert.equal(await submit(evil.url), 'POST done');
});

test('each kind of request, by what it says of itself', async (t) => {
  const cases: [Partial<CsrfFilter>, method: string, fields: string[], status: number][] = [
    [{}, 'POST', [], 200],
    [{ absent: 'refuse' }, 'POST', [], 403],
    [{ absent: 'refuse' }, 'GET', [], 200],
    [{}, 'POST', ['Sec-Fetch-Site: same-origin'], 200],
    [{}, 'POST', ['Sec-Fetch-Site: none'], 200],
    [{}, 'DELETE', ['Sec-Fetch-Site: same-site'], 403],
    [{}, 'PUT', ['Sec-Fetch-Site: cross-site'], 403],
    [{}, 'GET', ['Sec-Fetch-Site: cross-site'], 200],
    [{}, 'POST', ['Sec-Fetch-Site: same-origin', 'Sec-Fetch-Site: cross-site'], 403],
    [{}, 'POST', ['Origin: http://a.example'], 200],
    [{}, 'POST', ['Origin: http://b.example'], 403],
    [{}, 'POST', ['Origin: null'], 403],
    [
      { origins: ['https://*.b.example'] },
      'POST',
      ['Sec-Fetch-Site: cross-site', 'Origin: https://x.b.example'],
      200,
    ],
    [
      { origins: ['https://*.b.example'] },
      'POST',
      ['Sec-Fetch-Site: cross-site', 'Origin: https://b.example'],
      403,
    ],
  ];
  for (const [config, method, fields, status] of cases) {
    const edge = await filtered(t, [csrf(config)], { workers: 1 });
    const words = [...fields, 'Host: a.example'].flatMap((field) => ['-H', field]);
    const answer = await curl('-X', method, ...words, `${edge.url}/`);
    assert.equal(answer.status, status, `${JSON.stringify(config)} ${method} ${fields}`);
    if (status === 403) assert.equal(JSON.parse(answer.body).code, 'csrf_refused');
    assert.equal(edge.up.hits, status === 200 ? 1 : 0);
  }
});
