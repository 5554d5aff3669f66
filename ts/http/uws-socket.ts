/**
 * uws-socket: WebSockets of uWebSockets.js.
 *
 * The library's object throws when it is used after its close; this one does nothing then.
 */
import type { Chunk, Sent, Socket, SocketOptions } from './server-types.js';
import type { UwsSocket as Raw } from './uws-types.js';

/** What the server wants to know of its WebSockets. */
export interface SocketOwner {
  compress: boolean;
  /** `goodbye` closes it politely. */
  opened(goodbye: () => void): void;
  closed(goodbye: () => void): void;
  failed(error: unknown): void;
}

/** The handlers that the library takes; the upgrade gives `{ own: { context, remoteAddress } }`. */
export function socketHandlers<C>(options: SocketOptions<C>, owner: SocketOwner): object {
  const guard = (run: () => void): void => {
    try {
      run();
    } catch (error) {
      owner.failed(error);
    }
  };
  return {
    open(raw: Raw & { own: Own<C> }): void {
      const { context, remoteAddress } = raw.own;
      const socket = new UwsSocket(raw, context, remoteAddress, owner.compress);
      raw.own.socket = socket;
      raw.own.goodbye = () => socket.close(GOING_AWAY);
      owner.opened(raw.own.goodbye);
      guard(() => options.open?.(socket));
    },
    message({ own: { socket } }: { own: Opened<C> }, message: ArrayBuffer, binary: boolean): void {
      guard(() => options.message?.(socket, new Uint8Array(message), binary));
    },
    drain({ own: { socket } }: { own: Opened<C> }): void {
      if (socket.buffered === 0) guard(() => options.drain?.(socket));
    },
    close({ own: { socket, goodbye } }: { own: Opened<C> }, code: number, reason: ArrayBuffer): void {
      socket.isOpen = false;
      owner.closed(goodbye);
      // 1005 and 1006 are never sent; what the library says of its own accord is 1006.
      const text = code === 1006 ? '' : Buffer.from(reason).toString('utf8');
      guard(() => options.close?.(socket, code, text));
    },
  };
}

interface Own<C> {
  context: C;
  remoteAddress: string;
  socket?: UwsSocket<C>;
  goodbye?: () => void;
}

type Opened<C> = Required<Own<C>>;

class UwsSocket<C> implements Socket<C> {
  readonly context: C;
  readonly remoteAddress: string;
  isOpen = true;
  readonly #raw: Raw;
  readonly #compress: boolean;

  constructor(raw: Raw, context: C, remoteAddress: string, compress: boolean) {
    this.#raw = raw;
    this.context = context;
    this.remoteAddress = remoteAddress;
    this.#compress = compress;
  }

  get buffered(): number {
    return this.isOpen ? this.#raw.getBufferedAmount() : 0;
  }

  send(message: Chunk): Sent {
    if (!this.isOpen) return 'dropped';
    return SENT[this.#raw.send(message, typeof message !== 'string', this.#compress)] ?? 'dropped';
  }

  subscribe(topic: string): void {
    if (this.isOpen) this.#raw.subscribe(topic);
  }

  unsubscribe(topic: string): void {
    if (this.isOpen) this.#raw.unsubscribe(topic);
  }

  publish(topic: string, message: Chunk): void {
    if (this.isOpen) this.#raw.publish(topic, message, typeof message !== 'string', this.#compress);
  }

  close(code = 1000, reason = ''): void {
    if (this.isOpen) this.#raw.end(code, reason);
  }
}

const SENT = ['queued', 'sent', 'dropped'] as const;
const GOING_AWAY = 1001;
