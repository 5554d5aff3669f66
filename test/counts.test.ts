/** What counts as passed decides whether a build is green, so the reader of counts has a table of its own. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Counts, count } from './counts.js';

const CASES: { what: string; text: string; want: Counts }[] = [
  {
    what: 'cargo, two programs',
    text:
      'test a ... ok\ntest result: ok. 6 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out\n' +
      'test result: \x1b[31mFAILED\x1b[0m. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out',
    want: { passed: 9, failed: 2, skipped: 1 },
  },
  {
    what: 'node, spec',
    text: 'ℹ tests 9\nℹ pass 4\nℹ fail 1\nℹ cancelled 1\nℹ skipped 2\nℹ todo 1\nℹ duration_ms 5',
    want: { passed: 4, failed: 2, skipped: 3 },
  },
  {
    what: 'node, TAP, coloured',
    text: '# pass 4\n\x1b[34m# fail 0\x1b[39m\n# cancelled 0\n# skipped 0\n# todo 0',
    want: { passed: 4, failed: 0, skipped: 0 },
  },
  {
    what: 'talk about tests',
    text: '12 passed\n    # pass 3\nok 1 - # pass 3\nthe test result: ok. 1 passed; 0 failed; 0 ignored',
    want: { passed: 0, failed: 0, skipped: 0 },
  },
];

for (const { what, text, want } of CASES) {
  test(`counts: ${what}`, () => {
    const counts = { passed: 0, failed: 0, skipped: 0 };
    for (const line of text.split('\n')) count(line, counts);
    assert.deepEqual(counts, want);
  });
}
