/**
 * demo-upstreams: the two servers of the demonstration, each on a free port of loopback.
 *
 * They answer with their name and the request as it reached them. The thread says their addresses once.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { parentPort } from 'node:worker_threads';

async function serve(name: string): Promise<string> {
  const server = createServer({ keepAliveTimeout: 0 }, (request, response) => {
    const { headers, method, url } = request;
    request.resume();
    response.setHeader('content-type', 'application/json');
    response.end(`${JSON.stringify({ server: name, method, url, headers }, null, 2)}\n`);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return `127.0.0.1:${port}`;
}

parentPort?.postMessage([await serve('a'), await serve('b')]);
