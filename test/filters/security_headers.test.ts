/**
 * security_headers: what a browser is told, and that a real one obeys: frames, scripts, types.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Filter, SecurityHeadersFilter } from '../../ts/generated/config.js';
import { folder } from '../kit/binary.js';
import { browser } from '../kit/browser.js';
import { certificate } from '../kit/certificate.js';
import { curl } from '../kit/curl.js';
import { filtered } from '../kit/filtered.js';
import { gateway } from '../kit/gateway.js';

const strict = (more: Partial<SecurityHeadersFilter> = {}): Filter => ({ use: 'security_headers', ...more });

test('the defaults, on responses of the upstream and on refusals, and what the upstream says itself', async (t) => {
  const edge = await filtered(
    t,
    [strict({ hsts: { max_age: '365d' } }), { use: 'ip_rules', deny: ['10.0.0.0/8'], default: 'allow' }],
    {
      handler: (_, response) => {
        response.writeHead(200, { 'x-frame-options': 'DENY', 'x-powered-by': 'PHP/5' }).end('ok');
      },
    },
  );
  const { headers } = await curl(`${edge.url}/`);
  assert.equal(headers['x-content-type-options'], 'nosniff');
  assert.equal(headers['x-frame-options'], 'DENY');
  assert.equal(headers['referrer-policy'], 'strict-origin-when-cross-origin');
  assert.equal(headers['cross-origin-opener-policy'], 'same-origin');
  assert.equal(headers['cross-origin-resource-policy'], 'same-origin');
  assert.equal(headers['x-powered-by'], undefined);
  assert.equal(headers['strict-transport-security'], undefined, 'not without TLS');
  assert.equal(headers['content-security-policy'], undefined);

  await edge.gateway.reload(
    edge.config([strict({ override: true, opener_policy: 'off' }), { use: 'respond' }]),
  );
  const refused = await curl(`${edge.url}/`);
  assert.equal(refused.headers['x-frame-options'], 'sameorigin');
  assert.equal(refused.headers['cross-origin-opener-policy'], undefined);
});

test('Strict-Transport-Security goes out by TLS, and where a trusted proxy ended it', async (t) => {
  const { ca, cert, key } = await certificate(t);
  const path = await folder(t, { 'a.pem': cert, 'a.key': key });
  const hsts = { max_age: '365d', include_subdomains: true, preload: true };
  const filters: Filter[] = [
    { use: 'client_ip', trust: ['127.0.0.1'] },
    strict({ hsts }),
    { use: 'respond' },
  ];
  const tls = { certificates: [{ cert: `${path}/a.pem`, key: `${path}/a.key` }] };
  const want = 'max-age=31536000; includeSubDomains; preload';
  const safe = await gateway(t, {
    listeners: [{ name: 'web', bind: '127.0.0.1:0', tls }],
    routes: [{ name: 'all', filters }],
  });
  const { headers } = await curl('--cacert', ca, `https://localhost:${safe.port}/`);
  assert.equal(headers['strict-transport-security'], want);

  const plain = await gateway(t, { routes: [{ name: 'all', filters }] });
  for (const [proto, said] of [
    ['https', want],
    ['http', undefined],
  ] as const) {
    const answer = await curl('-H', `X-Forwarded-Proto: ${proto}`, `${plain.url}/`);
    assert.equal(answer.headers['strict-transport-security'], said);
  }
});

test('a browser obeys', async (t) => {
  const chromium = await browser(t);
  if (chromium === undefined) return;
  const page = '<title>framed</title><script>document.title = "run"</script>';
  const site = await filtered(
    t,
    [strict({ content_security_policy: "default-src 'self'", frame_options: 'deny' })],
    {
      handler: ({ url }, response) => {
        if (url === '/script')
          response.writeHead(200, { 'content-type': 'text/plain' }).end('window.ran = true');
        else response.writeHead(200, { 'content-type': 'text/html' }).end(page);
      },
    },
  );
  const other = await gateway(t, {
    routes: [{ name: 'page', filters: [{ use: 'respond', body: '<p>', content_type: 'text/html' }] }],
  });
  const own = await chromium.open(site.url);
  assert.equal(await own.evaluate('document.title'), 'framed', 'an inline script does not run');

  const loads = (tag: string, attribute: string, address: string): string => `new Promise((done) => {
    const element = document.createElement('${tag}');
    element.onload = () => done('loaded');
    element.onerror = () => done('refused');
    element.${attribute} = '${address}';
    document.body.append(element);
  })`;
  assert.equal(await own.evaluate(loads('script', 'src', '/script')), 'refused', 'text is no script');
  const stranger = await chromium.open(other.url);
  // Ports of one address are one site, but not one origin.
  assert.equal(await stranger.evaluate(loads('script', 'src', `${site.url}/script`)), 'refused');

  // A page that is shown says so before it has loaded.
  const framed = async (frame_options: 'deny' | 'off'): Promise<unknown> => {
    const shown = await filtered(t, [strict({ frame_options })], {
      handler: (_, response) => {
        response.writeHead(200, { 'content-type': 'text/html' });
        response.end('<script>parent.postMessage("shown", "*")</script>');
      },
    });
    const page = await chromium.open(other.url);
    await page.evaluate('onmessage = ({ data }) => { window.said = data; }, 0');
    await page.evaluate(loads('iframe', 'src', `${shown.url}/`));
    return page.evaluate('new Promise((done) => setTimeout(done, 0)).then(() => window.said ?? "nothing")');
  };
  assert.equal(await framed('off'), 'shown');
  assert.equal(await framed('deny'), 'nothing');
});
