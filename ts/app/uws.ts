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
import {
  asksForSocket,
  bytesOfHead,
  fieldOf,
  type Head,
  handshakeFault,
  headFault,
  internal,
} from './head.js';
import {
  type AppServer,
  type Chunk,
  type Door,
  LINGER_MS,
  type ServerOptions,
  SOCKET_DEFAULTS,
  type SocketOptions,
} from './server-types.js';
import { removePath } from './unix.js';
import { type Owner, UwsExchange } from './uws-exchange.js';
import { Lever } from './uws-lever.js';
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
      options.door?.counted?.(change);
      if (change > 0 && this.connections > max) res.close();
    });
    if (options.websocket !== undefined) this.#serveSockets(options.websocket);
    const { door } = options;
    if (door === undefined) this.#app.any('/*', (res, req) => this.#take(res, headOf(req)));
    else this.#app.any('/*', (res, req) => this.#arrive(door, res, req));
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
      this.#app.listen(listen.host, listen.port, listen.shared ? 0 : 1, keep);
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

  #arrive(door: Door, res: UwsResponse, req: UwsRequest): void {
    const method = req.getCaseSensitiveMethod();
    const query = req.getQuery();
    text = query === undefined ? req.getUrl() : `${req.getUrl()}?${query}`;
    text = `${method} ${text} HTTP/1.1\r\n`;
    hasLength = false;
    req.forEach(addLine);
    text += '\r\n';
    const x = new UwsExchange(
      this,
      res,
      { method, path: '', query: undefined, fields: NO_FIELDS },
      !hasLength,
    );
    const peer = new Uint8Array(res.getRemoteAddress());
    try {
      door.arrive(x, text, peer, () => bytesOfHead(headOf(req)));
    } catch (error) {
      this.failed(error);
      x.refuse(internal());
    }
  }

  #take(res: UwsResponse, head: Head): void {
    const x = new UwsExchange(this, res, head);
    const fault = headFault(head);
    if (fault !== undefined) {
      setImmediate(() => x.refuse(fault));
      return;
    }
    x.guard(() => this.#options.handler(x));
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
        if (!asksForSocket(head) || headFault(head) !== undefined) this.#take(res, head);
        else this.#upgrade(options, res, head, context);
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

  #upgrade(options: SocketOptions<C>, res: UwsResponse, head: Head, context: unknown): void {
    const x = new UwsExchange(this, res, head);
    const fault = handshakeFault(head);
    if (fault !== undefined) {
      x.respond(fault.status, fault.headers, fault.body);
      return;
    }
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
      const { remoteAddress } = x;
      x.upgrade((raw) =>
        raw.upgrade(
          { own: { context: decision.accept, remoteAddress } },
          fieldOf(head.fields, 'sec-websocket-key') ?? '',
          decision.protocol ?? '',
          fieldOf(head.fields, 'sec-websocket-extensions') ?? '',
          context,
        ),
      );
    };
    decide().catch((error) => {
      this.failed(error);
      x.refuse(internal());
    });
  }
}

/** The head that is being read; nothing else runs meanwhile. */
let text = '';
let hasLength = false;

function addLine(name: string, value: string): void {
  text += `${name}: ${value}\r\n`;
  if (name === 'content-length' || name === 'transfer-encoding') hasLength = true;
}

/** Copies the head. Values come decoded as UTF-8 and are turned back into the bytes they were. */
function headOf(req: UwsRequest): Head {
  const fields: string[] = [];
  const seen = (name: string, value: string): void => {
    if (ASCII.test(value)) {
      fields.push(name, value);
      return;
    }
    // What is not UTF-8 can be had by name only, and then only the first of that name: else it is a fault.
    const isFirst = !fields.some((field, i) => i % 2 === 0 && field === name);
    fields.push(name, isFirst ? req.getHeader(name) : value.includes('\ufffd') ? '\0' : latin1(value));
  };
  req.forEach(seen);
  return { method: req.getCaseSensitiveMethod(), path: req.getUrl(), query: req.getQuery(), fields };
}

function latin1(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1');
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

const NO_FIELDS: string[] = [];
const WIND_MS = 4_000;
// biome-ignore lint/suspicious/noControlCharactersInRegex: all of ASCII
const ASCII = /^[\x00-\x7f]*$/;
