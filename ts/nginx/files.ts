/**
 * files: `root`, `alias`, `index` and `try_files`, to the filter static.
 */
import { isAbsolute, join } from 'node:path';
import type { Filter } from '../generated/config.js';
import { type Context, closed, from } from './context.js';
import { escaped } from './places.js';
import type { Scope } from './scope.js';
import type { Directive } from './syntax.js';

/** The filters that serve files; `text` is the prefix of the location, empty for a server's own. */
export function files(context: Context, scope: Scope, text: string, user: Directive): Filter[] {
  const { notes } = context;
  const [alias] = scope.own('alias');
  const folder = alias ?? scope.last('root');
  if (folder === undefined) {
    const filter = { use: 'respond', status: 404 } as Filter;
    context.origins.set(
      filter,
      `${user.file}:${user.line} serves the files of nginx's own folder, which is not carried over`,
    );
    return [filter];
  }
  const [path = ''] = folder.args;
  const tries = scope.last('try_files');
  const found: Record<string, unknown> = {
    use: 'static',
    root: isAbsolute(path) ? path : join(context.folder, path),
  };
  const index = scope.last('index');
  const names = index?.args.filter((name) => !/[/$]/.test(name)) ?? [];
  if (names.length > 0 && names.join() !== 'index.html') found.index = names.slice(0, 8);
  if (scope.value('autoindex') === 'on') {
    const list = scope.last('autoindex');
    if (list !== undefined) notes.leave(list, 'a folder is not listed', 'write an index.html');
  }
  if (tries !== undefined) {
    const last = fallback(tries.args);
    if (last === undefined || path.includes('$')) {
      notes.leave(
        tries,
        'files are tried at the path itself, then one page for all',
        'write routes for the rest',
      );
      return [closed(context, tries)];
    }
    const inside = alias !== undefined && last.startsWith(text) ? last.slice(text.length) : last;
    if (inside !== '') found.fallback = inside.replace(/^\//, '');
  }
  if (path.includes('$')) {
    notes.leave(folder, 'a folder has no variables', 'write a route for each');
    return [closed(context, folder)];
  }
  const others = [...(index === undefined ? [] : [index]), ...(tries === undefined ? [] : [tries])];
  const filter = from(context, found as unknown as Filter, folder, ...others);
  if (alias === undefined || text === '' || text === '/') return [filter];
  if (!text.endsWith('/') || !path.endsWith('/')) {
    notes.differ(alias, 'whole segments are taken off, not signs');
  }
  const off: Filter = { use: 'rewrite', strip_prefix: escaped(text.replace(/\/$/, '')) };
  const strip = from(context, off, alias);
  return [strip, filter];
}

/** What answers where there is no file: a path, empty for 404; undefined for what is not carried over. */
function fallback(args: readonly string[]): string | undefined {
  const last = args.at(-1) ?? '';
  if (!args.slice(0, -1).every((tried) => tried === '$uri' || tried === '$uri/')) return undefined;
  if (last === '=404' || last === '$uri' || last === '$uri/') return '';
  return /^\/[^$?@]*$/.test(last) ? last : undefined;
}
