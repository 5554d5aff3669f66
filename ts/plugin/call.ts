/**
 * call: one call of a plugin, from what the core tells to what the core takes.
 *
 * Errors: what a plugin throws, and what can be no verdict, rejects. The core judges the rest: names, values, keys.
 */
import type { Plugin, PluginHead, PluginInfo, PluginReply, PluginVerdict } from './plugin.js';

/** What the core tells of a request; see `bindings/src/asks.rs`. */
interface Told {
  method: string;
  host: string;
  path: string;
  query?: string;
  /** Names and values in turn. */
  headers: string[];
  client: string;
  consumer?: string;
  route: string;
}

/** A verdict as the core takes it. */
export interface Said {
  /** JSON. */
  verdict: string;
  /** The body of a reply. */
  body: Uint8Array | undefined;
}

/** Nobody waits for this verdict any more. */
export class Late extends Error {
  override readonly name = 'Late';
}

/**
 * Calls a plugin.
 *
 * @param told JSON.
 * @param until by when, in milliseconds of `process.hrtime`. The core keeps this deadline; here the call's place is freed,
 * {@link GRACE_MS} later, so that it is not this clock that decides.
 */
export async function call(
  plugin: Plugin,
  told: string,
  body: Uint8Array | undefined,
  until: number,
): Promise<Said> {
  const left = until - Number(process.hrtime.bigint()) / 1e6;
  if (left <= 0) throw new Late();
  const request = JSON.parse(told) as Told;
  const info = new Info(request, body, left);
  const returned = plugin(new Head(request), info);
  if (!(returned instanceof Promise)) return saidBy(returned);
  let timer: NodeJS.Timeout | undefined;
  try {
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Late()), left + GRACE_MS);
    });
    return saidBy(await Promise.race([returned, late]));
  } finally {
    clearTimeout(timer);
    info.end();
  }
}

const GRACE_MS = 50;

/** What a plugin returned, in the core's words. */
export function saidBy(returned: PluginVerdict | null | undefined): Said {
  if (returned === undefined || returned === null) return { verdict: '{}', body: undefined };
  if (typeof returned !== 'object' || Array.isArray(returned)) {
    throw new TypeError('a verdict is an object with request, response or reply, or nothing');
  }
  const { reply } = returned;
  if (typeof reply !== 'object' || reply === null) {
    return { verdict: JSON.stringify(returned), body: undefined };
  }
  const { body, ...rest } = reply;
  const [kind, bytes] = bodyOf(body);
  return {
    verdict: JSON.stringify({ ...returned, reply: kind === undefined ? rest : { ...rest, kind } }),
    body: bytes,
  };
}

function bodyOf(body: PluginReply['body'] | null): [kind: string | undefined, bytes: Uint8Array | undefined] {
  if (body === undefined || body === null) return [undefined, undefined];
  if (typeof body === 'string') return ['text/plain; charset=utf-8', Buffer.from(body, 'utf8')];
  if (body instanceof Uint8Array) return ['application/octet-stream', body];
  return ['application/json', Buffer.from(JSON.stringify(body), 'utf8')];
}

class Head implements PluginHead {
  readonly method: string;
  readonly host: string;
  readonly path: string;
  readonly query: string;
  readonly #fields: string[];
  #headers: Headers | undefined;

  constructor({ method, host, path, query, headers }: Told) {
    this.method = method;
    this.host = host;
    this.path = path;
    this.query = query ?? '';
    this.#fields = headers;
  }

  get searchParams(): URLSearchParams {
    return new URLSearchParams(this.query);
  }

  get headers(): Headers {
    if (this.#headers === undefined) {
      this.#headers = new Headers();
      for (const [name, value] of this.#all()) this.#headers.append(name, value);
    }
    return this.#headers;
  }

  header(name: string): string | undefined {
    const values: string[] = [];
    for (const [own, value] of this.#all()) if (own.toLowerCase() === name) values.push(value);
    return values.length === 0 ? undefined : values.join(', ');
  }

  *#all(): Generator<[name: string, value: string]> {
    for (let i = 0; i < this.#fields.length; i += 2) yield [this.#fields[i] ?? '', this.#fields[i + 1] ?? ''];
  }
}

class Info implements PluginInfo {
  readonly client: string;
  readonly consumer: string | undefined;
  readonly route: string;
  readonly body: Uint8Array | undefined;
  readonly deadline: number;
  #abort: AbortController | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor({ client, consumer, route }: Told, body: Uint8Array | undefined, left: number) {
    this.client = client;
    this.consumer = consumer;
    this.route = route;
    this.body = body;
    this.deadline = performance.now() + left;
  }

  get signal(): AbortSignal {
    if (this.#abort === undefined) {
      const abort = new AbortController();
      this.#abort = abort;
      const left = Math.max(0, this.deadline - performance.now());
      this.#timer = setTimeout(() => abort.abort(new DOMException('too late', 'TimeoutError')), left);
    }
    return this.#abort.signal;
  }

  /** A verdict is there: the signal has nothing more to say, unless the deadline has just passed. */
  end(): void {
    if (performance.now() < this.deadline) clearTimeout(this.#timer);
  }
}
