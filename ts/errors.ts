/**
 * errors: what this layer throws. Each error says what failed, why, and what to do about it.
 *
 * Every error that reaches a caller on purpose is a {@link GateError} with a `code` from {@link Code};
 * anything else is a bug. Errors of the addon arrive as `Error` with a string `code` and are wrapped by
 * {@link wrap}.
 */

/** The stable names of what can go wrong; programs test these, people read the message. */
export type Code =
  /** No config file was named and none was found. */
  | 'config_not_found'
  /** The config file exists, but cannot be read. */
  | 'config_unreadable'
  /** The config was read and has faults; see {@link ConfigError.faults}. */
  | 'config_invalid'
  /** No such revision of the config is kept. */
  | 'config_not_kept'
  /** `init` would overwrite a file. */
  | 'config_exists'
  /** The config cannot be written. */
  | 'config_unwritable'
  /** A listener's address cannot be bound. */
  | 'bind_failed'
  /** The admin listener's address cannot be bound. */
  | 'admin_bind_failed'
  /** The native part is missing or does not load here. */
  | 'addon_missing'
  /** The native part is of another version than this package. */
  | 'addon_mismatch'
  /** The admin listener of the running gateway does not answer. */
  | 'admin_unreachable'
  /** The running gateway refused a reload. */
  | 'reload_refused'
  /** The gateway was closed before. */
  | 'closed'
  /** The command line makes no sense. */
  | 'usage'
  /** The server engine that was asked for does not run here. */
  | 'server_unavailable'
  /** An answer broke off. */
  | 'cut'
  /** An app can forward only what came by a direct door. */
  | 'not_direct'
  /** No upstream of that name is in the config. */
  | 'unknown_upstream'
  /** What it needs of Node or the system is not there. */
  | 'not_supported'
  /** A certificate that was to be published cannot be served. */
  | 'certificate_refused'
  /** The access log cannot be written. */
  | 'access_log_failed'
  /** The system gave no thread or descriptor. */
  | 'system'
  /** A bug of this program. */
  | 'internal';

/** One thing wrong with a config, as the core names it. */
export interface Fault {
  /** Where: `routes[0].filters[1].rate`; empty for the whole text. */
  path: string;
  /** True if the key itself is at fault and not its value. */
  onKey: boolean;
  /** What is wrong, without the path. */
  why: string;
  /** What to do about it; may be empty. */
  fix: string;
}

/** A fault, and where it is in a file if that is known. */
export interface LocatedFault extends Fault {
  /** The file, as messages call it; the path of the fault is the one in this file. */
  file?: string;
  /** From 1. */
  line?: number;
  /** From 1, in UTF-16 units. */
  column?: number;
}

/** What failed, why, and what mends it. */
export class GateError extends Error {
  override readonly name: string = 'GateError';
  /** Which of the known troubles this is. */
  readonly code: Code;
  /** What to do about it; may be empty. It is part of the message too. */
  readonly fix: string;

  constructor(code: Code, why: string, fix = '', options?: ErrorOptions) {
    super(fix === '' ? why : `${why} (${fix})`, options);
    this.code = code;
    this.fix = fix;
  }
}

/** A config with faults; the message is the report that `check` prints. */
export class ConfigError extends GateError {
  override readonly name = 'ConfigError';
  /** All faults, in the order of the text where that is known. */
  readonly faults: readonly LocatedFault[];

  constructor(report: string, findings: readonly ({ fault: Fault } & Omit<LocatedFault, keyof Fault>)[]) {
    super('config_invalid', report);
    this.faults = findings.map(({ fault, ...place }) => ({ ...fault, ...place }));
  }
}

/** An error of the addon or of Node as a {@link GateError}; one that is ours already is handed back. */
export function wrap(error: unknown, otherwise: Code = 'internal'): GateError {
  if (error instanceof GateError) return error;
  const { code, message } = error as { code?: unknown; message?: unknown };
  const text = typeof message === 'string' ? message : String(error);
  const word = code === 'closing' ? 'closed' : code;
  const known = typeof word === 'string' && Object.hasOwn(FIXES, word) ? (word as Code) : otherwise;
  return new GateError(known, text, FIXES[known] ?? '', { cause: error });
}

/** The codes that come from below, and what mends them beyond their message. */
const FIXES: Partial<Record<Code, string>> = {
  // The core's own messages say what to do.
  config_invalid: '',
  bind_failed: '',
  access_log_failed: '',
  certificate_refused: '',
  system: '',
  closed: 'create a new gateway',
  addon_missing: '',
  addon_mismatch: '',
};
