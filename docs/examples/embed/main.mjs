// @ts-check
/** A server and a gateway in front of it, in one program. PORT is where the gateway listens. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createGateway, defineConfig } from 'ironsluice';

const server = createServer((request, response) => {
  response.end(`hello ${request.headers['x-api-key']}, request ${request.headers['x-request-id']}\n`);
}).listen(0, '127.0.0.1');
await once(server, 'listening');
const bound = /** @type {import('node:net').AddressInfo} */ (server.address());

/** The config with or without maintenance; a mistake in it is a mistake of the compiler's too. */
const config = (maintenance = false) =>
  defineConfig({
    drain_timeout: '5s',
    listeners: [{ name: 'web', bind: `127.0.0.1:${process.env.PORT ?? 8080}` }],
    upstreams: [{ name: 'own', endpoints: [`127.0.0.1:${bound.port}`] }],
    routes: maintenance
      ? [{ name: 'maintenance', filters: [{ use: 'respond', status: 503, body: 'back soon\n' }] }]
      : [
          {
            name: 'known',
            match: { path: '/*', headers: { 'x-api-key': 'k1' } },
            filters: [
              { use: 'request_id' },
              { use: 'rate_limit', rate: '5/m', burst: 5, key: 'header:x-api-key' },
            ],
            to: 'own',
          },
          { name: 'unknown', filters: [{ use: 'respond', status: 401, body: 'no key\n' }] },
        ],
  });

const gateway = await createGateway(config());
console.log(`http://${gateway.addresses()[0]?.address} is served by process ${process.pid}`);

let isMaintained = false;
process.on('SIGUSR2', async () => {
  isMaintained = !isMaintained;
  // In one step for all threads: a request sees the one config or the other.
  console.log(`revision ${await gateway.reload(config(isMaintained))}, maintenance: ${isMaintained}`);
});
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, async () => {
    await gateway.close();
    server.close();
  });
}
