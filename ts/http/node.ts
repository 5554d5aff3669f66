/**
 * node: the engine on `node:http` and `ws`, for machines where the other one does not load.
 *
 * Bounds: as those of uWebSockets.js where Node can be told them; see `differences.ts`.
 */
import { createServer, type Server as HttpServer, type IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo, Socket as TcpSocket } from 'node:net';
import type { Duplex } from 'node:stream';
import { asksForSocket, type Head, handshakeFault, headFault, internal } from './head.js';
import { MAX_HEAD } from './load.js';
import { NodeExchange, type Owner } from './node-exchange.js';
import { Hub } from './node-socket.js';
import type { AppServer, Chunk, ServerOptions, SocketOptions } from './server-types.js';

/** Listens with `node:http`. */
export async function openNode<C>(options: ServerOptions<C>): Promise<AppServer> {
  const server = new Server(options);
  await server.listen();
  return server;
}

class Server<C> implements AppServer, Owner {
  readonly engine = 'node';
  address = '';
  connections = 0;
  isClosing = false;
  readonly #options: ServerOptions<C>;
  readonly #http: HttpServer;
  readonly #hub: Hub<C> | undefined;
  #closed: Promise<void> | undefined;
  #hasSaidGoodbye = false;

  constructor(options: ServerOptions<C>) {
    this.#options = options;
    this.#http = createServer(
      {
        maxHeaderSize: MAX_HEAD,
        headersTimeout: IDLE_MS,
        keepAliveTimeout: IDLE_MS,
        requestTimeout: BODY_MS,
        connectionsCheckingInterval: CHECK_MS,
      },
      (incoming, outgoing) => this.#take(incoming, outgoing),
    );
    this.#http.maxHeadersCount = 0; // Node would leave out the rest; `headFault` counts
    if (options.maxConnections !== undefined) this.#http.maxConnections = options.maxConnections;
    this.#http.on('connection', (socket: TcpSocket) => {
      this.connections += 1;
      socket.once('close', () => {
        this.connections -= 1;
      });
    });
    if (options.websocket !== undefined) {
      const { websocket } = options;
      const hub = new Hub(websocket, (error) => this.failed(error));
      this.#hub = hub;
      this.#http.on('upgrade', (incoming: IncomingMessage, socket: Duplex, rest: Buffer) => {
        this.#upgrade(websocket, hub, incoming, socket, rest);
      });
    }
  }

  async listen(): Promise<void> {
    const { listen } = this.#options;
    const where =
      'unix' in listen ? { path: listen.unix } : { host: listen.host, port: listen.port, exclusive: true };
    await new Promise<void>((resolve, reject) => {
      this.#http.once('error', reject);
      this.#http.listen(where, () => {
        this.#http.off('error', reject);
        resolve();
      });
    });
    const bound = this.#http.address() as AddressInfo | string;
    if (typeof bound === 'string') this.address = bound;
    else this.address = `${bound.family === 'IPv6' ? `[${bound.address}]` : bound.address}:${bound.port}`;
  }

  publish(topic: string, message: Chunk): void {
    this.#hub?.publish(topic, message);
  }

  goodbye(): void {
    this.#hasSaidGoodbye = true;
    this.#hub?.goodbye();
  }

  close(patienceMs: number, keepSockets = false): Promise<void> {
    this.#closed ??= new Promise((resolve) => {
      this.isClosing = true;
      const timer = setTimeout(() => {
        this.#http.closeAllConnections();
        this.#hub?.terminate();
      }, patienceMs);
      this.#http.close(() => {
        clearTimeout(timer);
        this.#hub?.end();
        resolve();
      });
      this.#http.closeIdleConnections();
      if (!keepSockets) this.goodbye();
    });
    return this.#closed;
  }

  failed(error: unknown): void {
    this.#options.onError?.(error);
  }

  #take(incoming: IncomingMessage, outgoing: ServerResponse): void {
    const head = headOf(incoming);
    const x = new NodeExchange(this, incoming, outgoing, head);
    const fault = headFault(head);
    if (fault !== undefined) x.refuse(fault);
    else x.guard(() => this.#options.handler(x));
  }

  #upgrade(
    options: SocketOptions<C>,
    hub: Hub<C>,
    incoming: IncomingMessage,
    socket: Duplex,
    rest: Buffer,
  ): void {
    const outgoing = new ServerResponse(incoming);
    outgoing.shouldKeepAlive = false; // Node has let go of the connection
    outgoing.assignSocket(socket as TcpSocket);
    outgoing.once('finish', () => socket.end());
    socket.on('error', () => socket.destroy());
    const head = headOf(incoming);
    if (!asksForSocket(head) || headFault(head) !== undefined) {
      this.#take(incoming, outgoing);
      return;
    }
    const x = new NodeExchange(this, incoming, outgoing, head);
    const decide = async (): Promise<void> => {
      const fault = handshakeFault(head);
      const decision = fault === undefined ? await options.upgrade(x) : { reply: fault };
      if (x.aborted || decision === 'answered') return;
      if ('reply' in decision || this.isClosing || this.#hasSaidGoodbye) {
        const { status, headers, body } = 'reply' in decision ? decision.reply : { status: 503, headers: [] };
        x.respond(status, headers, body);
        return;
      }
      outgoing.detachSocket(socket as TcpSocket);
      hub.accept(incoming, socket, rest, decision.accept, decision.protocol);
    };
    decide().catch((error) => {
      this.failed(error);
      x.refuse(internal());
    });
  }
}

function headOf({ method = '', rawHeaders, url = '' }: IncomingMessage): Head {
  const at = url.indexOf('?');
  const fields = rawHeaders.map((text, i) => (i % 2 === 0 ? text.toLowerCase() : text));
  if (at < 0) return { method, path: url, query: undefined, fields };
  return { method, path: url.slice(0, at), query: url.slice(at + 1), fields };
}

const IDLE_MS = 10_000;
const BODY_MS = 300_000;
const CHECK_MS = 2_000;
