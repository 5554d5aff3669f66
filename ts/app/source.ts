/**
 * source: where a place of a bundled module is in the user's own file, by the source map at the bundle's end.
 *
 * The stack of a thread that has source maps on names the user's files already.
 */
import { readFileSync } from 'node:fs';
import { SourceMap } from 'node:module';
import { dirname, resolve } from 'node:path';

/** `file:line:column`, counted from 1; of the user's file if the bundle's map knows it. */
export function original(file: string, line: number, column: number): string {
  const found = mapOf(file)?.findOrigin(line, column);
  if (found === undefined || !('fileName' in found)) return `${file}:${line}:${column}`;
  return `${resolve(dirname(file), found.fileName.replace('file://', ''))}:${found.lineNumber}:${found.columnNumber}`;
}

/** `file:line:column` of the first frame of a stack that is the user's. */
export function placeOf(stack: string | undefined): string | undefined {
  const frames = stack?.split('\n').filter((line) => /^\s+at /.test(line)) ?? [];
  const own = frames.find(
    (line) => !line.includes('node:') && !line.includes('/node_modules/') && !line.includes(OURS),
  );
  return own === undefined
    ? undefined
    : /\(?((?:file:\/\/)?\/[^()]*:\d+:\d+)\)?$/.exec(own)?.[1]?.replace('file://', '');
}

/** Where this package's own code is. */
const OURS = new URL('../', import.meta.url).href.replace('file://', '');

function mapOf(file: string): SourceMap | undefined {
  try {
    const text = readFileSync(file, 'utf8');
    const at = text.lastIndexOf(MARK);
    if (at < 0) return undefined;
    return new SourceMap(JSON.parse(Buffer.from(text.slice(at + MARK.length), 'base64').toString('utf8')));
  } catch {
    return undefined; // a file of Node's own, or one that is gone
  }
}

const MARK = '//# sourceMappingURL=data:application/json;base64,';
