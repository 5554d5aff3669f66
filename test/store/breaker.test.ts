/**
 * The breaker of the store: what leads to what, as a table of what happens when.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Breaker, type BreakerOptions, type BreakerState } from '../../ts/store/breaker.js';

/** `ask`: may a call go? `ok`, `no`: a call ended. `trip`, `retry`: the connection was lost, is there again. */
type Event =
  | [at: number, what: 'ask', admits: boolean, state: BreakerState]
  | [at: number, what: 'ok' | 'no' | 'trip' | 'retry', state: BreakerState];

const FIVE: Event[] = [1, 2, 3, 4].map((at) => [at, 'no', 'closed'] as Event);
const OPENED: Event[] = [...FIVE, [5, 'no', 'open']];
const CASES: Record<string, { options?: BreakerOptions; events: Event[] }> = {
  'closed lets calls go': { events: [[0, 'ask', true, 'closed']] },
  'four failures do not open it': { events: [...FIVE, [5, 'ask', true, 'closed']] },
  'five in a row do': { events: [...OPENED, [6, 'ask', false, 'open']] },
  'a success between starts again': {
    events: [...FIVE, [5, 'ok', 'closed'], ...FIVE, [9, 'no', 'open']],
  },
  'as many as are said': { options: { failures: 1 }, events: [[0, 'no', 'open']] },
  'after the back-off one call goes, and no other': {
    events: [
      ...OPENED,
      [104, 'ask', false, 'open'],
      [105, 'ask', true, 'half_open'],
      [106, 'ask', false, 'half_open'],
      [107, 'ok', 'closed'],
      [107, 'ask', true, 'closed'],
    ],
  },
  'a trial that fails doubles the back-off, up to a second': {
    events: [
      ...OPENED,
      [105, 'ask', true, 'half_open'],
      [105, 'no', 'open'],
      [304, 'ask', false, 'open'],
      [305, 'ask', true, 'half_open'],
      [305, 'no', 'open'],
      [704, 'ask', false, 'open'],
      [705, 'ask', true, 'half_open'],
      [705, 'no', 'open'],
      [1504, 'ask', false, 'open'],
      [1505, 'ask', true, 'half_open'],
      [1505, 'no', 'open'],
      [2504, 'ask', false, 'open'],
      [2505, 'ask', true, 'half_open'],
      [2505, 'no', 'open'],
      [3504, 'ask', false, 'open'],
      [3505, 'ask', true, 'half_open'],
    ],
  },
  'a trial that never ends is given up after a second': {
    events: [
      ...OPENED,
      [105, 'ask', true, 'half_open'],
      [1104, 'ask', false, 'half_open'],
      [1105, 'ask', true, 'half_open'],
    ],
  },
  'what ends while it is open began before, and counts for nothing': {
    events: [...OPENED, [6, 'ok', 'open'], [7, 'no', 'open'], [105, 'ask', true, 'half_open']],
  },
  'a lost connection opens it at once, a new one lets a call go at once': {
    events: [
      [0, 'trip', 'open'],
      [1, 'ask', false, 'open'],
      [2, 'retry', 'open'],
      [2, 'ask', true, 'half_open'],
      [2, 'ask', false, 'half_open'],
      [3, 'ok', 'closed'],
    ],
  },
  'a new connection changes nothing when it is closed': {
    events: [
      [0, 'retry', 'closed'],
      [0, 'ask', true, 'closed'],
    ],
  },
  'one success does not make the back-off short again': {
    events: [
      ...OPENED,
      [105, 'ask', true, 'half_open'],
      [105, 'ok', 'closed'],
      ...([106, 107, 108, 109].map((at) => [at, 'no', 'closed']) as Event[]),
      [110, 'no', 'open'],
      [309, 'ask', false, 'open'],
      [310, 'ask', true, 'half_open'],
    ],
  },
  'five do': {
    events: [
      ...OPENED,
      [105, 'ask', true, 'half_open'],
      ...([105, 106, 107, 108, 109].map((at) => [at, 'ok', 'closed']) as Event[]),
      [110, 'trip', 'open'],
      [209, 'ask', false, 'open'],
      [210, 'ask', true, 'half_open'],
    ],
  },
  'the back-off is no less than is said': {
    options: { leastMs: 400 },
    events: [
      [0, 'trip', 'open'],
      [399, 'ask', false, 'open'],
      [400, 'ask', true, 'half_open'],
    ],
  },
};

for (const [name, { options, events }] of Object.entries(CASES)) {
  test(name, () => {
    const breaker = new Breaker(options);
    for (const [at, what, ...wanted] of events) {
      const state = wanted.at(-1);
      if (what === 'ask') assert.equal(breaker.admits(at), wanted[0], `${what} at ${at}`);
      else if (what === 'ok') breaker.succeeded();
      else if (what === 'no') breaker.failed(at);
      else if (what === 'trip') breaker.trip(at);
      else breaker.retry(at);
      assert.equal(breaker.state, state, `${what} at ${at}`);
    }
  });
}

test('it says when the next call goes', () => {
  const breaker = new Breaker();
  assert.equal(breaker.nextAt, 0);
  breaker.trip(1_000);
  assert.equal(breaker.nextAt, 1_100);
  assert.ok(breaker.admits(breaker.nextAt));
});
