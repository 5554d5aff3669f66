/**
 * uws: bare uWebSockets.js, the same file that apps run on.
 *
 * `node uws.mjs PORT|PATH FEATURE`: answers any GET with 128 bytes; with the feature `websocket` it also sends back each
 * message of a WebSocket.
 */
import { choose } from '../../../../dist/ts/http/load.js';

const [at, feature] = process.argv.slice(2);
const { uws } = choose('uws');
const hello = 'x'.repeat(128);

const app = uws.App();
if (feature === 'websocket') {
  app.ws('/*', {
    idleTimeout: 120,
    message: (socket, message, isBinary) => void socket.send(message, isBinary),
  });
}
app.get('/*', (res) => {
  res.writeHeader('content-type', 'text/plain; charset=utf-8').end(hello);
});
const listening = (token) => {
  if (!token) throw new Error(`cannot listen at ${at}`);
};
if (at.startsWith('/')) app.listen_unix(listening, at);
else app.listen('127.0.0.1', Number(at), 1, listening);
