// @ts-check
/** Two servers that say their name and what they were asked; ORIGIN_A and ORIGIN_B are their addresses. */
import { createServer } from 'node:http';

const { ORIGIN_A = '127.0.0.1:9001', ORIGIN_B = '127.0.0.1:9002' } = process.env;

for (const [name, address] of Object.entries({ a: ORIGIN_A, b: ORIGIN_B })) {
  const [host, port] = address.split(':');
  const server = createServer((request, response) => {
    response.end(`${name}: ${request.method} ${request.url}\n`);
  });
  server.listen(Number(port), host, () => {
    const bound = server.address();
    if (bound === null || typeof bound === 'string') return;
    console.log(`${name} listens on ${bound.address}:${bound.port}`);
  });
}
