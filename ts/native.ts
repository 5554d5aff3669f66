/**
 * native: the addon, as this layer sees it.
 *
 * It is loaded by the first thread that imports this, which is the main thread of the gateway; the admin
 * thread finds it loaded. See `bindings/` for what each call does.
 */
import { loaded } from '#addon';
import {
  type AcmeSettings,
  type Check,
  checkConfig,
  type DevCertificate,
  devCertificate,
  type GatewayView,
  type KeptCertificate,
  type KeptUsage,
  type LookedAt,
  Gateway as NativeGateway,
  attach as nativeAttach,
  version as nativeVersion,
  type PluginModule,
  type Prepared,
  type Settings,
} from '#bindings';

/** The core's side of one gateway. */
export type Native = NativeGateway;
/** What another thread may read of a gateway. */
export type View = GatewayView;
/** What the config says to this layer. */
/** What this layer makes ready for a config. */
export type {
  AcmeSettings,
  Check,
  DevCertificate,
  KeptCertificate,
  KeptUsage,
  LookedAt,
  PluginModule,
  Prepared,
  Settings,
};
/** The file of the addon, and where it is from. */
export { loaded };

/**
 * All faults of a config and of the certificates it names, or what it says to this layer. Never throws for a config's
 * sake. `folder` is where relative paths begin; a certificate that has ended is a fault if `isStrict`.
 */
export function check(json: string, folder: string, isStrict: boolean): Check {
  return checkConfig(json, folder, isStrict);
}

/**
 * The certificate of `tls: dev`: made if it is not there or ends soon.
 *
 * @throws `Error` with `code` `system`.
 */
export function developmentCertificate(): DevCertificate {
  return devCertificate();
}

/**
 * Binds the listeners and starts the threads of the traffic; `prepared` is what is ready for the config.
 *
 * @throws `Error` with `code` `config_invalid`, `bind_failed`, `access_log_failed` or `system`.
 */
export function start(json: string, prepared?: Prepared): Native {
  return new NativeGateway(json, prepared);
}

/**
 * The gateway of this process with that number.
 *
 * @throws `Error` with `code` `closed` if there is none.
 */
export function attach(id: number): View {
  return nativeAttach(id);
}

/** The version of the core, as `MAJOR.MINOR.PATCH`. */
export function version(): string {
  return nativeVersion();
}
