// @ts-check
/** A server that takes a tenth of a second for everything; ORIGIN is its address. */
import { createServer } from 'node:http';

const { ORIGIN = '127.0.0.1:9001' } = process.env;
const [host, port] = ORIGIN.split(':');

const server = createServer((request, response) => {
  setTimeout(() => response.end(`${request.headers['x-tenant']}\n`), 100);
});
server.listen(Number(port), host, () => {
  const bound = server.address();
  if (bound === null || typeof bound === 'string') return;
  console.log(`listens on ${bound.address}:${bound.port}`);
});
