/**
 * fastify: Fastify without a log.
 *
 * `node fastify.mjs PORT FEATURE ORIGIN`: answers any GET with 128 bytes; with the feature `forward` it forwards everything
 * to the origin with @fastify/http-proxy (undici, keep-alive, one request at a time on a connection).
 */
import proxy from '@fastify/http-proxy';
import fastify from 'fastify';

const [port, feature, origin] = process.argv.slice(2);
const hello = 'x'.repeat(128);

const app = fastify({ logger: false, keepAliveTimeout: 0 });
if (feature === 'forward') {
  await app.register(proxy, {
    upstream: `http://${origin}`,
    undici: { connections: 128, pipelining: 1, keepAliveTimeout: 60_000 },
    replyOptions: {
      rewriteRequestHeaders: (request, headers) => ({ ...headers, 'x-forwarded-for': request.ip }),
    },
  });
} else {
  app.get('/*', (_, reply) => reply.type('text/plain; charset=utf-8').send(hello));
}
await app.listen({ host: '127.0.0.1', port: Number(port) });
