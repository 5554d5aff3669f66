/* Generated from bindings/src by the build; do not edit. */

/** A gateway whose listeners are bound and whose threads run. */
export declare class Gateway {
  /**
   * Starts a gateway with the config, JSON.
   * Throws `config_invalid` (`checkConfig` names the faults), `bind_failed`, `access_log_failed`, `system`.
   */
  constructor(json: string)
  /** The number under which other threads of the process find it with `attach`. */
  get id(): number
  /** The listeners, as bound. */
  addresses(): Array<Bound>
  /**
   * Publishes a config, JSON, and returns its revision. Throws as the constructor does; then the
   * old config stays.
   */
  reload(json: string): number
  /** Host names of endpoints, which this side resolves. */
  hosts(): Array<string>
  /** The addresses of a host name; without any the last ones stay. */
  resolved(host: string, addresses: Array<string>): void
  /** The counters, JSON. */
  metrics(): string
  /** Endpoints and their health, JSON. */
  upstreams(): string
  /** Counts published configs. */
  revision(): number
  /** True while traffic is taken. */
  ready(): boolean
  /** Opens the files of access logs anew. */
  reopenLogs(): void
  /**
   * Stops accepting and resolves when all requests have ended, or after `timeoutMs`, when what is
   * left is cut off. True if nothing was.
   */
  drain(timeoutMs: number): Promise<boolean>
  /** Closes everything at once. The second time does nothing. */
  close(): void
}

/** A listener, as bound. */
export interface Bound {
  /** The listener's name in the config. */
  name: string
  /** `IP:port`. */
  address: string
}

/** All faults of a config, JSON, or what it says to this side. Never throws for a config's sake. */
export declare function checkConfig(json: string): Check

/** One thing wrong with a config. */
export interface Fault {
  /** Where: `routes[0].filters[1].rate`; empty for the whole text. */
  path: string
  /** True if the key itself is at fault and not its value. */
  onKey: boolean
  /** What is wrong, without the path. */
  why: string
  /** What to do about it; may be empty. */
  fix: string
}

/** The gateway of this process with that number. Throws `closed` if there is none. */
export declare function attach(id: number): GatewayView

/** The judgement of a config: faults, or settings. */
export interface Check {
  /** All faults at once. */
  faults: Array<Fault>
  /** There if and only if there are no faults. */
  settings?: Settings
}

/** The version of the core, as `MAJOR.MINOR.PATCH`. */
export declare function version(): string

/** What a config says to the side that speaks TypeScript. */
export interface Settings {
  /** `admin.bind`, `IP:port`; none if `admin` is `off`. */
  adminBind?: string
  /** `admin.allow_hosts`: Host values that are answered beside those of loopback. */
  adminAllowHosts: Array<string>
  /** `state_dir`: where the last good config is kept, if it is. */
  stateDir?: string
  /** `drain_timeout`, in milliseconds. */
  drainTimeoutMs: number
}

/** What any thread may read of a gateway. */
export declare class GatewayView {
  private constructor()
  /** The counters, JSON. */
  metrics(): string
  /** Endpoints and their health, JSON. */
  upstreams(): string
  /** Counts published configs. */
  revision(): number
  /** True while traffic is taken. */
  ready(): boolean
}
