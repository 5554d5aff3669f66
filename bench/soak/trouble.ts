/** What a soak does to a gateway while others use it: each returns when its harm is done, and is bounded in count. */
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** Requests that their client leaves at some point: within the head, within the body, within the answer. */
export async function abort(port: number, count: number): Promise<void> {
  const forms = [
    'GET /16k HTTP/1.1\r\nHost: soak\r\nX-Unfinished: ',
    'GET /16k HTTP/1.1\r\nHost: soak\r\n\r\n',
    'POST /upload HTTP/1.1\r\nHost: soak\r\nContent-Length: 1000000\r\n\r\nonly so much',
    'GET /16k HTTP/1.1\r\nHost: soak\r\n\r\n'.repeat(20),
    '\x16\x03\x01 this is no HTTP\r\n\r\n',
  ];
  for (let at = 0; at < count; at++) {
    const socket = await open(port);
    socket.write(forms[at % forms.length] ?? '');
    await sleep(at % 7);
    if (at % 2 === 0) socket.resetAndDestroy();
    else socket.destroy();
  }
}

/** Uploads `mib` MiB in chunks through one connection and returns the answer's status. */
export async function upload(port: number, mib: number): Promise<number> {
  const socket = await open(port);
  const answered = status(socket);
  let wake = (): void => {};
  socket.on('drain', () => wake());
  socket.on('close', () => wake());
  const size = 64 << 10;
  const chunk = Buffer.from(`${size.toString(16)}\r\n${'x'.repeat(size)}\r\n`);
  socket.write('POST /upload HTTP/1.1\r\nHost: soak\r\nTransfer-Encoding: chunked\r\n\r\n');
  for (let sent = 0; sent < mib << 20 && !socket.destroyed; sent += size) {
    if (socket.write(chunk)) continue;
    await new Promise<void>((resolve) => {
      wake = resolve;
    });
  }
  socket.write('0\r\n\r\n');
  const got = await answered;
  socket.destroy();
  return got;
}

/** Opens connections that have each had an answer and rest from then on. */
export async function rest(port: number, count: number): Promise<Socket[]> {
  const sockets: Socket[] = [];
  for (let at = 0; at < count; at++) {
    const socket = await open(port);
    const answered = status(socket);
    socket.write('GET /128 HTTP/1.1\r\nHost: soak\r\n\r\n');
    if ((await answered) !== 200) throw new Error('a connection that should rest was refused');
    sockets.push(socket);
  }
  return sockets;
}

function open(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1' }, () => resolve(socket));
    socket.once('error', reject);
    // Later errors are what an aborted connection meets.
    socket.on('error', () => {});
  });
}

/** The status of the first answer; 0 if the connection ends without one. */
function status(socket: Socket): Promise<number> {
  return new Promise((resolve) => {
    socket.once('data', (bytes) => resolve(Number(bytes.toString('latin1').slice(9, 12))));
    socket.once('close', () => resolve(0));
  });
}
