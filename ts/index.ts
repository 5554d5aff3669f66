/**
 * ironsluice: the gateway as a module.
 *
 * ```ts
 * import { createGateway, defineConfig } from 'ironsluice';
 *
 * const gateway = await createGateway(
 *   defineConfig({
 *     listeners: [{ name: 'web', bind: '127.0.0.1:8080' }],
 *     upstreams: [{ name: 'api', endpoints: ['127.0.0.1:9001'] }],
 *     routes: [{ name: 'all', match: { path: '/*' }, to: 'api' }],
 *   }),
 * );
 * await gateway.close();
 * ```
 */
import { judge } from './config/check.js';
import { loadFile, loadValue } from './config/load.js';
import { Gateway, type GatewayOptions } from './gateway.js';
import type { Config } from './generated/config.js';
import { version as coreVersion } from './native.js';

export { EventHub, type EventHubOptions } from './app/event-hub.js';
export type { EventSourceLike, EventStreamOptions, ServerEvent } from './app/events.js';
export { eventStream, lastEventId } from './app/events.js';
export type {
  App,
  AppContext,
  AppHandler,
  AppObject,
  BodyLike,
  ReplyLike,
  ReplyParts,
  SharedCounter,
} from './app/handler.js';
export { defineApp, type Forwarded } from './app/handler.js';
export type { AppRequest } from './app/request.js';
export { BodyError } from './app/request.js';
export { publish } from './app/runtime.js';
export type {
  AppSocket,
  ContextOf,
  UpgradeDecision,
  WebSocketHandlers,
  WebSocketOptions,
} from './app/websocket.js';
export type { Code, Fault, LocatedFault } from './errors.js';
export { ConfigError, GateError } from './errors.js';
export type { GatewayOptions, Listening } from './gateway.js';
export type { Config } from './generated/config.js';
export type { Sent } from './http/server-types.js';
export type { Injected, InjectRequest } from './inject.js';
export type {
  Plugin,
  PluginChanges,
  PluginHead,
  PluginInfo,
  PluginReply,
  PluginVerdict,
} from './plugin/plugin.js';
export { definePlugin } from './plugin/plugin.js';
export type { Gateway };

/** A file to read the config from: YAML, JSON or a module, by its ending. */
export interface ConfigFile {
  /** Its path. */
  config: string;
}

/**
 * Starts a gateway; it takes traffic when the promise resolves.
 *
 * @param config the config, or the file it is in; a gateway made from a file can read it again.
 * @throws ConfigError with all faults; GateError with a `code`, such as `bind_failed`.
 */
export async function createGateway(
  config: Config | ConfigFile,
  options: GatewayOptions = {},
): Promise<Gateway> {
  return Gateway.start(isFile(config) ? await loadFile(config.config) : loadValue(config), options);
}

/** Gives a config its type, for completion in editors; it is handed back as it is. */
export function defineConfig<T extends Config | (() => Config | Promise<Config>)>(config: T): T {
  return config;
}

/**
 * Judges a config without running it.
 *
 * @throws ConfigError with all faults.
 */
export async function checkConfig(config: Config | ConfigFile): Promise<void> {
  judge(isFile(config) ? await loadFile(config.config) : loadValue(config));
}

/** The version of the gateway, as `MAJOR.MINOR.PATCH`. */
export const version: string = coreVersion();

function isFile(config: Config | ConfigFile): config is ConfigFile {
  return 'config' in config && typeof config.config === 'string';
}
