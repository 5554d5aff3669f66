/** One name everywhere: a filter's file, its line in the list, its schema and its section in the reference. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const text = (path: string) => readFileSync(ROOT + path, 'utf8');
const listed = [...text('crates/core/src/filters/mod.rs').matchAll(/^ {4}(\w+) => \w+,$/gm)].map(
  ([, name = '']) => name,
);

test('the list of filters is not empty, and in the order of the alphabet', () => {
  assert.ok(listed.length > 5);
  assert.deepEqual(listed, [...listed].sort());
});

for (const name of listed) {
  test(`${name} has a header, a schema and a section in the reference`, () => {
    const source = text(`crates/core/src/filters/${name}.rs`);
    assert.ok(source.startsWith(`//! ${name}: `), 'its header begins with its name');
    for (const word of ['Config', 'Reads', 'Asks', 'Replies', 'Fails', 'Source']) {
      assert.match(source, new RegExp(`^//! +${word}:`, 'm'));
    }
    assert.match(text('docs/reference/filters.md'), new RegExp(`^#+ .*${name}`, 'm'));
    assert.ok(text('bindings/config.schema.json').includes(`"${name}"`));
  });
}
