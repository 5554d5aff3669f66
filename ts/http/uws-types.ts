/**
 * uws-types: the part of uWebSockets.js that is used, for its package need not be there to compile.
 */

/** The library. */
export interface Uws {
  App(): UwsApp;
  us_listen_socket_close(token: unknown): void;
  us_socket_local_port(token: unknown): number;
  DISABLED: number;
  SHARED_COMPRESSOR: number;
  /** Not documented; `silent` takes away the field that names the server. */
  _cfg?(word: string): void;
}

/** A server. */
export interface UwsApp {
  any(pattern: string, handler: (res: UwsResponse, req: UwsRequest) => void): UwsApp;
  ws(pattern: string, behaviour: object): UwsApp;
  filter(seen: (res: UwsResponse, change: number) => void): UwsApp;
  /** `options`: 1 for a port of one's own. The last argument gets `false` where it cannot listen. */
  listen(host: string, port: number, options: number, then: (token: unknown) => void): UwsApp;
  listen_unix(then: (token: unknown) => void, path: string): UwsApp;
  publish(topic: string, message: string | Uint8Array, binary: boolean, compress: boolean): boolean;
  close(): UwsApp;
}

/** Valid during the call of the handler only. */
export interface UwsRequest {
  getCaseSensitiveMethod(): string;
  getUrl(): string;
  getQuery(): string | undefined;
  /** Latin-1, the first of that name. */
  getHeader(name: string): string;
  /** Decodes UTF-8. */
  forEach(visit: (name: string, value: string) => void): void;
}

/** Valid until it is aborted or ended; a call after that throws. */
export interface UwsResponse {
  writeStatus(status: string | Uint8Array): UwsResponse;
  writeHeader(name: string, value: string | Uint8Array): UwsResponse;
  write(chunk: string | Uint8Array): boolean;
  end(body?: string | Uint8Array, close?: boolean): UwsResponse;
  endWithoutBody(): UwsResponse;
  tryEnd(chunk: string | Uint8Array, total: number): [ok: boolean, done: boolean];
  getWriteOffset(): number;
  onWritable(then: (offset: number) => boolean): UwsResponse;
  onAborted(then: () => void): UwsResponse;
  onData(take: (chunk: ArrayBuffer, last: boolean) => void): UwsResponse;
  pause(): void;
  resume(): void;
  close(): UwsResponse;
  cork(write: () => void): UwsResponse;
  getRemoteAddressAsText(): ArrayBuffer;
  /** 4 or 16 bytes; none on a Unix socket. */
  getRemoteAddress(): ArrayBuffer;
  upgrade(data: object, key: string, protocol: string, extensions: string, context: unknown): void;
}

/** Valid until the `close` handler; a call after that throws. */
export interface UwsSocket {
  /** 0 for queued, 1 for sent, 2 for dropped. */
  send(message: string | Uint8Array, binary: boolean, compress: boolean): number;
  getBufferedAmount(): number;
  end(code?: number, reason?: string): void;
  subscribe(topic: string): boolean;
  unsubscribe(topic: string): boolean;
  publish(topic: string, message: string | Uint8Array, binary: boolean, compress: boolean): boolean;
}
