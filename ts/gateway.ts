/**
 * gateway: one running gateway, seen from TypeScript.
 *
 * The traffic runs in threads of the core. This object holds what surrounds them: where the config came
 * from, the names to resolve, the admin listener, the last good config on disk.
 * Errors: {@link GateError}; a reload that fails leaves everything as it was.
 */
import { Acme } from './acme/acme.js';
import { Admin } from './admin.js';
import { Apps } from './app/apps.js';
import { checkMessage, checkTopic } from './app/topics.js';
import { Certificates } from './certificates.js';
import { ClientIpWatch } from './client-ip-watch.js';
import { judge } from './config/check.js';
import { folderOf, type Loaded, loadFiles, loadValue } from './config/load.js';
import { Touched } from './config/touched.js';
import { GateError, wrap } from './errors.js';
import { History, sourceOf } from './history.js';
import { type Injected, Injector, type InjectRequest } from './inject.js';
import { Ledger } from './ledger/ledger.js';
import { createLog, type Log } from './log.js';
import { expose } from './metrics.js';
import { type Native, type Prepared, type Settings, start } from './native.js';
import { Plugins } from './plugin/plugins.js';
import { Resolver } from './resolve.js';
import { keep } from './state.js';
import type { RedisSettings } from './store/address.js';
import { storeOf } from './store/settings.js';
import { Store } from './store/store.js';
import { ConfigWatch } from './watch.js';

/** How a gateway is run; nothing of it changes what requests get. */
export interface GatewayOptions {
  /** Where the control side logs; a pino logger, or `false` for nothing. Default: warnings to standard error. */
  log?: Log | false;
  /**
   * Whether to open the admin listener. Default: only if the config has `admin`, for a program may run many
   * gateways, and the default address is one.
   */
  admin?: boolean;
  /** Whether to reload when a file of the config changes; a config with faults is logged and changes nothing. Default: false. */
  watch?: boolean;
}

/** A listener that was bound. */
export interface Listening {
  /** The listener's name in the config. */
  name: string;
  /** `IP:port`; the port is the real one if the config says 0. */
  address: string;
}

/** A running gateway. Make one with `createGateway`. */
export class Gateway {
  readonly #native: Native;
  readonly #code: Code;
  readonly #resolver: Resolver;
  readonly #certificates: Certificates;
  readonly #clientIps: ClientIpWatch;
  readonly #acme: Acme;
  readonly #ledger: Ledger;
  readonly #log: Log;
  readonly #options: GatewayOptions;
  /** The core's threads are not known to Node; this keeps the process up until `close`. */
  readonly #alive: NodeJS.Timeout = setInterval(() => {}, 2 ** 31 - 1);
  #loaded: Loaded;
  #settings: Settings;
  /** What was read last, whatever came of it. */
  #looked: Touched;
  readonly #watch: ConfigWatch;
  #admin: Admin | undefined;
  #injector: Injector | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  #closing: Promise<void> | undefined;

