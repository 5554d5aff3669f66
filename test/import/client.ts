/**
 * client: one request of a table, to one of two servers; a WebSocket if it asks for one.
 */
import {
  type IncomingHttpHeaders,
  type IncomingMessage,
  request as plain,
  type RequestOptions,
} from 'node:http';
import { request as secure } from 'node:https';

/** A request. */
export interface Asked {
  port: number;
  path: string;
  host?: string;
  method?: string;
  headers?: Record<string, string>;
  body?: Buffer;
  /** The authority of a server with TLS. */
  ca?: Buffer;
}

/** What came back. */
export interface Answer {
  /** The port that was asked. */
  port: number;
  status: number;
  headers: IncomingHttpHeaders;
  /** The body; of a WebSocket what came back for `ping`. */
  body: string;
}

/** Asks on a connection of its own. */
export function ask({
  body,
  ca,
  headers,
  host = 'localhost',
  method = 'GET',
  path,
  port,
}: Asked): Promise<Answer> {
  const options: RequestOptions = {
    host: '127.0.0.1',
    port,
    path,
    method,
    headers: { host, ...headers },
    agent: false,
  };
  return new Promise((resolve, reject) => {
    const request = ca === undefined ? plain(options) : secure({ ...options, ca, servername: 'localhost' });
    const whole = ({ headers, statusCode: status = 0 }: IncomingMessage, text: string): void =>
      resolve({ port, status, headers, body: text });
    request.on('response', (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part));
      response.on('end', () => whole(response, Buffer.concat(parts).toString()));
      response.on('error', reject);
    });
    request.on('upgrade', (response, socket) => {
      socket.on('data', (part: Buffer) => {
        socket.destroy();
        whole(response, part.toString());
      });
      socket.on('error', reject);
      socket.write('ping');
    });
    request.on('error', reject);
    request.end(body);
  });
}
