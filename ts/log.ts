/**
 * log: what the control side has to say, by pino, to standard error.
 *
 * Requests are never logged here: the access log is the core's. Writing is synchronous, so that the last
 * words before an exit are not lost; there are few of them. On a terminal a line is for people, elsewhere
 * it is JSON for machines; times are ISO 8601 in UTC.
 */
import {
  type DestinationStream,
  destination,
  type Logger,
  type LoggerOptions,
  pino,
  stdTimeFunctions,
} from 'pino';

/** A logger; `child` adds fields. */
export type Log = Logger;

/** What is written, and how. */
export interface LogOptions {
  /** The least level that is written; default `info`. `silent` writes nothing. */
  level?: Level | undefined;
  /** `auto` (the default) is `text` on a terminal and `json` elsewhere. */
  format?: 'auto' | 'json' | 'text' | undefined;
}

/** From most to least talkative. */
export const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
/** One of {@link LEVELS}. */
export type Level = (typeof LEVELS)[number];

/** A logger to standard error. */
export function createLog({ level = 'info', format = 'auto' }: LogOptions = {}): Log {
  const forPeople = format === 'text' || (format === 'auto' && process.stderr.isTTY);
  const options: LoggerOptions = {
    level,
    base: null,
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
  };
  return pino(options, forPeople ? PEOPLE : destination({ dest: 2, sync: true }));
}

/** `09:30:00 warn  message  key=value`, without colour: it reads the same in a file. */
const PEOPLE: DestinationStream = {
  write(line) {
    const { level, time, msg, ...rest } = JSON.parse(line) as Record<string, unknown>;
    const fields = Object.entries(rest).map(([key, value]) => `  ${key}=${field(value)}`);
    process.stderr.write(
      `${String(time).slice(11, 19)} ${String(level).padEnd(5)} ${String(msg)}${fields.join('')}\n`,
    );
  },
};

function field(value: unknown): string {
  if (typeof value === 'string') return value;
  const { message, code } = (value ?? {}) as { message?: unknown; code?: unknown };
  if (typeof message === 'string') return typeof code === 'string' ? `${code}: ${message}` : message;
  return JSON.stringify(value);
}
