/**
 * scope: which directives hold at a place, by nginx's rules of inheritance: the innermost block that says a directive counts, and
 * what the blocks around it say of it does not.
 */
import type { Notes } from './notes.js';
import type { Directive } from './syntax.js';

/** A block and those around it. */
export class Scope {
  readonly #blocks: readonly (readonly Directive[])[];
  readonly notes: Notes;

  constructor(notes: Notes, blocks: readonly (readonly Directive[])[] = []) {
    this.notes = notes;
    this.#blocks = blocks;
  }

  /** A block within this one. */
  within(block: readonly Directive[]): Scope {
    return new Scope(this.notes, [...this.#blocks, block]);
  }

  /** What this block itself says under one of these names. */
  own(...names: string[]): Directive[] {
    return this.#of(this.#blocks.at(-1) ?? [], names);
  }

  /** What the innermost block says that has one of these names. */
  all(...names: string[]): Directive[] {
    for (const block of [...this.#blocks].reverse()) {
      const found = this.#of(block, names);
      if (found.length > 0) return found;
    }
    return [];
  }

  /** The one that counts, of a directive of which there is one. */
  last(name: string): Directive | undefined {
    return this.all(name).at(-1);
  }

  /** The first argument of {@link last}. */
  value(name: string): string | undefined {
    return this.last(name)?.args[0];
  }

  /** `text` with variables that `set` gave a value which never changes. */
  filled(text: string): string {
    return text.replaceAll(VARIABLE, (whole, long: string | undefined, short: string | undefined) => {
      const name = `$${long ?? short}`;
      const sets = this.#blocks.flatMap((block) =>
        block.filter((d) => d.name === 'set' && d.args[0] === name),
      );
      const value = sets.length === 1 ? sets[0]?.args[1] : undefined;
      if (value === undefined || value.includes('$')) return whole;
      this.notes.take(...sets);
      return value;
    });
  }

  #of(block: readonly Directive[], names: readonly string[]): Directive[] {
    const found = block.filter(({ name }) => names.includes(name));
    this.notes.take(...found);
    return found;
  }
}

/** `$name` or `${name}`. */
export const VARIABLE = /\$(?:\{(\w+)\}|(\w+))/g;
