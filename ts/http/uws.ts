/**
 * uws: the engine on uWebSockets.js.
 *
 * Everything of a request is copied before its handler returns. A request whose head has a fault is
 * answered one turn later: had the library taken a part of the body for a further request, it sees that
 * one come before the answer, and closes.
 * A thread that ends with open handles of the library would abort the process: {@link AppServer.close} closes
 * them all, and each address is guarded against a sudden end.
 */
import { createServer } from 'node:net';
import { guardThread } from './guard.js';
import { asksForSocket, fieldOf, type Head, handshakeFault, headFault, internal } from './head.js';
import {
  type AppServer,
  type Chunk,
  LINGER_MS,
  type ServerOptions,
  SOCKET_DEFAULTS,
  type SocketOptions,
} from './server-types.js';
import { removePath } from './unix.js';
import { headOf, type Owner, UwsExchange } from './uws-exchange.js';
import { Lever } from './uws-lever.js';
import { offerFor } from './uws-offer.js';
import { socketHandlers } from './uws-socket.js';
import type { Uws, UwsApp, UwsRequest, UwsResponse } from './uws-types.js';

/** Listens with uWebSockets.js. */
export async function openUws<C>(uws: Uws, options: ServerOptions<C>): Promise<AppServer> {
  const server = new Server(uws, options, await Lever.open(uws));
  await server.listen();
  return server;
}

class Server<C> implements AppServer, Owner {
  readonly engine = 'uws';
  address = '';
  connections = 0;
  isClosing = false;
  inFlight = 0;
  readonly lever: Lever;
  readonly kept = new Set<UwsExchange>();
  readonly #winder: NodeJS.Timeout;
  readonly #uws: Uws;
  readonly #options: ServerOptions<C>;
  readonly #app: UwsApp;
  readonly #compress: boolean;
  #token: unknown;
  #closed: Promise<void> | undefined;
  /** Called when an answer or a WebSocket has ended. */
  #fewer: (() => void) | undefined;
  #hasSaidGoodbye = false;
  #hasEnded = false;
  /** Until then peers may answer a goodbye. */
  #lingers = 0;

