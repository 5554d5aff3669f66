/** node-socket: WebSockets of `ws`, with topics, a bound on what waits, and a timeout. */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import { type Chunk, type Sent, SOCKET_DEFAULTS, type Socket, type SocketOptions } from './server-types.js';

/** All WebSockets of one server. */
export class Hub<C> {
  readonly #options: SocketOptions<C>;
  readonly #failed: (error: unknown) => void;
  readonly #wss: WebSocketServer;
  readonly #sockets = new Set<NodeSocket<C>>();
  readonly #topics = new Map<string, Set<NodeSocket<C>>>();
  readonly #sweep: NodeJS.Timeout | undefined;
  /** The subprotocol that was chosen for the upgrade at hand. */
  #protocol: string | undefined;

  constructor(options: SocketOptions<C>, failed: (error: unknown) => void) {
    this.#options = options;
    this.#failed = failed;
    const maxPayload = options.maxPayload ?? SOCKET_DEFAULTS.maxPayload;
    this.#wss = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      maxPayload,
      maxFragments: Math.max(MIN_FRAGMENTS, Math.ceil(maxPayload / MEAN_FRAGMENT)),
      perMessageDeflate: options.compression === 'shared' && NO_WINDOW,
      handleProtocols: () => this.#protocol ?? false,
    });
    const idleMs = (options.idleTimeoutSecs ?? SOCKET_DEFAULTS.idleTimeoutSecs) * 1000;
    if (idleMs > 0) this.#sweep = setInterval(() => this.#endIdle(idleMs), SWEEP_MS).unref();
  }

  /** Answers the handshake. */
  accept(incoming: IncomingMessage, raw: Duplex, rest: Buffer, context: C, protocol?: string): void {
    const remoteAddress = incoming.socket.remoteAddress ?? '';
    this.#protocol = protocol;
    this.#wss.handleUpgrade(incoming, raw, rest, (ws) => {
      const limit = this.#options.maxBackpressure ?? SOCKET_DEFAULTS.maxBackpressure;
      const socket = new NodeSocket(ws, context, remoteAddress, limit, this, {
        drained: () => this.#guard(() => this.#options.drain?.(socket)),
        closed: (code, reason) => {
          for (const topic of socket.topics) this.leave(topic, socket);
          this.#guard(() => this.#options.close?.(socket, code, reason));
        },
      });
      this.#sockets.add(socket);
      ws.on('error', () => {}); // a close follows
      ws.on('pong', () => socket.heard());
      ws.on('message', (message: Buffer, binary: boolean) => {
        if (socket.isClosed) return;
        socket.heard();
        this.#guard(() => this.#options.message?.(socket, message, binary));
      });
      ws.on('close', (code, reason) => {
        this.#sockets.delete(socket);
        socket.ended(code, reason.toString('utf8'));
      });
      this.#guard(() => this.#options.open?.(socket));
    });
  }

  publish(topic: string, message: Chunk, but?: NodeSocket<C>): void {
    for (const socket of this.#topics.get(topic) ?? []) if (socket !== but) socket.send(message);
  }

  join(topic: string, socket: NodeSocket<C>): void {
    const there = this.#topics.get(topic) ?? new Set();
    this.#topics.set(topic, there.add(socket));
  }

  leave(topic: string, socket: NodeSocket<C>): void {
    const there = this.#topics.get(topic);
    there?.delete(socket);
    if (there?.size === 0) this.#topics.delete(topic);
  }

  /** Closes all with 1001. */
  goodbye(): void {
    for (const socket of this.#sockets) socket.close(GOING_AWAY);
  }

  /** No socket is left, and none will come. */
  end(): void {
    clearInterval(this.#sweep);
  }

  /** Closes all at once. */
  terminate(): void {
    for (const socket of this.#sockets) socket.terminate();
  }

  #endIdle(idleMs: number): void {
    const now = performance.now();
    for (const socket of this.#sockets) socket.tick(now, idleMs);
  }

  #guard(run: () => void): void {
    try {
      run();
    } catch (error) {
      this.#failed(error);
    }
  }
}

/** What a socket tells of itself. */
interface Told {
  drained(): void;
  closed(code: number, reason: string): void;
}

class NodeSocket<C> implements Socket<C> {
  readonly context: C;
  readonly remoteAddress: string;
  readonly topics = new Set<string>();
  readonly #ws: WebSocket;
  readonly #limit: number;
  readonly #hub: Hub<C>;
  readonly #told: Told;
  /** The handler of its close has run. */
  isClosed = false;
  #heardAt = performance.now();
  #wasQueued = false;

  constructor(ws: WebSocket, context: C, remoteAddress: string, limit: number, hub: Hub<C>, told: Told) {
    this.#ws = ws;
    this.context = context;
    this.remoteAddress = remoteAddress;
    this.#limit = limit;
    this.#hub = hub;
    this.#told = told;
  }

  get buffered(): number {
    return this.#ws.bufferedAmount;
  }

  send(message: Chunk): Sent {
    if (this.#ws.readyState !== this.#ws.OPEN) return 'dropped';
    if (this.#ws.bufferedAmount > this.#limit) return 'dropped';
    this.#ws.send(message, { binary: typeof message !== 'string' }, () => {
      if (!this.#wasQueued || this.#ws.bufferedAmount > 0 || this.isClosed) return;
      this.#wasQueued = false;
      this.#told.drained();
    });
    if (this.#ws.bufferedAmount === 0) return 'sent';
    this.#wasQueued = true;
    return 'queued';
  }

  subscribe(topic: string): void {
    if (this.#ws.readyState !== this.#ws.OPEN) return;
    this.topics.add(topic);
    this.#hub.join(topic, this);
  }

  unsubscribe(topic: string): void {
    this.topics.delete(topic);
    this.#hub.leave(topic, this);
  }

  publish(topic: string, message: Chunk): void {
    if (this.#ws.readyState === this.#ws.OPEN) this.#hub.publish(topic, message, this);
  }

  close(code = 1000, reason = ''): void {
    if (this.#ws.readyState !== this.#ws.OPEN) return;
    this.#ws.close(code, reason);
    this.ended(code, reason);
  }

  /** The first of a close that was said here, and the end of the connection. */
  ended(code: number, reason: string): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.#told.closed(code, reason);
  }

  terminate(): void {
    this.#ws.terminate();
  }

  /** The peer is alive. */
  heard(): void {
    this.#heardAt = performance.now();
  }

  /** Asks a peer that is silent, and gives up on one that stays so. */
  tick(now: number, idleMs: number): void {
    const silentMs = now - this.#heardAt;
    if (silentMs >= idleMs) this.terminate();
    else if (silentMs >= idleMs / 2 && this.#ws.readyState === this.#ws.OPEN) this.#ws.ping();
  }
}

const GOING_AWAY = 1001;
const SWEEP_MS = 2_000;
/** The library's bound, which is too low for large messages in small fragments: each fragment costs about as much as these bytes again. */
const MIN_FRAGMENTS = 16_384;
const MEAN_FRAGMENT = 64;
/** Without memory a connection, as uWebSockets.js with its shared compressor. */
const NO_WINDOW = { serverNoContextTakeover: true, clientNoContextTakeover: true };
