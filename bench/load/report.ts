/** Result files: one Markdown table to read and one JSON file to compute with, a scenario. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Machine } from './machine.js';
import type { Measurement, Rounds } from './rounds.js';
import { type Spread, spread } from './stats.js';

/** What every result says about itself. */
export interface Provenance {
  scenario: string;
  about: string;
  date: string;
  commit: string;
  machine: Machine;
  /** Versions of what was measured, by name. */
  versions: Record<string, string>;
  /** The settings that matter for repeating it. */
  settings: Record<string, number | string>;
}

/** A row of a table. */
export type Row = Record<string, string>;

/** What one must reach beside another, as the median of the ratios of the same rounds. */
export interface Bound {
  /** Default: the base. */
  of?: string;
  figure: Figure;
  beside: string;
  /** Either of them. */
  most?: number;
  least?: number;
}

/** Markdown for rounds: each proxy's figures, then the base beside each other one, then the bounds that were set. */
export function roundsMarkdown(rounds: Rounds, base: string, bounds: readonly Bound[] = []): string {
  const names = [...new Set(rounds.taken.map(({ peer }) => peer))];
  const order = [base, ...names.filter((name) => name !== base)].filter((name) => names.includes(name));
  const parts = [
    table(order.map((name) => figures(name, of(rounds, name)))),
    'Medians over the rounds, in brackets the quartiles; bad answers are summed; memory is the Pss of the process tree at the end of a round. Client and origin share one CPU, so ' +
      'requests/s and latency depend on them too: CPU time per request is what compares the proxies.',
  ];
  const others = order.filter((name) => name !== base);
  if (names.includes(base) && others.length > 0) {
    const rows = others.flatMap((other) => comparisons(rounds, base, other));
    parts.push(`## ${base} beside the others, round by round`, table(rows));
    parts.push('Ratios of the same round: median, quartiles, extremes.');
  }
  const judged = bounds.flatMap((bound) => judge(rounds, base, bound));
  if (judged.length > 0) parts.push('## Bounds', table(judged));
  const { refused, missing, dropped } = rounds;
  const gone = dropped.length > 0 ? ` No further rounds of ${dropped.join(', ')} for that.` : '';
  parts.push(
    `Refused because another process ran: ${refused}; left out after all retries: ${missing}.${gone}`,
  );
  return parts.join('\n\n');
}

/** Writes `NAME.md` and `NAME.json` and returns the Markdown. */
export async function writeResult(
  out: string,
  provenance: Provenance,
  body: string,
  data: object,
): Promise<string> {
  const { scenario, about, date, commit, machine, versions, settings } = provenance;
  const list = (values: object) =>
    Object.entries(values)
      .map(([key, value]) => `${key} ${value}`)
      .join(', ');
  const markdown = `# ${scenario}: ${about}

- commit ${commit}, ${date}
- ${machine.cpu}, ${machine.cores} cores, ${machine.memory_gib} GiB, Linux ${machine.kernel}, Node ${machine.node}
- ${list(versions)}
- ${list(settings)}

${body}
`;
  await mkdir(out, { recursive: true });
  await writeFile(join(out, `${scenario}.md`), markdown);
  const json = JSON.stringify({ ...provenance, ...data }, null, 2);
  await writeFile(join(out, `${scenario}.json`), `${json}\n`);
  return markdown;
}

/** A Markdown table; its columns are the keys of all rows in order of appearance. */
export function table(rows: readonly Row[]): string {
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const line = (cells: string[]) => `| ${cells.join(' | ')} |`;
  const rule = columns.map((_, at) => (at === 0 ? '---' : '---:'));
  return [
    line(columns),
    line(rule),
    ...rows.map((row) => line(columns.map((column) => row[column] ?? ''))),
  ].join('\n');
}

/** A number with the digits that a reader needs. */
export function digits(value: number): string {
  if (value >= 1000) return Math.round(value).toString();
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/** What is measured and compared. */
export type Figure = Exclude<keyof Measurement, 'peer' | 'round' | 'disturbed' | 'bad' | 'busy_percent'>;

const FIGURES: readonly { key: Figure; title: string; better: 'less' | 'more' }[] = [
  { key: 'cpu_us_per_request', title: 'CPU µs/request', better: 'less' },
  { key: 'proxy_cpu_us_per_request', title: 'of it the proxy', better: 'less' },
  { key: 'requests_per_s', title: 'requests/s', better: 'more' },
  { key: 'p50_us', title: 'p50 µs', better: 'less' },
  { key: 'p99_us', title: 'p99 µs', better: 'less' },
  { key: 'memory_mib', title: 'memory MiB', better: 'less' },
];

function figures(name: string, measurements: Measurement[]): Row {
  const row: Row = { proxy: name };
  for (const { key, title } of FIGURES) {
    const values = measurements.flatMap((measurement) => measurement[key] ?? []);
    if (values.length === 0) continue;
    const { median, q1, q3 } = spread(values);
    const range = key === 'memory_mib' ? '' : ` (${digits(q1)}–${digits(q3)})`;
    row[title] = digits(median) + range;
  }
  const busy = measurements.flatMap(({ busy_percent }) => busy_percent ?? []);
  if (busy.length > 0) row['CPU busy %'] = digits(spread(busy).median);
  row['bad answers'] = String(measurements.reduce((sum, { bad }) => sum + bad, 0));
  row.rounds = String(measurements.length);
  return row;
}

function comparisons(rounds: Rounds, base: string, other: string): Row[] {
  const rows: Row[] = [];
  for (const { key, title, better } of FIGURES) {
    const ratios = ratiosOf(rounds, key, base, other);
    if (ratios.length > 0) rows.push(comparison(`${title} beside ${other}`, better, spread(ratios)));
  }
  return rows;
}

/** Ours through theirs, in the rounds that both have. */
function ratiosOf(rounds: Rounds, key: Figure, base: string, other: string): number[] {
  return of(rounds, base).flatMap((measurement) => {
    const ours = measurement[key];
    const theirs = of(rounds, other).find(({ round }) => round === measurement.round)?.[key];
    return ours === undefined || !theirs ? [] : [ours / theirs];
  });
}

/** Nothing where the other was not measured. */
function judge(rounds: Rounds, base: string, { of = base, figure, beside, most, least }: Bound): Row[] {
  const ratios = ratiosOf(rounds, figure, of, beside);
  if (ratios.length === 0) return [];
  const { median } = spread(ratios);
  const holds = median <= (most ?? Number.POSITIVE_INFINITY) && median >= (least ?? 0);
  const title = FIGURES.find(({ key }) => key === figure)?.title ?? figure;
  return [
    {
      bound: `${title}${of === base ? '' : ` of ${of}`} beside ${beside}`,
      wanted: most === undefined ? `at least ${least?.toFixed(2)}` : `at most ${most.toFixed(2)}`,
      median: median.toFixed(3),
      holds: holds ? 'yes' : 'no',
    },
  ];
}

function comparison(title: string, better: 'less' | 'more', ratio: Spread): Row {
  const { median, q1, q3, min, max, count } = ratio;
  const even = q1 <= 1 && q3 >= 1;
  const ahead = better === 'less' ? median < 1 : median > 1;
  return {
    ratio: title,
    median: median.toFixed(3),
    quartiles: `${q1.toFixed(3)}–${q3.toFixed(3)}`,
    extremes: `${min.toFixed(3)}–${max.toFixed(3)}`,
    rounds: String(count),
    verdict: even ? 'even' : ahead ? 'ahead' : 'behind',
  };
}

function of(rounds: Rounds, name: string): Measurement[] {
  return rounds.taken.filter(({ peer }) => peer === name);
}
