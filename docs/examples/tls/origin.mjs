// @ts-check
/**
 * origin: a server to stand for one of yours. It says what it was told of the client.
 */
import { createServer } from 'node:http';

const server = createServer((request, response) => {
  response.end(`${request.method} ${request.url} by ${request.headers['x-forwarded-proto']}\n`);
});
const [host, port] = (process.env.ORIGIN ?? '127.0.0.1:9001').split(':');
server.listen(Number(port), host, () => {
  const at = server.address();
  console.log(`listens on ${host}:${typeof at === 'object' ? at?.port : at}`);
});
