/**
 * node: `node:http`.
 *
 * `node node.mjs PORT FEATURE ORIGIN`: answers any request with 128 bytes; with the feature `forward` it forwards everything to
 * the origin with http-proxy (keep-alive).
 */
import { Agent, createServer } from 'node:http';
import httpProxy from 'http-proxy';

const [port, feature, origin] = process.argv.slice(2);
const hello = 'x'.repeat(128);

const answer = (_, response) => {
  response.writeHead(200, { 'content-type': 'text/plain; charset=utf-8', 'content-length': hello.length });
  response.end(hello);
};
const forward = () => {
  const agent = new Agent({ keepAlive: true, maxSockets: 128 });
  const proxy = httpProxy.createProxyServer({ target: `http://${origin}`, agent, xfwd: true });
  proxy.on('error', (_, __, response) => response.writeHead?.(502).end());
  return (request, response) => proxy.web(request, response);
};
const server = createServer({ keepAliveTimeout: 0 }, feature === 'forward' ? forward() : answer);
server.listen(Number(port), '127.0.0.1');