  constructor(uws: Uws, options: ServerOptions<C>, lever: Lever) {
    this.#uws = uws;
    this.lever = lever;
    this.#winder = setInterval(() => {
      for (const x of this.kept) x.keepAlive();
    }, WIND_MS).unref();
    this.#options = options;
    this.#compress = options.websocket?.compression === 'shared';
    this.#app = uws.App();
    const max = options.maxConnections ?? Number.POSITIVE_INFINITY;
    // biome-ignore lint/suspicious/useIterableCallbackReturn: it is no array
    this.#app.filter((res, change) => {
      this.connections += change;
      if (change > 0 && this.connections > max) res.close();
    });
    if (options.websocket !== undefined) this.#serveSockets(options.websocket);
    this.#app.any('/*', (res, req) => this.#take(res, req));
  }

  async listen(): Promise<void> {
    const { listen } = this.#options;
    const keep = (token: unknown): void => {
      this.#token = token === false ? undefined : token;
    };
    if ('unix' in listen) {
      this.#app.listen_unix(keep, listen.unix);
      this.address = listen.unix;
      await guardThread(listen.unix);
    } else {
      this.#app.listen(listen.host, listen.port, 1, keep);
    }
    if (this.#token === undefined) {
      this.#end();
      throw await whyNot(listen);
    }
    if ('host' in listen) {
      const host = listen.host.includes(':') ? `[${listen.host}]` : listen.host;
      const port = this.#uws.us_socket_local_port(this.#token);
      await guardThread(port);
      this.address = `${host}:${port}`;
    }
  }

  publish(topic: string, message: Chunk): void {
    if (!this.#hasEnded) {
      this.#app.publish(topic, message, typeof message !== 'string', this.#compress);
    }
  }

  goodbye(): void {
    this.#hasSaidGoodbye = true;
    if (this.#goodbyes.size > 0) this.#lingers = performance.now() + LINGER_MS;
    for (const goodbye of [...this.#goodbyes]) goodbye();
  }

  close(patienceMs: number, keepSockets = false): Promise<void> {
    this.#closed ??= this.#close(patienceMs, keepSockets);
    return this.#closed;
  }

  done(): void {
    this.inFlight -= 1;
    this.#fewer?.();
  }

  failed(error: unknown): void {
    this.#options.onError?.(error);
  }

  async #close(patienceMs: number, keepSockets: boolean): Promise<void> {
    this.isClosing = true;
    this.#uws.us_listen_socket_close(this.#token);
    if ('unix' in this.#options.listen) await removePath(this.#options.listen.unix);
    if (!keepSockets) this.goodbye();
    const isQuiet = (): boolean => this.inFlight === 0 && this.#goodbyes.size === 0;
    if (!isQuiet()) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, patienceMs);
        this.#fewer = () => {
          if (!isQuiet()) return;
          clearTimeout(timer);
          resolve();
        };
      });
    }
    // The library does not say when the peer has answered; closed sooner, its answer would reset the connection.
    const lingerMs = Math.min(patienceMs, this.#lingers - performance.now());
    if (lingerMs > 0) await new Promise((resolve) => setTimeout(resolve, lingerMs));
    // Not within a callback of the library: what it has corked there would be lost.
    await new Promise((resolve) => setImmediate(resolve));
    this.#end();
  }

  #end(): void {
    this.#hasEnded = true;
    clearInterval(this.#winder);
    this.#app.close();
    this.lever.close();
  }

  #take(res: UwsResponse, req: UwsRequest): void {
    const x = new UwsExchange(this, res, req);
    const fault = this.#options.trusted === true ? undefined : headFault(headOf(req));
    if (fault !== undefined) setImmediate(() => x.refuse(fault));
    else x.guard(() => this.#options.handler(x));
    x.settle();
  }

  /** Closes the open WebSockets politely. */
  readonly #goodbyes = new Set<() => void>();

  #serveSockets(options: SocketOptions<C>): void {
    this.#app.ws('/*', {
      maxPayloadLength: options.maxPayload ?? SOCKET_DEFAULTS.maxPayload,
      maxBackpressure: options.maxBackpressure ?? SOCKET_DEFAULTS.maxBackpressure,
      idleTimeout: options.idleTimeoutSecs ?? SOCKET_DEFAULTS.idleTimeoutSecs,
      compression: this.#compress ? this.#uws.SHARED_COMPRESSOR : this.#uws.DISABLED,
      upgrade: (res: UwsResponse, req: UwsRequest, context: unknown) => {
        const head = headOf(req);
        const isSound = asksForSocket(head) && headFault(head) === undefined;
        if (isSound) this.#upgrade(options, res, req, head, context);
        else this.#take(res, req);
      },
      ...socketHandlers(options, {
        compress: this.#compress,
        opened: (goodbye) => this.#goodbyes.add(goodbye),
        closed: (goodbye) => {
          this.#goodbyes.delete(goodbye);
          this.connections -= 1; // the filter does not see it
          this.#fewer?.();
        },
        failed: (error) => this.failed(error),
      }),
    });
  }

  #upgrade(options: SocketOptions<C>, res: UwsResponse, req: UwsRequest, head: Head, context: unknown): void {
    const x = new UwsExchange(this, res, req);
    const fault = handshakeFault(head);
    const decide = async (): Promise<void> => {
      const decision = await options.upgrade(x);
      if (decision === 'answered') return;
      if ('reply' in decision) {
        x.respond(decision.reply.status, decision.reply.headers, decision.reply.body);
        return;
      }
      if (this.isClosing || this.#hasSaidGoodbye) {
        x.respond(503, []);
        return;
      }
      if (x.aborted) return;
      const { remoteAddress } = x;
      x.upgrade((raw) =>
        raw.upgrade(
          { own: { context: decision.accept, remoteAddress } },
          fieldOf(head.fields, 'sec-websocket-key') ?? '',
          decision.protocol ?? '',
          offerFor(fieldOf(head.fields, 'sec-websocket-extensions')),
          context,
        ),
      );
    };
    if (fault !== undefined) x.respond(fault.status, fault.headers, fault.body);
    else {
      decide().catch((error) => {
        this.failed(error);
        x.refuse(internal());
      });
    }
    x.settle();
  }
}

/** The library does not say why it cannot listen; Node does. */
async function whyNot(listen: ServerOptions['listen']): Promise<Error> {
  const probe = createServer();
  try {
    await new Promise<void>((resolve, reject) => {
      probe.once('error', reject);
      const options = 'unix' in listen ? { path: listen.unix } : { host: listen.host, port: listen.port };
      probe.listen({ ...options, exclusive: true }, resolve);
    });
    await new Promise((resolve) => probe.close(resolve));
    return Object.assign(new Error('uWebSockets.js cannot listen'), { code: 'EADDRNOTAVAIL' });
  } catch (error) {
    return error as Error;
  }
}

const WIND_MS = 4_000;
