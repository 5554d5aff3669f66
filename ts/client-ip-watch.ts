/**
 * client-ip-watch: says when requests tell another story of the proxies in front than the config does.
 *
 * The core counts (`ironsluice_client_ip_*`); here the counts are looked at, and a config that is probably wrong is said
 * in the log, with what to write. Nothing is changed.
 * Bounds: one look a minute, one line in ten minutes. A route is judged by 200 requests or more.
 */
import type { Log } from './log.js';
import type { CoreMetric } from './metrics.js';

/** What is looked at, each as JSON. */
export interface Counted {
  metrics(): string;
  /** `[{route, peer}]`. */
  suspects(): string;
}

/** What a route has counted. */
interface Tally {
  fits: number;
  more: number;
  fewer: number;
  untrusted: number;
  /** Requests by how many entries they have, `0` to `5+`. */
  entries: Record<string, number>;
}

/** What is wrong, and what to do. */
interface Finding {
  route: string;
  why: string;
  fix: string;
}

/** A route of a config, as far as it matters here. */
interface Trusting {
  name?: string;
  filters?: { use?: string; hops?: number }[];
}

/** Looks until it is stopped. */
export class ClientIpWatch {
  readonly #counted: Counted;
  readonly #config: () => string;
  readonly #log: Log;
  /** What a route had counted when it was judged last. */
  readonly #judged = new Map<string, Tally>();
  #timer: NodeJS.Timeout | undefined;
  #saidAt = Number.NEGATIVE_INFINITY;

  /** `config` gives the config in force, JSON; it is read only when there is something to say. */
  constructor(counted: Counted, config: () => string, log: Log) {
    this.#counted = counted;
    this.#config = config;
    this.#log = log;
  }

  /** Begins. */
  start(): void {
    this.#timer = setInterval(() => this.look(), INTERVAL_MS);
    this.#timer.unref();
  }

  /** No look is begun any more. */
  stop(): void {
    clearInterval(this.#timer);
  }

  /** One look; `now` is in milliseconds of `performance.now()`. */
  look(now: number = performance.now()): void {
    const findings = this.#findings();
    const [first] = findings;
    if (first === undefined || now - this.#saidAt < QUIET_MS) return;
    this.#saidAt = now;
    const others = findings.length - 1;
    const { why, ...rest } = first;
    this.#log.warn(others > 0 ? { ...rest, others } : rest, why);
  }

  #findings(): Finding[] {
    const found: Finding[] = [];
    let suspects: Map<string, string> | undefined;
    for (const [route, all] of tallies(this.#counted.metrics())) {
      const since = less(all, this.#judged.get(route));
      const trusted = since.fits + since.more + since.fewer;
      if (trusted + since.untrusted < LEAST) continue;
      this.#judged.set(route, all);
      suspects ??= new Map(
        (JSON.parse(this.#counted.suspects()) as { route: string; peer: string }[]).map((one) => [
          one.route,
          one.peer,
        ]),
      );
      const peer = suspects.get(route);
      if (peer !== undefined && since.untrusted >= LEAST) {
        found.push({
          route,
          why: `many clients seem to come through ${peer}, which is not trusted: all of them are taken for one`,
          fix: `if it is your proxy, put { use: client_ip, trust: [${peer}] } first, else ignore this`,
        });
      }
      const wrong = (['more', 'fewer'] as const).find((seen) => since[seen] >= SHARE * trusted);
      if (trusted >= LEAST && wrong !== undefined) found.push(this.#ofHops(route, wrong, since, trusted));
    }
    return found;
  }

  #ofHops(route: string, wrong: 'more' | 'fewer', since: Tally, trusted: number): Finding {
    const share = `${Math.floor((100 * since[wrong]) / trusted)} % of requests`;
    const hops = hopsOf(this.#config(), route);
    if (hops === undefined) {
      return wrong === 'more'
        ? {
            route,
            why: `${share} have entries beyond the client that was found`,
            fix: 'if a proxy of yours is taken for the client, add its addresses to trust in client_ip',
          }
        : {
            route,
            why: `of ${share} the client that was found is an address in trust`,
            fix: 'let each proxy write the field, and keep clients out of trust in client_ip',
          };
    }
    const [seen = '0'] = Object.entries(since.entries).reduce((a, b) => (b[1] > a[1] ? b : a), ['0', -1]);
    const why = `you trust ${hops} ${hops === 1 ? 'hop' : 'hops'}, but ${share} have ${wrong}, mostly ${seen}`;
    if (seen === '0') {
      const fix =
        'let the proxy in front write the field; without one remove client_ip, for clients may write it';
      return { route, why, fix };
    }
    const also = wrong === 'more' ? 'if all of them are your proxies, else clients write it' : '';
    const fix = `write hops: ${seen.replace('+', ' or more')} in client_ip ${also}`.trim();
    return { route, why, fix };
  }
}

function tallies(json: string): Map<string, Tally> {
  const all = new Map<string, Tally>();
  for (const { name, values } of JSON.parse(json) as CoreMetric[]) {
    const label = LABELS[name];
    if (label === undefined) continue;
    for (const sample of values) {
      if (!('value' in sample)) continue;
      const { route = '' } = sample.labels;
      const tally = all.get(route) ?? { fits: 0, more: 0, fewer: 0, untrusted: 0, entries: {} };
      all.set(route, tally);
      const word = sample.labels[label] ?? '';
      if (label === 'entries') tally.entries[word] = sample.value;
      else tally[word as 'fits'] = sample.value;
    }
  }
  return all;
}

function less(all: Tally, before: Tally | undefined): Tally {
  if (before === undefined) return all;
  const entries = Object.entries(all.entries).map(([n, count]) => [n, count - (before.entries[n] ?? 0)]);
  return {
    fits: all.fits - before.fits,
    more: all.more - before.more,
    fewer: all.fewer - before.fewer,
    untrusted: all.untrusted - before.untrusted,
    entries: Object.fromEntries(entries),
  };
}

/** The `hops` of a route's first client_ip. */
function hopsOf(config: string, route: string): number | undefined {
  const { routes } = JSON.parse(config) as { routes?: Trusting[] };
  const filters = routes?.find(({ name }) => name === route)?.filters;
  return filters?.find(({ use }) => use === 'client_ip')?.hops;
}

/** The metrics that are looked at, and the label that says what was counted. */
const LABELS: Record<string, 'seen' | 'entries'> = {
  ironsluice_client_ip_requests_total: 'seen',
  ironsluice_client_ip_entries_total: 'entries',
};
const INTERVAL_MS = 60_000;
const QUIET_MS = 600_000;
/** Fewer requests prove nothing. */
const LEAST = 200;
/** What is rarer may be clients that write the field themselves. */
const SHARE = 0.8;
