/**
 * cases: what is asked of each config, and what nginx answers.
 */

/** A request, and what nginx makes of it. */
export interface Wanted {
  path: string;
  status: number;
  /** A port of the config; that of the case unless said. */
  port?: number;
  host?: string;
  method?: string;
  headers?: Record<string, string>;
  /** Bytes of a body that is sent. */
  sends?: number;
  tls?: boolean;
  /** In the body at nginx, and so in ours. */
  body?: RegExp;
  location?: string;
}

/** A config and its table. */
export interface Case {
  name: string;
  port: number;
  requests: Wanted[];
  /** Fields that have to be equal, beside Location. */
  fields?: string[];
  /** The directives that are left out. */
  left?: string[];
  /** True if the config does not tell upstreams X-Forwarded-Proto, which the gateway always does. */
  plain?: boolean;
  /** Requests to `/`, by which server they were answered. */
  shares?: { port: number; requests: number }[];
}

/** What a client of WebSockets sends. */
const UPGRADE = {
  connection: 'Upgrade',
  upgrade: 'websocket',
  'sec-websocket-version': '13',
  'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
};
const APP = 'app.example.com';
const SHOP = 'shop.example.com';

export const CASES: Case[] = [
  {
    name: 'node-app',
    port: 80,
    fields: ['content-type'],
    requests: [
      { host: APP, path: '/', status: 200, body: /"host":"app\.example\.com".*"x-forwarded-proto":"http"/ },
      { host: APP, path: '/a/b?c=d&e', status: 200, body: /"url":"\/a\/b\?c=d&e"/ },
      { host: APP, path: '/form', method: 'POST', sends: 1000, status: 200, body: /"length":1000/ },
      { host: APP, path: '/form', method: 'POST', sends: 2 * 1024 ** 2, status: 200 },
      { host: APP, path: '/missing', headers: { 'x-status': '404' }, status: 404 },
      { host: APP, path: '/robots.txt', status: 200, body: /^User-agent: \*\nDisallow: \/private\n$/ },
      { host: 'other.example.com', path: '/', status: 200 },
    ],
  },
  {
    name: 'virtual-hosts',
    port: 80,
    plain: true,
    requests: [
      { host: 'example.com', path: '/', status: 200, body: /origin 3000/ },
      { host: 'WWW.example.com', path: '/', status: 200, body: /origin 3000/ },
      { host: 'api.example.com', path: '/x', status: 200, body: /origin 3001/ },
      { host: 'example.org', path: '/', status: 200, body: /origin 3002/ },
      { host: 'a.example.org', path: '/', status: 200, body: /origin 3002/ },
      { host: 'a.b.example.org', path: '/', status: 200, body: /origin 3002/ },
      { host: 'a.eu.example.org', path: '/', status: 200, body: /origin 3003/ },
      { host: 'eu.example.org', path: '/', status: 200, body: /origin 3002/ },
      { host: 'unknown.example', path: '/', status: 404 },
      { host: '127.0.0.1', path: '/', status: 404 },
    ],
  },
  {
    name: 'weights',
    port: 8080,
    plain: true,
    requests: [{ path: '/', status: 200, body: /"host":"backend"/ }],
    shares: [{ port: 8080, requests: 40 }],
  },
  {
    name: 'rate-limit',
    port: 80,
    plain: true,
    requests: [
      { path: '/login', status: 200 },
      { path: '/login', status: 429 },
      ...[200, 200, 200, 200, 429, 429].map((status) => ({
        path: '/api/x',
        status,
        headers: { 'x-api-key': 'one' },
      })),
      { path: '/api/x', status: 200, headers: { 'x-api-key': 'two' } },
      { path: '/', status: 200 },
      { path: '/', status: 200 },
    ],
  },
  {
    name: 'tls',
    port: 443,
    fields: ['strict-transport-security'],
    requests: [
      { port: 80, path: '/', status: 301, location: 'https://localhost/' },
      { port: 80, path: '/a/b?c=d', status: 301, location: 'https://localhost/a/b?c=d' },
      { port: 80, path: '/', method: 'POST', sends: 3, status: 301, location: 'https://localhost/' },
      { tls: true, path: '/', status: 200, body: /"x-forwarded-proto":"https"/ },
      { tls: true, path: '/gone', headers: { 'x-status': '410' }, status: 410 },
    ],
  },
  {
    name: 'websocket',
    port: 80,
    plain: true,
    requests: [
      { path: '/ws/room', headers: UPGRADE, status: 101, body: /^ping$/ },
      { path: '/ws/', status: 200, body: /"host":"localhost"/ },
      { path: '/', status: 200, body: /"host":"chat"/ },
      { path: '/ws', status: 301, location: 'http://localhost/ws/' },
    ],
  },
  {
    name: 'locations',
    port: 80,
    requests: [
      ...(
        [
          ['/', 'root'],
          ['/?a=b', 'root'],
          ['/images/logo.png', 'the logo'],
          ['/images/logo2.png', 'picture'],
          ['/images/', 'images'],
          ['/images/a.txt', 'images'],
          ['/images/older', 'old images'],
          ['/images', 'rest'],
          ['/static/a.png', 'static'],
          ['/static/', 'static'],
          ['/static', 'rest'],
          ['/a.JPG', 'rest'],
          ['/a.jpeg', 'picture'],
          ['/doc.PhP', 'php'],
          ['/doc', 'doc'],
          ['/docs/a', 'doc'],
          ['/document', 'doc'],
          ['/document/a', 'document'],
          ['/user/7/posts', 'user'],
          ['/user/x/posts', 'rest'],
          ['/a//b/../c', 'rest'],
          ['/other', 'rest'],
        ] as const
      ).map(([path, body]) => ({ path, status: 200, body: new RegExp(`^${body}\n$`) })),
      { path: '/.git/config', status: 403 },
      ...(
        [
          ['/a/', 'a'],
          ['/a/x', 'a'],
          ['/a/b', 'ab'],
          ['/a/bx', 'ab'],
          ['/a/b/c', 'ab'],
          ['/a/b/c/', 'abc'],
          ['/a/b/c/d', 'abc'],
          ['/x/y', 'x'],
          ['/x/y/z', 'xy'],
          ['/with%20space/a', 'space'],
          ['/exact', 'exact'],
        ] as const
      ).map(([path, body]) => ({ port: 81, path, status: 200, body: new RegExp(`^${body}\n$`) })),
      { port: 81, path: '/exact/', status: 404 },
      { port: 81, path: '/a', status: 404 },
    ],
  },
  {
    name: 'path-strip',
    port: 80,
    plain: true,
    requests: [
      ...(
        [
          ['/api/', '/'],
          ['/api/users?x=1', '/users?x=1'],
          ['/v2/a/b', '/internal/v2/a/b'],
          ['/keep/a?b', '/keep/a?b'],
          ['/files', '/storage'],
          ['/files/a', '/storage/a'],
          ['/filesystem', '/storageystem'],
          ['/status', '/internal/health'],
          ['/status?full=1', '/internal/health?full=1'],
          ['/search/books/by/me?n=2', '/find/by/me/in/books?n=2'],
          ['/search/books', '/search/books'],
          ['/shop/a', '/shop/a'],
        ] as const
      ).map(([path, url]) => ({
        path,
        status: 200,
        body: new RegExp(`"url":"${url.replaceAll('?', '\\?')}"`),
      })),
      { path: '/api', status: 301, location: 'http://localhost/api/' },
      { path: '/api?x=1', status: 301, location: 'http://localhost/api/?x=1' },
      { path: '/shop', status: 404 },
    ],
  },
  {
    name: 'real-ip',
    port: 80,
    plain: true,
    requests: (
      [
        ['203.0.113.7', 403, '/metrics'],
        ['127.0.0.1', 200, '/metrics'],
        ['203.0.113.70', 403, '/admin/'],
        ['203.0.113.7', 200, '/admin/'],
        ['203.0.114.7', 403, '/admin/'],
        ['2001:db8::7', 200, '/admin/'],
        ['2001:db9::7', 403, '/admin/'],
        ['203.0.113.7', 200],
        ['203.0.113.7', 200],
        ['203.0.113.7', 429],
        ['203.0.113.8', 200],
        ['198.51.100.1, 203.0.113.7', 429], // what the client says of itself is not believed
        ['203.0.113.7, 10.1.2.3', 429],
        ['203.0.113.9, 10.1.2.3', 200],
      ] as [string, number, string?][]
    ).map(([client, status, path = '/']) => ({ path, status, headers: { 'x-forwarded-for': client } })),
  },
  {
    name: 'fields',
    port: 80,
    plain: true,
    fields: ['x-frame-options', 'x-own', 'x-powered-by', 'cache-control', 'content-type'],
    requests: [
      {
        host: SHOP,
        path: '/inherits/a',
        status: 200,
        body: /"host":"127\.0\.0\.1:\d+".*"x-env":"production"/,
      },
      {
        host: SHOP,
        path: '/own/a',
        headers: { 'x-secret': 'mine', 'x-client': 'kept' },
        status: 200,
        body: /"host":"shop\.internal","x-team":"blue green","x-client":"kept"/,
      },
      { host: SHOP, path: '/own/a', headers: { 'x-status': '500' }, status: 500 },
      { host: SHOP, path: '/json', status: 200, body: /^\{"ok":true\}$/ },
      { host: SHOP, path: '/expires/a', status: 200 },
      { host: SHOP, path: '/products/17', status: 301, location: `http://${SHOP}/item/17` },
      { host: SHOP, path: '/products/17?a=b', status: 301, location: `http://${SHOP}/item/17?a=b` },
      { host: SHOP, path: '/products/x', status: 404 },
      { host: SHOP, path: '/old/a/b', status: 302, location: 'https://archive.example.com/a/b' },
    ],
  },
  {
    name: 'static-api',
    port: 80,
    plain: true,
    fields: ['etag', 'last-modified', 'accept-ranges', 'content-range', 'cache-control'],
    requests: [
      { path: '/', status: 200, body: /<title>app/ },
      { path: '/index.html', status: 200, body: /<title>app/ },
      { path: '/some/page/of/the/app', status: 200, body: /<title>app/ },
      { path: '/assets/app.js', status: 200, body: /console/ },
      { path: '/assets/app.js', headers: { range: 'bytes=0-6' }, status: 206, body: /^console$/ },
      { path: '/assets/app.js', method: 'HEAD', status: 200 },
      { path: '/assets/none.js', status: 404 },
      { path: '/manual/', status: 200, body: /<title>docs/ },
      { path: '/api/users', status: 200, body: /"url":"\/api\/users"/ },
    ],
  },
];
