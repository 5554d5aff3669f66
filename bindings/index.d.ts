/* Generated from bindings/src by the build; do not edit. */

/**
 * Guards this thread: call it before a server is opened. `unix` is the path at which it will
 * listen, else `port` its TCP port. False if this program lacks what the guard needs.
 */
export declare function guard(unix?: string | undefined | null, port?: number | undefined | null): boolean

/** A gateway whose listeners are bound and whose threads run. */
export declare class Gateway {
  /**
   * Starts a gateway with the config, JSON, and the sockets of its apps.
   * Throws `config_invalid` (`checkConfig` names the faults), `bind_failed`, `access_log_failed`, `system`.
   */
  constructor(json: string, apps?: Array<AppSockets> | undefined | null)
  /** The number under which other threads of the process find it with `attach`. */
  get id(): number
  /** The listeners, as bound. */
  addresses(): Array<Bound>
  /**
   * Publishes a config, JSON, and in the same step the sockets of its apps (by default they stay),
   * and returns its revision. Throws as the constructor does; then the old config stays.
   */
  reload(json: string, apps?: Array<AppSockets> | undefined | null): number
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

/** A number that all workers of an app share. It starts at 0 with the process. */
export declare class Counter {
  private constructor()
  /** Adds `n`, which may be negative, and returns the sum. */
  add(n: number): number
  /** The sum so far. */
  get value(): number
}

/** All faults of a config, JSON, or what it says to this side. Never throws for a config's sake. */
export declare function checkConfig(json: string): Check

/** An app, as this side runs it. */
export interface AppSettings {
  /** Its name. */
  name: string
  /** Its module's path, as written. */
  module: string
  /** Heap of one worker, in MiB. */
  memoryMib: number
  /** How long its event loop may be stuck, in milliseconds. */
  stuckTimeoutMs: number
  /** How long workers that were replaced may go on, in milliseconds. */
  drainTimeoutMs: number
}

/** How a worker does. */
export interface WorkerStats {
  /** The longest time that its event loop was late in the last second, seconds. */
  lag: number
  /** Bytes of heap in use. */
  heap: number
  /** Seconds spent in garbage collection since it started. */
  gc: number
  /** Requests it has answered since it started. */
  requests: number
}

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

/** Says how worker `index` of an app of gateway `id` does; without `stats` it is gone. */
export declare function noteWorker(id: number, app: string, index: number, stats?: WorkerStats | undefined | null): void

/** The counter of an app with that name. Throws `too_many_counters` when 4096 names are taken. */
export declare function counter(app: string, name: string): Counter

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
  /** `apps`. */
  apps: Array<AppSettings>
  /** `workers`: how many of each app; one a CPU if the config says `auto`. */
  workers: number
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
  /** The Unix sockets at which the workers of an app listen now; none leaves it without. */
  appSockets(app: string, sockets: Array<string>): void
  /** True while traffic is taken. */
  ready(): boolean
}

/** Where the workers of an app listen. */
export interface AppSockets {
  /** The app's name. */
  app: string
  /** Paths of Unix sockets. */
  sockets: Array<string>
}
