/**
 * boundary: what one crossing between JavaScript and Rust costs, in nanoseconds.
 *
 * Prints a line of JSON a row. Rows are functions that programs call too, so each has its own work in it; what only the
 * crossing costs is the difference of two rows, which is then a row of its own. JavaScript is called from Rust by getters: Rust
 * reads the properties of its argument, and each read runs a function. Rounds are interleaved; `--rounds N` (15).
 */
import { parseArgs } from 'node:util';
import { counter, Gcra, jumpHash, noteWorker, parseRequestHead, Rendezvous, version } from '#bindings';
import { spread } from '../load/stats.js';

interface Row {
  crossing: string;
  by: string;
  /** The row that is taken off it, by its place in the list. */
  without?: number;
  /** How many crossings it has; 1 if not said. */
  crossings?: number;
  run: () => unknown;
}

/** Of a row in a round. */
const SPAN_NS = 20e6;
const LONG = 'k'.repeat(200);
const HEAD = Buffer.from(
  `GET /items?page=2 HTTP/1.1\r\nHost: api.example.com\r\nAccept: */*\r\nX-Pad: ${'p'.repeat(130)}\r\n\r\n`,
);

const count = counter('bench', 'boundary');
const limit = new Gcra({ count: 1_000_000, periodMs: 1 });
const short = new Rendezvous(['n']);
const long = new Rendezvous([LONG]);
const plain = { lag: 1, heap: 1, gc: 1, requests: 1 };
const called = {
  get lag() {
    return 1;
  },
  get heap() {
    return 1;
  },
  get gc() {
    return 1;
  },
  get requests() {
    return 1;
  },
};
/** Of no gateway: nobody reads what is said of its workers. */
const NO_GATEWAY = 0xffff_ffff;
const inJs = (): number => 1;

const ROWS: readonly Row[] = [
  { crossing: 'none: a function in JavaScript', by: '() => 1', run: () => inJs() },
  { crossing: 'to Rust: no argument, a number back', by: 'Counter.value', run: () => count.value },
  { crossing: 'to Rust: no argument, a string of 5 bytes back', by: 'version()', run: () => version() },
  { crossing: 'to Rust: a string of 1 byte, a number back', by: 'jumpHash', run: () => jumpHash('k', 1) },
  {
    crossing: 'to Rust: a string of 200 bytes, a number back',
    by: 'jumpHash',
    run: () => jumpHash(LONG, 1),
  },
  { crossing: '… 199 bytes more in, hashed too', by: 'difference', without: 3, run: () => jumpHash(LONG, 1) },
  {
    crossing: 'to Rust: a string of 1 byte, a string of 1 byte back',
    by: 'Rendezvous.pick',
    run: () => short.pick('k'),
  },
  { crossing: '… 199 bytes more back', by: 'difference', without: 6, run: () => long.pick('k') },
  {
    crossing: 'to Rust: a string, an object of 4 numbers back',
    by: 'Gcra.check',
    run: () => limit.check('k'),
  },
  {
    crossing: 'to Rust: 200 bytes, the head of a request back',
    by: 'parseRequestHead',
    run: () => parseRequestHead(HEAD),
  },
  {
    crossing: 'to Rust: an object of 4 numbers, nothing back',
    by: 'noteWorker',
    run: () => noteWorker(NO_GATEWAY, 'a', 0, plain),
  },
  {
    crossing: 'to JavaScript: Rust calls a function, no argument, a number back',
    by: 'difference, of 4',
    without: 10,
    crossings: 4,
    run: () => noteWorker(NO_GATEWAY, 'a', 0, called),
  },
];

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '15' } } });
const rounds = Number(values.rounds);
const times = ROWS.map(({ run }) => calibrate(run));
const taken: number[][] = ROWS.map(() => []);
for (let round = 0; round < rounds; round++) {
  ROWS.forEach(({ run }, at) => {
    const n = times[at] ?? 1;
    taken[at]?.push(measure(run, n) / n);
  });
}
ROWS.forEach(({ crossing, by, without, crossings = 1 }, at) => {
  const own = taken[at] ?? [];
  const other = without === undefined ? undefined : taken[without];
  const { median, q1, q3 } = spread(own.map((ns, round) => (ns - (other?.[round] ?? 0)) / crossings));
  console.log(JSON.stringify({ crossing, by, ns: median, q1, q3, rounds }));
});

/** Nanoseconds that `n` calls take. */
function measure(run: () => unknown, n: number): number {
  const began = process.hrtime.bigint();
  for (let i = 0; i < n; i++) run();
  return Number(process.hrtime.bigint() - began);
}

/** How many calls take about {@link SPAN_NS}; they are compiled meanwhile. */
function calibrate(run: () => unknown): number {
  let n = 1_000;
  for (;;) {
    const ns = measure(run, n);
    if (ns > SPAN_NS / 4) return Math.max(1, Math.round((n * SPAN_NS) / ns));
    n *= 4;
  }
}
