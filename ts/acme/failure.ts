/**
 * failure: why an order brought no certificate, in words for people and one for metrics.
 */

/** Each is a value of `code` of `ironsluice_acme_order_failures_total`; what to do about it. */
export const FIXES = {
  directory: 'check the URL, the network, and ca if the authority is private',
  account: 'check email, and whether the authority wants accounts that were made elsewhere',
  rate_limited: 'the authority wants fewer orders: it is tried again when it allows',
  refused: 'the authority does not issue for this domain: see what it says',
  challenge: '',
  timeout: 'the authority is slow: it is tried again',
  certificate: 'what was issued cannot be used: compare the clocks of both sides',
  storage: 'make state_dir a directory that this user alone can write to',
  internal: 'this is a bug: please report it',
} as const;

/** Why, as a word. */
export type FailureCode = keyof typeof FIXES;

/** An order that brought no certificate. */
export class OrderFailure extends Error {
  readonly code: FailureCode;
  /** What to do. */
  readonly fix: string;
  /** How long the authority wants to be left alone, in milliseconds. */
  readonly retryAfterMs: number;

  constructor(code: FailureCode, why: string, { fix = FIXES[code] as string, retryAfterMs = 0 } = {}) {
    super(why);
    this.code = code;
    this.fix = fix;
    this.retryAfterMs = retryAfterMs;
  }
}
