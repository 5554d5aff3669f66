/**
 * uws-lever: writes of uWebSockets.js that say truly whether the system took them.
 *
 * Inside of `cork` a small write is kept until its end and always counts as taken; outside of it the
 * library complains on standard error. While another connection is corked a write goes out at once, truly
 * counted and without complaint: this is that other connection, from the process to itself.
 */
import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { guardThread } from './guard.js';
import type { Uws, UwsApp, UwsResponse } from './uws-types.js';

/** One connection of the process to itself. */
export class Lever {
  readonly #app: UwsApp;
  readonly #client: Socket;
  readonly #res: UwsResponse;

  private constructor(app: UwsApp, client: Socket, res: UwsResponse) {
    this.#app = app;
    this.#client = client;
    this.#res = res;
  }

  /** Connects. */
  static async open(uws: Uws): Promise<Lever> {
    const path = `/${randomBytes(16).toString('hex')}`; // others may find the port before us
    const app = uws.App();
    let client: Socket | undefined;
    try {
      const res = await new Promise<UwsResponse>((resolve, reject) => {
        app.any('/*', (other, req) => {
          if (req.getUrl() !== path) {
            other.close();
            return;
          }
          other.onAborted(() => {}); // only when this is closed
          resolve(other);
        });
        app.listen('127.0.0.1', 0, 1, (token) => {
          if (token === false) {
            reject(new Error('uWebSockets.js cannot listen on 127.0.0.1'));
            return;
          }
          const port = uws.us_socket_local_port(token);
          void guardThread(port);
          client = connect(port, '127.0.0.1', () => {
            client?.write(`GET ${path} HTTP/1.1\r\nHost: self\r\n\r\n`);
          });
          client.once('error', reject);
          client.once('ready', () => setImmediate(() => uws.us_listen_socket_close(token)));
        });
      });
      if (client === undefined) throw new Error('there is no client');
      client.unref();
      client.on('error', () => {});
      return new Lever(app, client, res);
    } catch (error) {
      client?.destroy();
      app.close();
      throw error;
    }
  }

  /** Runs `write`, whose writes go out at once. Not to be called from within a callback of the library. */
  uncorked(write: () => void): void {
    this.#res.cork(write);
  }

  close(): void {
    this.#app.close();
    this.#client.destroy();
  }
}
