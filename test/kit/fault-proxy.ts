/**
 * fault-proxy: a TCP proxy that delays, stalls, resets, cuts or slows down what goes through it, as a test says while it runs.
 */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import type { TestContext } from 'node:test';

/** What is done to what goes through, in both directions. */
export interface Faults {
  /** Each piece is held back so long, milliseconds; default 0. */
  delayMs: number;
  /** True: nothing goes through, and connections stay. What came meanwhile goes when it is false again. */
  isStalled: boolean;
  /** Bytes a second in each direction of a connection; default no limit. */
  bytesPerSecond: number;
}

/** A proxy that runs. */
export interface FaultProxy {
  readonly port: number;
  /** Pieces that clients sent so far. */
  readonly pieces: number;
  /** Changes what is done, to connections that are there too. */
  set(faults: Partial<Faults>): void;
  /** Ends all connections by a reset; new ones go. */
  reset(): void;
  /** Ends all connections by a reset, and each new one at once. */
  cut(): void;
  /** Takes connections again after {@link cut}. */
  mend(): void;
}

/** Starts one in front of a port of loopback; ended when the test ends. */
export async function faultProxy(t: TestContext, target: number): Promise<FaultProxy> {
  const faults: Faults = { delayMs: 0, isStalled: false, bytesPerSecond: Number.POSITIVE_INFINITY };
  const sockets = new Set<Socket>();
  const pumps = new Set<() => void>();
  let isCut = false;
  let pieces = 0;

  const keep = (socket: Socket, other: Socket): void => {
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.on('error', () => {});
    socket.on('close', () => {
      sockets.delete(socket);
      other.destroy();
    });
  };
  /** Hands on what comes, in order, each piece when it is due. */
  const pipe = (from: Socket, to: Socket): void => {
    const queue: { bytes: Buffer | undefined; due: number }[] = [];
    let freeAt = 0;
    let timer: NodeJS.Timeout | undefined;
    const pump = (): void => {
      clearTimeout(timer);
      while (!faults.isStalled && queue[0] !== undefined) {
        const [{ bytes, due }] = queue as [(typeof queue)[0]];
        const now = performance.now();
        const at = Math.max(due, freeAt);
        if (at > now) {
          timer = setTimeout(pump, Math.ceil(at - now));
          return;
        }
        queue.shift();
        if (bytes === undefined) {
          to.end();
        } else {
          to.write(bytes);
          freeAt = now + (bytes.length / faults.bytesPerSecond) * 1e3;
        }
      }
    };
    const put = (bytes: Buffer | undefined): void => {
      queue.push({ bytes, due: performance.now() + faults.delayMs });
      pump();
    };
    from.on('data', put);
    from.on('end', () => put(undefined));
    from.on('close', () => {
      clearTimeout(timer);
      pumps.delete(pump);
    });
    pumps.add(pump);
  };
  const server = createServer({ allowHalfOpen: true }, (client) => {
    if (isCut) {
      client.resetAndDestroy();
      return;
    }
    const upstream = connect({ port: target, host: '127.0.0.1', allowHalfOpen: true });
    keep(client, upstream);
    keep(upstream, client);
    client.on('data', () => {
      pieces += 1;
    });
    pipe(client, upstream);
    pipe(upstream, client);
  });
  const reset = (): void => {
    for (const socket of sockets) {
      // A reset of a socket that is shutting down leaves a handle that Node waits for without end when the process ends.
      if (socket.connecting || socket.writableEnded) socket.destroy();
      else socket.resetAndDestroy();
    }
  };
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    reset();
    server.close();
  });
  return {
    port: (server.address() as AddressInfo).port,
    get pieces() {
      return pieces;
    },
    set(changed) {
      Object.assign(faults, changed);
      for (const pump of [...pumps]) pump();
    },
    reset,
    cut() {
      isCut = true;
      reset();
    },
    mend() {
      isCut = false;
    },
  };
}
