/**
 * report: faults as `ironsluice check` prints them.
 *
 * ```text
 * ironsluice.yaml: 2 faults
 *   14:13  routes[0].filters[1].rate   "0/s" is below the least rate, 1/h   (remove the filter to lift the limit)
 *   21:10  routes[2].filters[0].use    no filter is called "ratelimit"      (did you mean "rate_limit"?)
 * ```
 * Columns are as wide as their widest cell, to {@link MAX_WIDTH}. Control characters of the file are made
 * visible, so that a config cannot drive the terminal.
 */
import type { Fault } from '../errors.js';

/** A fault, and where it is if that is known; line and column from 1. */
export interface Finding {
  fault: Fault;
  /** What messages call its file; without it, what they call the config. */
  file?: string;
  line?: number;
  column?: number;
}

/** The report on the config called `label`, file by file; no newline at the end. */
export function report(label: string, findings: readonly Finding[]): string {
  const files = new Map<string, Finding[]>();
  for (const finding of findings) {
    const file = finding.file ?? label;
    const found = files.get(file);
    if (found === undefined) files.set(file, [finding]);
    else found.push(finding);
  }
  if (files.size === 0) files.set(label, []);
  return [...files].map(([file, found]) => section(file, found)).join('\n');
}

function section(label: string, findings: readonly Finding[]): string {
  const rows = findings.map(({ fault, line, column }) => [
    line === undefined ? '' : `${line}:${column}`,
    visible(fault.path),
    visible(fault.why),
    fault.fix === '' ? '' : `(${visible(fault.fix)})`,
  ]);
  const widths = [0, 1, 2].map((i) =>
    Math.min(MAX_WIDTH, Math.max(0, ...rows.map((row) => row[i]?.length ?? 0))),
  );
  const lines = rows.map((row) => {
    const cells = row.map((cell, i) => (i < 3 ? cell.padEnd(widths[i] ?? 0) : cell));
    const [place = '', path = '', why = '', fix = ''] = cells;
    const from = widths[0] === 0 ? '' : `${place}  `;
    const what = widths[1] === 0 ? '' : `${path}   `;
    return `  ${from}${what}${why}   ${fix}`.trimEnd();
  });
  const count = findings.length === 1 ? '1 fault' : `${findings.length} faults`;
  return [`${label}: ${count}`, ...lines].join('\n');
}

function visible(text: string): string {
  return text.replace(CONTROL, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it looks for
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;
const MAX_WIDTH = 72;
