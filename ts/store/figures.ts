/**
 * figures: what the store's thread counts, in memory that other threads read.
 *
 * One thread writes. A reader sees each number whole, but not all of one moment.
 */
import type { CoreMetric } from '../metrics.js';
import type { BreakerState } from './breaker.js';

/** Numbers since the gateway was made; `isUp`, `breaker` and `nodes` as of now. */
export interface Figures {
  /** Calls by what came of them; `refused` were not sent, because the breaker was open. */
  replied: number;
  failed: number;
  late: number;
  refused: number;
  /** True if the store answers. */
  isUp: boolean;
  breaker: BreakerState;
  /** Nodes that live, this one too; 0 if the store never answered. */
  nodes: number;
}

/** Memory for {@link Figures}, to be passed to threads. */
export function createFigures(): SharedArrayBuffer {
  return new SharedArrayBuffer(PLACES.length * Float64Array.BYTES_PER_ELEMENT);
}

/** Adds one. */
export function count(memory: SharedArrayBuffer, name: 'replied' | 'failed' | 'late' | 'refused'): void {
  const numbers = new Float64Array(memory);
  const place = PLACES.indexOf(name);
  numbers[place] = (numbers[place] ?? 0) + 1;
}

/** Writes what is as of now. */
export function setFigures(
  memory: SharedArrayBuffer,
  { isUp, breaker, nodes }: Pick<Figures, 'isUp' | 'breaker' | 'nodes'>,
): void {
  new Float64Array(memory).set([isUp ? 1 : 0, BREAKERS.indexOf(breaker), nodes], PLACES.indexOf('isUp'));
}

/** What stands in the memory. */
export function readFigures(memory: SharedArrayBuffer): Figures {
  const [replied = 0, failed = 0, late = 0, refused = 0, up = 0, breaker = 0, nodes = 0] = new Float64Array(
    memory,
  );
  return { replied, failed, late, refused, isUp: up === 1, breaker: BREAKERS[breaker] ?? 'closed', nodes };
}

/** Figures as metrics. */
export function metricsOf(figures: Figures): CoreMetric[] {
  const results = (['replied', 'failed', 'late', 'refused'] as const).map((result) => ({
    labels: { result },
    value: figures[result],
  }));
  const states = BREAKERS.map((state) => ({ labels: { state }, value: figures.breaker === state ? 1 : 0 }));
  const gauge = (name: string, help: string, value: number): CoreMetric => {
    return { name, type: 'gauge', help, values: [{ labels: {}, value }] };
  };
  return [
    {
      name: 'ironsluice_store_calls_total',
      type: 'counter',
      help: 'Calls of the store by what came of them; refused: not sent, because the breaker was open.',
      values: results,
    },
    gauge('ironsluice_store_up', '1 if the store answers, else 0.', figures.isUp ? 1 : 0),
    {
      name: 'ironsluice_store_breaker_state',
      type: 'gauge',
      help: '1 for the state in which the breaker of the store is, 0 for the others.',
      values: states,
    },
    gauge('ironsluice_store_nodes', 'Nodes that the store knows to live.', figures.nodes),
  ];
}

const BREAKERS: readonly BreakerState[] = ['closed', 'open', 'half_open'];
const PLACES: readonly (keyof Figures)[] = [
  'replied',
  'failed',
  'late',
  'refused',
  'isUp',
  'breaker',
  'nodes',
];
