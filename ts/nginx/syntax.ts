/**
 * syntax: nginx's configuration syntax, to directives with their places.
 *
 * Words are read as nginx reads them (`ngx_conf_read_token`): quotes only count where a word begins, a `#` only there begins a
 * comment, `\` takes the meaning from what follows it, and `${` of a variable opens no block. The code of `*_by_lua_block` is
 * one word: braces in it are counted, quotes and comments of Lua are not read.
 * Errors: `config_invalid` with file and line. Bounds: {@link MAX_DEPTH} blocks in each other.
 */
import { GateError } from '../errors.js';

/** A directive: its words, its block if it has one, and where it begins. */
export interface Directive {
  readonly name: string;
  readonly args: readonly string[];
  /** What stands between its braces; undefined for one that ends in a semicolon. */
  readonly block: Directive[] | undefined;
  /** The file as messages call it. */
  readonly file: string;
  /** From 1. */
  readonly line: number;
}

/** Reads `text`; `file` is what messages call it. */
export function parse(text: string, file: string): Directive[] {
  return new Reader(text, file).block(0);
}

type Token = { kind: 'word'; text: string; line: number } | { kind: ';' | '{' | '}' | 'end'; line: number };

class Reader {
  readonly #text: string;
  readonly #file: string;
  #at = 0;
  #line = 1;

  constructor(text: string, file: string) {
    this.#text = text;
    this.#file = file;
  }

  block(depth: number): Directive[] {
    if (depth > MAX_DEPTH) throw this.#fault(`there are more than ${MAX_DEPTH} blocks in each other`, '');
    const found: Directive[] = [];
    for (;;) {
      const first = this.#token();
      if (first.kind === 'end' && depth > 0)
        throw this.#fault('the file ends inside of a block', 'write the missing }');
      if (first.kind === 'end' || (first.kind === '}' && depth > 0)) return found;
      if (first.kind !== 'word')
        throw this.#fault(`there is a ${first.kind} where a directive begins`, 'remove it');
      found.push(this.#directive(first.text, first.line, depth));
    }
  }

  #directive(name: string, line: number, depth: number): Directive {
    const args: string[] = [];
    for (;;) {
      const token = this.#token();
      if (token.kind === 'word') {
        args.push(token.text);
        continue;
      }
      const whole = { name, args, file: this.#file, line };
      if (token.kind === ';') return { ...whole, block: undefined };
      if (token.kind === '{') {
        if (name.endsWith('_by_lua_block')) {
          args.push(this.#code());
          return { ...whole, block: undefined };
        }
        return { ...whole, block: this.block(depth + 1) };
      }
      throw this.#fault(`${name} has no ; at its end`, `it begins in line ${line}`);
    }
  }

  #token(): Token {
    this.#skip();
    const line = this.#line;
    const sign = this.#text[this.#at];
    if (sign === undefined) return { kind: 'end', line };
    if (sign === ';' || sign === '{' || sign === '}') {
      this.#at += 1;
      return { kind: sign, line };
    }
    return { kind: 'word', text: sign === '"' || sign === "'" ? this.#quoted(sign) : this.#word(), line };
  }

  #skip(): void {
    for (; ; this.#at += 1) {
      const sign = this.#text[this.#at];
      if (sign === '#') {
        const end = this.#text.indexOf('\n', this.#at);
        this.#at = end === -1 ? this.#text.length : end;
      }
      if (this.#text[this.#at] === '\n') this.#line += 1;
      else if (!SPACE.has(this.#text[this.#at] ?? '')) return;
    }
  }

  #quoted(quote: string): string {
    const begun = this.#line;
    let word = '';
    for (this.#at += 1; ; this.#at += 1) {
      const sign = this.#text[this.#at];
      if (sign === undefined)
        throw this.#fault(`a ${quote} is not closed`, `it is opened in line ${begun}`, begun);
      if (sign === quote) break;
      if (sign === '\n') this.#line += 1;
      word += sign === '\\' ? this.#escape() : sign;
    }
    this.#at += 1;
    const next = this.#text[this.#at];
    if (
      next !== undefined &&
      next !== ';' &&
      next !== '{' &&
      next !== ')' &&
      !SPACE.has(next) &&
      next !== '\n'
    )
      throw this.#fault(`there is ${JSON.stringify(next)} right behind a closing ${quote}`, 'write a space');
    return word;
  }

  #word(): string {
    let word = '';
    for (; ; this.#at += 1) {
      const sign = this.#text[this.#at];
      if (sign === undefined || sign === ';' || sign === '\n' || SPACE.has(sign)) return word;
      // `${name}` is a variable; any other brace opens a block.
      if (sign === '{' && !word.endsWith('$')) return word;
      word += sign === '\\' ? this.#escape() : sign;
    }
  }

  /** What a backslash and the sign behind it are; stays at the last of the two. */
  #escape(): string {
    const next = this.#text[this.#at + 1];
    if (next === undefined) return '\\';
    this.#at += 1;
    if (next === '\n') this.#line += 1;
    return ESCAPES[next] ?? `\\${next}`;
  }

  /** The text up to the brace that closes the one just read. */
  #code(): string {
    const [from, begun] = [this.#at, this.#line];
    for (let open = 1; ; this.#at += 1) {
      const sign = this.#text[this.#at];
      if (sign === undefined) throw this.#fault('the code in a block has no end', '', begun);
      if (sign === '\n') this.#line += 1;
      if (sign === '{') open += 1;
      if (sign === '}') open -= 1;
      if (open === 0) break;
    }
    this.#at += 1;
    return this.#text.slice(from, this.#at - 1);
  }

  #fault(why: string, fix: string, line = this.#line): GateError {
    return new GateError('config_invalid', `${this.#file}:${line}: ${why}`, fix);
  }
}

/** Blocks in each other; nginx's own configs have five. */
const MAX_DEPTH = 64;
const SPACE: ReadonlySet<string> = new Set([' ', '\t', '\r', '\uFEFF']);
const ESCAPES: Record<string, string> = {
  '"': '"',
  "'": "'",
  '\\': '\\',
  t: '\t',
  r: '\r',
  n: '\n',
};
