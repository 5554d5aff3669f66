/**
 * plugin: what a plugin's module exports, and what its function is handed.
 *
 * ```ts
 * import { definePlugin } from 'ironsluice';
 *
 * export default definePlugin((head, info) => {
 *   if (head.header('x-key') !== 'secret') return { reply: { status: 401, body: { error: 'no key' } } };
 *   return { request: { set: { 'x-client': info.client }, remove: ['x-key'] } };
 * });
 * ```
 */

/** Says what becomes of one request; nothing lets it pass. What it throws is no verdict: see `on_fail`. */
export type Plugin = (
  head: PluginHead,
  info: PluginInfo,
) => PluginVerdict | undefined | Promise<PluginVerdict | undefined>;

/** The head of a request, as the filters before this one left it. */
export interface PluginHead {
  /** As sent: `GET`, `POST`, … */
  readonly method: string;
  /** `host[:port]`, in lower case. */
  readonly host: string;
  /** The path, normalised by the core, not decoded. */
  readonly path: string;
  /** What stands behind the `?`, not decoded; empty if nothing does. */
  readonly query: string;
  /** The query's parameters. */
  readonly searchParams: URLSearchParams;
  /** All fields. */
  readonly headers: Headers;
  /** A field's value by its name in lower case; several are joined by commas. */
  header(name: string): string | undefined;
}

/** What the core knows of a request. */
export interface PluginInfo {
  /** The client's address, as far as it is proved (see the `client_ip` filter). */
  readonly client: string;
  /** Whose the request is, as a filter such as `api_key` before this one proved it; else `undefined`. */
  readonly consumer: string | undefined;
  /** The name of the route. */
  readonly route: string;
  /** The request's body, if the config has `body` for this plugin; empty if the request has none. */
  readonly body: Uint8Array | undefined;
  /** By when a verdict must be there, in milliseconds of `performance.now()`; nobody waits longer. */
  readonly deadline: number;
  /** Aborted at the deadline: hand it to what the plugin waits for. */
  readonly signal: AbortSignal;
}

/** What becomes of a request: changes, or a reply. An empty one lets it pass. */
export interface PluginVerdict {
  /** Changes to the request: filters behind this one and the upstream see them. */
  request?: PluginChanges;
  /** Changes to the response, whoever makes it behind this filter. */
  response?: PluginChanges;
  /** The answer; the request goes no further, and there are no changes. */
  reply?: PluginReply;
}

/**
 * Changes to the fields of a head, made in this order; at most 100 in all. Host, fields that belong to one connection, and
 * (in a request) those that tell the upstream of the client are not a plugin's to change.
 */
export interface PluginChanges {
  /** Names of fields to take out. */
  remove?: readonly string[];
  /** Fields that replace all of their name. */
  set?: Record<string, string>;
  /** Fields that stand beside others of their name; a list adds one for each. */
  add?: Record<string, string | readonly string[]>;
}

/** An answer of the plugin's own. */
export interface PluginReply {
  /** 200 to 599. */
  status: number;
  /** At most 100. `content-type` defaults to what `body` is. */
  headers?: Record<string, string>;
  /** A string, bytes, or a value for JSON; at most 1 MiB. */
  body?: string | Uint8Array | object;
}

/** Gives a plugin its type, for completion in editors; it is handed back as it is. */
export function definePlugin<T extends Plugin>(plugin: T): T {
  return plugin;
}
