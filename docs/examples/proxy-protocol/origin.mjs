// @ts-check
/**
 * origin: a server to stand for one of yours. It reads the PROXY header of each connection and says what it told.
 */
import { createServer } from 'node:http';
import { createServer as createListener } from 'node:net';
import { parseProxyHeader, TLV } from 'ironsluice/parts';

/** What each connection's header told. */
const told = new WeakMap();

const server = createServer((request, response) => {
  const { source, destination, authority } = told.get(request.socket);
  const name = authority === undefined ? '' : ` of ${authority}`;
  response.end(`${request.url} for ${source?.address}:${source?.port} at ${destination?.address}${name}\n`);
});

const listener = createListener((socket) => {
  let bytes = Buffer.alloc(0);
  const read = (/** @type {Buffer} */ piece) => {
    bytes = Buffer.concat([bytes, piece]);
    let header;
    try {
      header = parseProxyHeader(bytes);
    } catch {
      socket.destroy(); // Nobody knows whose connection it is.
      return;
    }
    if (header === undefined) return; // More is to come.
    const { source, destination, tlvs, length } = header;
    const authority = tlvs.find(({ type }) => type === TLV.AUTHORITY)?.value.toString();
    told.set(socket, { source, destination, authority });
    socket.off('data', read).pause();
    socket.unshift(bytes.subarray(length));
    server.emit('connection', socket);
    socket.resume();
  };
  socket.on('data', read).on('error', () => socket.destroy());
});

const [host, port] = (process.env.ORIGIN ?? '127.0.0.1:9001').split(':');
listener.listen(Number(port), host, () => {
  const at = listener.address();
  console.log(`listens on ${host}:${typeof at === 'object' ? at?.port : at}`);
});
