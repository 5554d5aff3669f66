/**
 * notes: what becomes of each directive. One that nothing took note of is found at the end, so none is dropped in silence.
 */
import { adviceOf, HANDLED } from './advice.js';
import type { Directive } from './syntax.js';

/**
 * - `left_out`: the new config does not do this; the import ends with 1.
 * - `differs`: it does, in another way.
 * - `not_needed`: nothing is lost: the gateway does it by itself, or nothing uses it.
 */
export type Kind = 'left_out' | 'differs' | 'not_needed';

/** One line of the report. */
export interface Note {
  kind: Kind;
  /** `FILE:LINE`. */
  at: string;
  /** The directive's words. */
  directive: string;
  why: string;
  /** What to do; may be empty. */
  instead: string;
}

/** The notes of one import. */
export class Notes {
  readonly #taken = new Set<Directive>();
  readonly #notes = new Map<string, Note>();

  /** These are in the new config. */
  take(...directives: Directive[]): void {
    for (const directive of directives) this.#taken.add(directive);
  }

  /** This is not in the new config. */
  leave(directive: Directive, why: string, instead: string): void {
    this.#whole(directive);
    this.#add('left_out', directive, why, instead);
  }

  /** This is in the new config, but not exactly. */
  differ(directive: Directive, why: string, instead = ''): void {
    this.#add('differs', directive, why, instead);
  }

  /** Nothing is lost without this. */
  spare(directive: Directive, why: string): void {
    this.#add('not_needed', directive, why, '');
  }

  /** Looks at all that nobody took. */
  rest(directives: readonly Directive[]): void {
    for (const directive of directives) {
      if (this.#taken.has(directive)) {
        this.rest(directive.block ?? []);
        continue;
      }
      const { kind, why, instead } = adviceOf(directive);
      if (HANDLED.has(directive.name)) this.spare(directive, 'nothing that is served uses it');
      else this.#add(kind, directive, why, instead);
    }
  }

  /** All notes, by kind and place; what is left out comes first. */
  all(): Note[] {
    const kinds: Kind[] = ['left_out', 'differs', 'not_needed'];
    return kinds.flatMap((kind) => [...this.#notes.values()].filter((note) => note.kind === kind));
  }

  /** With what stands within: it is told of as one. */
  #whole(directive: Directive): void {
    this.take(directive);
    for (const each of directive.block ?? []) this.#whole(each);
  }

  #add(kind: Kind, directive: Directive, why: string, instead: string): void {
    this.#taken.add(directive);
    const note = { kind, at: at(directive), directive: words(directive), why, instead };
    // A directive that holds at several places is told of once.
    this.#notes.set(`${kind} ${note.at} ${note.directive} ${why}`, note);
  }
}

/** `FILE:LINE`. */
export function at({ file, line }: Directive): string {
  return `${file}:${line}`;
}

/** The directive on one line, cut short. */
export function words({ name, args, block }: Directive): string {
  const whole = [name, ...args].join(' ').replaceAll(/\s+/g, ' ') + (block === undefined ? '' : ' {…}');
  return whole.length > MAX_WORDS ? `${whole.slice(0, MAX_WORDS - 1)}…` : whole;
}

/** The report as people read it; no newline at the end. */
export function report(notes: readonly Note[]): string {
  return SECTIONS.flatMap(([kind, title]) => {
    const own = notes.filter((note) => note.kind === kind);
    const lines = own.flatMap(({ at, directive, why, instead }) => [
      `  ${at}  ${directive}`,
      `      ${why}${instead === '' ? '' : `; ${instead}`}`,
    ]);
    return own.length === 0 ? [] : [`${title} (${own.length}):`, ...lines];
  }).join('\n');
}

const SECTIONS: [Kind, string][] = [
  ['left_out', 'Not carried over'],
  ['differs', 'Carried over, with a difference'],
  ['not_needed', 'Not needed'],
];
const MAX_WORDS = 72;
