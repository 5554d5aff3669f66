/**
 * order: one order of one certificate for one domain, by acme-client.
 *
 * Source: RFC 8555 section 7.4, RFC 8737. Bounds: {@link ORDER_MS} for all of it.
 */
import { readFile } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { type Authorization, Client, crypto } from 'acme-client';
import type { AcmeSettings } from '../native.js';
import type { Challenge } from './challenge.js';
import { type Exchange, within } from './exchange.js';
import { OrderFailure } from './failure.js';
import { newKey } from './stored.js';

/** Has a challenge answered; what it returns ends that. */
export type Answer = (challenge: Challenge) => Promise<() => void>;

/** A certificate as it was issued. */
export interface Issued {
  /** With its chain, PEM. */
  cert: string;
  /** Its key, PEM. */
  key: string;
}

/**
 * Orders a certificate with a key of its own.
 *
 * @param wanted what for, and where; `ca` is a path.
 * @param accountKey PEM; an account is made if it has none.
 * @param answerIt has the authority's challenges answered.
 * @param signal when it fires, the order is given up.
 * @throws OrderFailure; and the signal's reason, if it fired.
 */
export async function order(
  wanted: AcmeSettings,
  accountKey: string,
  answerIt: Answer,
  signal: AbortSignal,
): Promise<Issued> {
  const own = new AbortController();
  const stop = (): void => own.abort(signal.reason);
  signal.throwIfAborted();
  signal.addEventListener('abort', stop);
  const late = new OrderFailure('timeout', `the order was not done within ${ORDER_MS / 1_000} s`);
  const timer = setTimeout(() => own.abort(late), ORDER_MS);
  const exchange: Exchange = { ca: await trusted(wanted), signal: own.signal };
  try {
    return await within(exchange, () => place(wanted, accountKey, answerIt, own.signal));
  } catch (error) {
    if (own.signal.aborted) throw own.signal.reason;
    throw failure(error, exchange);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', stop);
  }
}

async function trusted({ ca }: AcmeSettings): Promise<string | undefined> {
  if (ca === undefined) return undefined;
  try {
    return await readFile(ca, 'utf8');
  } catch (error) {
    throw new OrderFailure('directory', `ca cannot be read: ${(error as Error).message}`);
  }
}

async function place(
  wanted: AcmeSettings,
  accountKey: string,
  answerIt: Answer,
  signal: AbortSignal,
): Promise<Issued> {
  const { domain, directory: directoryUrl, email } = wanted;
  const client = new Client({ directoryUrl, accountKey });
  // With a key that is known this finds its account.
  await client.createAccount({
    termsOfServiceAgreed: true,
    ...(email === undefined ? {} : { contact: [`mailto:${email}`] }),
  });
  const placed = await client.createOrder({ identifiers: [{ type: 'dns', value: domain }] });
  for (const authorization of await client.getAuthorizations(placed)) {
    if (authorization.status !== 'valid') await prove(client, wanted, authorization, answerIt, signal);
  }
  const key = newKey();
  const [, request] = await crypto.createCsr({ altNames: [domain] }, key);
  await client.finalizeOrder(placed, request);
  const done = await settled(() => client.getOrder(placed), signal);
  if (done.status !== 'valid') {
    throw new OrderFailure('refused', detail(done.error) ?? `the order became ${done.status}`);
  }
  return { cert: await client.getCertificate(done), key };
}

async function prove(
  client: Client,
  { domain, challenge: type }: AcmeSettings,
  authorization: Authorization,
  answerIt: Answer,
  signal: AbortSignal,
): Promise<void> {
  const all = authorization.challenges;
  const challenge = all.find((one) => (one.type as string) === type);
  if (challenge === undefined) {
    const offered = all.map((one) => one.type).join(', ');
    throw new OrderFailure('challenge', `the authority offers ${offered || 'nothing'}, not ${type}`, {
      fix: 'write another challenge',
    });
  }
  const answer = await client.getChallengeKeyAuthorization(challenge);
  const { token } = challenge;
  const clear = await answerIt({ type, name: authorization.identifier.value, token, answer });
  try {
    await client.completeChallenge(challenge);
    const look = async (): Promise<Authorization> => {
      const [one] = await client.getAuthorizations({ authorizations: [authorization.url] } as never);
      return one ?? authorization;
    };
    const done = await settled(look, signal);
    if (done.status === 'valid') return;
    const failed = done.challenges.find((one) => one.error !== undefined);
    throw new OrderFailure('challenge', detail(failed?.error) ?? `it became ${done.status}`, {
      fix: `${domain} must lead here, for the authority and anybody: ${WHERE[type] ?? ''}`,
    });
  } finally {
    clear();
  }
}

/** Looks until the authority has decided. */
async function settled<T extends { status: string }>(
  look: () => Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  for (let wait = POLL_MS; ; wait = Math.min(wait * 2, MOST_POLL_MS)) {
    const seen = await look();
    if (seen.status !== 'pending' && seen.status !== 'processing') return seen;
    await pause(wait, undefined, { signal });
  }
}

function failure(error: unknown, { problem, retryAfterMs }: Exchange): OrderFailure {
  if (error instanceof OrderFailure) return error;
  const why = (error as Error).message;
  if (problem === undefined) {
    // acme-client has words only for answers that are no success, and for directories that are none.
    return new OrderFailure(
      retryAfterMs === undefined ? 'directory' : 'rate_limited',
      why || 'the authority gave no sense',
      { retryAfterMs: retryAfterMs ?? 0 },
    );
  }
  const code = PROBLEMS[problem] ?? 'refused';
  return new OrderFailure(code, `${problem}: ${why}`, { retryAfterMs: retryAfterMs ?? 0 });
}

function detail(error: unknown): string | undefined {
  const { type, detail: words } = (error ?? {}) as { type?: unknown; detail?: unknown };
  if (typeof words !== 'string') return undefined;
  return typeof type === 'string' ? `${type.split(':').at(-1)}: ${words}` : words;
}

/** Problem types (RFC 8555 section 6.7) that say more than that an order was refused. */
const PROBLEMS: Record<string, OrderFailure['code']> = {
  rateLimited: 'rate_limited',
  accountDoesNotExist: 'account',
  externalAccountRequired: 'account',
  invalidContact: 'account',
  unsupportedContact: 'account',
  unauthorized: 'account',
  userActionRequired: 'account',
};
const WHERE: Record<string, string> = {
  'tls-alpn-01': 'port 443 of it to a listener with tls',
  'http-01': 'port 80 of it to a listener without tls',
};
const ORDER_MS = 180_000;
const POLL_MS = 250;
const MOST_POLL_MS = 10_000;