  private constructor(
    loaded: Loaded,
    settings: Settings,
    native: Native,
    code: Code,
    acme: Acme,
    ledger: Ledger,
    options: GatewayOptions,
    log: Log,
  ) {
    this.#loaded = loaded;
    this.#settings = settings;
    this.#looked = loaded.touched;
    this.#native = native;
    this.#code = code;
    this.#acme = acme;
    this.#ledger = ledger;
    this.#options = options;
    this.#log = log;
    this.#resolver = new Resolver(native, log);
    this.#certificates = new Certificates(native, log);
    this.#clientIps = new ClientIpWatch(native, () => this.#loaded.json, log);
    const touched = (): Touched[] => [this.#looked, this.#loaded.touched];
    this.#watch = new ConfigWatch(touched, () => this.reload(undefined, 'watch'), log);
  }

  /** Starts a gateway; resolves when it takes traffic and host names were tried once. */
  static async start(loaded: Loaded, options: GatewayOptions = {}): Promise<Gateway> {
    const settings = judge(loaded);
    const log =
      options.log === false ? createLog({ level: 'silent' }) : (options.log ?? createLog({ level: 'warn' }));
    const code = new Code(log);
    const acme = new Acme(log);
    const ledger = new Ledger(log);
    let native: Native;
    try {
      native = start(loaded.json, await ready(code, acme, ledger, loaded, settings));
    } catch (error) {
      await code.close(0);
      throw wrap(error);
    }
    const gateway = new Gateway(loaded, settings, native, code, acme, ledger, options, log);
    try {
      ledger.commit(native);
      acme.commit(native.id, loaded, settings, code.shared);
      await code.commit(native, settings);
      gateway.#admin = await gateway.#openAdmin(loaded, settings);
      await gateway.#resolver.start();
      gateway.#certificates.watch(settings.hasTls);
      gateway.#clientIps.start();
    } catch (error) {
      await gateway.close(0);
      throw error;
    }
    await gateway.#keep(loaded.number === undefined ? 'start' : `start at ${loaded.number}`);
    if (options.watch === true) await gateway.#watch.start();
    return gateway;
  }

  /** The listeners, as bound. */
  addresses(): Listening[] {
    return this.#native.addresses();
  }

  /** The admin listener as bound, `IP:port`, if it is open. */
  get admin(): string | undefined {
    return this.#admin?.address;
  }

  /** Absolute path of the config's file, if it has one. */
  get source(): string | undefined {
    return this.#loaded.source;
  }

  /** Counts published configs from 1. */
  get revision(): number {
    return this.#native.revision();
  }

  /** True while traffic is taken: from the start until a drain begins. */
  get ready(): boolean {
    return this.#native.ready();
  }

  /** How long {@link close} waits for requests in flight, in milliseconds (`drain_timeout`). */
  get drainTimeoutMs(): number {
    return this.#settings.drainTimeoutMs;
  }

  /** The counters, as Prometheus text. */
  metrics(): Promise<string> {
    return expose(this.#native.metrics(), this.#code.store.metrics());
  }

  /** Endpoints and their health. */
  upstreams(): unknown {
    return JSON.parse(this.#native.upstreams());
  }

  /** The running config as people may see it: secrets hidden. */
  config(): unknown {
    return this.#loaded.shown();
  }

  /**
   * Publishes a config in one step; requests in flight keep theirs, no connection is lost.
   * Without an argument the files are read again. Reloads run one after the other.
   *
   * @param by how the history calls it.
   * @returns the new revision.
   * @throws ConfigError or GateError; then the old config stays.
   */
  reload(config?: unknown, by: string = config === undefined ? 'reload' : 'program'): Promise<number> {
    return this.#next(async () => this.#publish(await this.#load(config), by));
  }

  /**
   * Publishes a config of the history (`state_dir`) again. It holds until another is published, and over restarts for as
   * long as the files of the config stay as they are.
   *
   * @param number as `ironsluice history` lists it.
   * @param by how the history calls it.
   * @returns the new revision.
   * @throws GateError `config_not_kept`; ConfigError if it is no good config any more.
   */
  rollback(number: number, by = 'program'): Promise<number> {
    return this.#next(async () => {
      const history = this.#history();
      if (history === undefined) throw noHistory();
      const loaded = await history.read(number, this.#loaded);
      const revision = await this.#publish(loaded, `rollback to ${number}, ${by}`);
      await history.pin(number, loaded.named);
      return revision;
    });
  }

  /**
   * Sends a request through the gateway without a client's socket; everything else is as for any other request.
   *
   * @throws GateError `usage`, `cut`, `closed`, `not_supported`; and what a stub throws.
   */
  async inject(request: InjectRequest): Promise<Injected> {
    const names = this.addresses().map(({ name }) => name);
    const listener = request.listener ?? names[0] ?? '';
    if (!names.includes(listener)) {
      throw new GateError(
        'usage',
        `no listener is called ${JSON.stringify(listener)}`,
        `name one of ${names.join(', ')}`,
      );
    }
    if (this.#closing !== undefined) throw new GateError('closed', 'the gateway is closed');
    this.#injector ??= new Injector(this.#native.id);
    return this.#injector.inject(request, listener);
  }

  /**
   * Publishes a message to all WebSockets of an app, in all its workers, that subscribed to the topic. Messages of one thread
   * arrive in order.
   *
   * @param app its name in the config.
   * @param topic 1 to 256 characters.
   * @param message a string arrives as text, bytes as bytes.
   * @returns false when a worker lags so far behind that it will not get the message (16 MiB wait for it).
   * @throws GateError `usage` when the config has no such app; TypeError or RangeError for what is no topic or no message.
   */
  publish(app: string, topic: string, message: string | Uint8Array): boolean {
    checkTopic(topic);
    checkMessage(message);
    if (!this.#settings.apps.some(({ name }) => name === app)) {
      throw new GateError('usage', `there is no app ${JSON.stringify(app)}`, 'name one of the config');
    }
    return this.#code.apps.publish(app, topic, message);
  }

  /** Opens the access log's file anew, after it was moved away. */
  reopenLogs(): void {
    this.#native.reopenLogs();
  }

  /**
   * Stops accepting, lets requests in flight end for up to `timeoutMs`, then closes everything.
   *
   * @param timeoutMs default: the config's `drain_timeout`; 0 closes at once.
   * @returns when all is closed; calling it again waits for the same end.
   */
  close(timeoutMs: number = this.#settings.drainTimeoutMs): Promise<void> {
    if (timeoutMs === 0) this.#native.close(); // also when a slower close is under way
    this.#closing ??= this.#close(timeoutMs);
    return this.#closing;
  }

  #next(publish: () => Promise<number>): Promise<number> {
    const next = this.#turn.then(() => {
      if (this.#closing !== undefined) throw new GateError('closed', 'the gateway is closed');
      return publish();
    });
    this.#turn = next.catch(() => {});
    return next;
  }

  async #close(timeoutMs: number): Promise<void> {
    this.#watch.stop();
    this.#resolver.stop();
    this.#certificates.stop();
    this.#clientIps.stop();
    const acme = this.#acme.close();
    this.#code.apps.goodbye(); // WebSockets and event streams would keep a drain waiting
    try {
      const doors = this.#code.apps.closeDoors(timeoutMs);
      if (timeoutMs > 0 && !(await this.#native.drain(timeoutMs))) {
        this.#log.warn({ timeoutMs }, 'some requests did not end in time and were cut off');
      }
      await doors;
      await acme;
      this.#injector?.close();
      this.#native.close();
      await this.#code.close(Math.min(timeoutMs, 1_000)); // their requests have ended with the edge's
      await this.#ledger.close(); // the last of what workers carried too
      await this.#admin?.close();
    } finally {
      clearInterval(this.#alive);
    }
  }

  async #publish(loaded: Loaded, by: string): Promise<number> {
    const settings = judge(loaded);
    const before = this.#admin;
    const admin = await this.#openAdmin(loaded, settings);
    let revision: number;
    try {
      revision = this.#native.reload(
        loaded.json,
        await ready(this.#code, this.#acme, this.#ledger, loaded, settings),
      );
    } catch (error) {
      this.#code.abandon();
      this.#ledger.abandon();
      if (admin !== before) await admin?.close();
      throw wrap(error);
    }
    this.#ledger.commit(this.#native);
    this.#acme.commit(this.#native.id, loaded, settings, this.#code.shared);
    const opened = this.#code.commit(this.#native, settings);
    this.#loaded = loaded;
    this.#settings = settings;
    this.#admin = admin;
    admin?.update(shown(loaded, settings));
    if (admin !== before) void before?.close(); // it may have to deliver the answer to this reload first
    this.#certificates.watch(settings.hasTls);
    await this.#resolver.refresh('new');
    await this.#keep(by);
    await opened;
    this.#log.info({ revision }, 'a config was published');
    return revision;
  }

  async #load(config: unknown): Promise<Loaded> {
    const { source, named, touched } = this.#loaded;
    if (config !== undefined) return { ...loadValue(config), source, named, touched };
    if (source !== undefined) {
      this.#looked = new Touched();
      return loadFiles(named, process.env, this.#looked);
    }
    throw new GateError(
      'config_not_found',
      'this gateway was not made from a file',
      'pass a config to reload',
    );
  }

  async #openAdmin(loaded: Loaded, settings: Settings): Promise<Admin | undefined> {
    const { adminBind } = settings;
    if (adminBind === undefined || !(this.#options.admin ?? loaded.keys.has('admin'))) return undefined;
    if (this.#admin?.bind === adminBind) return this.#admin;
    return Admin.open({
      id: this.#native.id,
      bind: adminBind,
      settings: shown(loaded, settings),
      store: this.#code.store.figures,
      log: this.#log,
      onReload: (json, by) => this.reload(json === undefined ? undefined : parse(json), by),
      onRollback: (number, by) => this.rollback(number, by),
    });
  }

  /** A disk that is full stops no traffic and no reload; it is said, loudly. */
  async #keep(by: string): Promise<void> {
    const { json, number, shown } = this.#loaded;
    const { stateDir, historyRevisions: revisions, historyBytes: bytes } = this.#settings;
    const history = this.#history();
    if (history === undefined || stateDir === undefined) return;
    try {
      await keep(stateDir, sourceOf(this.#loaded), json);
      await history.add(json, JSON.stringify(shown()), by, { revisions, bytes });
      if (number === undefined) await history.unpin();
    } catch (error) {
      this.#log.error({ err: wrap(error), state_dir: stateDir }, 'the last good config was not kept');
    }
  }

  /** Where configs are kept, if they are: only those that have a file. */
  #history(): History | undefined {
    const { stateDir } = this.#settings;
    if (this.#loaded.source === undefined || stateDir === undefined) return undefined;
    return new History(stateDir, sourceOf(this.#loaded));
  }
}

/** What a config needs beside itself, made ready. */
async function ready(
  code: Code,
  acme: Acme,
  ledger: Ledger,
  loaded: Loaded,
  settings: Settings,
): Promise<Prepared> {
  const certificates = await acme.prepare(settings);
  const prepared = await code.prepare(loaded, settings);
  const usage = await ledger.prepare(settings);
  return { ...prepared, certificates, ...(usage === undefined ? {} : { usage }) };
}

/** What runs beside the core in threads of its own: the user's apps and plugins, and the client of the store. */
class Code {
  readonly apps: Apps;
  readonly store: Store;
  readonly #plugins: Plugins;
  #shared: RedisSettings | undefined;

  constructor(log: Log) {
    this.store = new Store(log);
    this.apps = new Apps(log);
    this.#plugins = new Plugins(log);
  }

  /** Where the store of the config is that was prepared last. */
  get shared(): RedisSettings | undefined {
    return this.#shared;
  }

  /** Loads what a config needs beside what runs; then comes `commit` or `abandon`. */
  async prepare(loaded: Loaded, settings: Settings): Promise<Prepared> {
    const store = await storeOf(loaded, settings);
    this.#shared = store;
    await this.store.prepare(store);
    const plugins = await this.#plugins.prepare(loaded, settings);
    return { apps: await this.apps.prepare(loaded, settings, store), plugins, folder: folderOf(loaded) };
  }

  /** What was prepared is in force; resolves when apps are at their doors, and limits are counted in the store. */
  async commit(native: Native, settings: Settings): Promise<void> {
    this.#plugins.commit(native.id);
    await Promise.all([this.store.commit(native.id), this.apps.commit(native, settings)]);
  }

  abandon(): void {
    this.apps.abandon();
    this.store.abandon();
    this.#plugins.abandon();
  }

  async close(patienceMs: number): Promise<void> {
    await Promise.all([this.apps.close(patienceMs), this.#plugins.close(), this.store.close()]);
  }
}

function shown(loaded: Loaded, { adminAllowHosts }: Settings): { allowHosts: string[]; shown: string } {
  return { allowHosts: adminAllowHosts, shown: JSON.stringify(loaded.shown()) };
}

function noHistory(): GateError {
  return new GateError('config_not_kept', 'no configs are kept', 'add state_dir: to the config');
}

function parse(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch (error) {
    throw new GateError('config_invalid', `the body is no JSON: ${(error as Error).message}`);
  }
}
