/**
 * metrics: the counters of the core as a prom-client registry.
 *
 * The core counts; nothing is counted here. Each scrape asks it once, and prom-client writes the text
 * (Prometheus exposition format 0.0.4). Three metrics of the process are added.
 */
import { Counter, Gauge, type MetricValue, Registry } from 'prom-client';

/** A metric as the core gives it; `values` of a histogram have buckets, those of others a number. */
export interface CoreMetric {
  name: string;
  type: 'counter' | 'gauge' | 'histogram';
  help: string;
  values: (Sample | HistogramSample)[];
}

interface Sample {
  labels: Record<string, string>;
  value: number;
}

interface HistogramSample {
  labels: Record<string, string>;
  /** Upper bound (a number, or `+Inf`) and the count of all observations up to it. */
  buckets: [number | string, number][];
  sum: number;
  count: number;
}

/** The content type of {@link expose}'s text. */
export const CONTENT_TYPE: string = Registry.PROMETHEUS_CONTENT_TYPE;

/** The text of one scrape; `json` is what the core's `metrics()` gave, `more` what is counted elsewhere. */
export async function expose(json: string, more: readonly CoreMetric[] = []): Promise<string> {
  const registry = new Registry();
  for (const metric of [...(JSON.parse(json) as CoreMetric[]), ...more]) {
    const { name, type, help } = metric;
    // prom-client's own classes only count; a registry takes whatever can say its values.
    const source = {
      name,
      help,
      type,
      aggregator: 'sum',
      get: async () => ({
        name,
        help,
        type,
        aggregator: 'sum',
        values: metric.values.flatMap((value) => samples(name, value)),
      }),
    };
    registry.registerMetric(source as never);
  }
  ofProcess(registry);
  return registry.metrics();
}

function samples(name: string, value: Sample | HistogramSample): MetricValue<string>[] {
  if (!('buckets' in value)) return [value];
  const { labels, buckets, sum, count } = value;
  const rows = buckets.map(([le, n]) => ({
    metricName: `${name}_bucket`,
    labels: { le: String(le), ...labels },
    value: n,
  }));
  if (rows.at(-1)?.labels.le !== '+Inf') {
    rows.push({ metricName: `${name}_bucket`, labels: { le: '+Inf', ...labels }, value: count });
  }
  return [
    ...rows,
    { metricName: `${name}_sum`, labels, value: sum },
    { metricName: `${name}_count`, labels, value: count },
  ] as MetricValue<string>[];
}

function ofProcess(registry: Registry): void {
  const { user, system } = process.cpuUsage();
  const seconds = (user + system) / 1e6;
  new Counter({
    name: 'process_cpu_seconds_total',
    help: 'User and system CPU time of the process, in seconds.',
    registers: [registry],
  }).inc(seconds);
  const rows: [string, string, number][] = [
    ['process_resident_memory_bytes', 'Resident memory of the process, in bytes.', process.memoryUsage.rss()],
    ['process_start_time_seconds', 'When the process started, in seconds since 1970.', STARTED],
  ];
  for (const [name, help, value] of rows) {
    new Gauge({ name, help, registers: [registry] }).set(value);
  }
}

/** `process.uptime` of a worker counts from the start of the process. */
const STARTED = Math.round(Date.now() / 1000 - process.uptime());
