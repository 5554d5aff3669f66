/**
 * challenge: what an authority asks to prove a domain, and how the core is made to answer.
 *
 * Source: RFC 8555 section 8.3 (HTTP-01), RFC 8737 (TLS-ALPN-01).
 */
import { type Authorization, crypto } from 'acme-client';
import { OrderFailure } from './failure.js';
import { newKey } from './stored.js';

/** One challenge. */
export interface Challenge {
  /** `tls-alpn-01` or `http-01`. */
  readonly type: string;
  /** The domain. */
  readonly name: string;
  readonly token: string;
  /** The key authorization that is the answer. */
  readonly answer: string;
}

/** Answers challenges: the core. */
export interface Answers {
  setChallenge(name: string, cert: string, key: string): void;
  clearChallenge(name: string): boolean;
  setHttpChallenge(token: string, answer: string): boolean;
  clearHttpChallenge(token: string): boolean;
}

/**
 * Makes the core answer; returns what ends that.
 *
 * @throws OrderFailure if it cannot be answered.
 */
export async function answerBy(answers: Answers, challenge: Challenge): Promise<() => void> {
  const { type, name, token, answer } = challenge;
  if (type === 'http-01') {
    if (!answers.setHttpChallenge(token, answer)) {
      throw new OrderFailure('challenge', 'the token cannot be answered', { fix: 'see the authority' });
    }
    return () => void answers.clearHttpChallenge(token);
  }
  const authorization = { identifier: { type: 'dns', value: name } } as Authorization;
  const [key, cert] = await crypto.createAlpnCertificate(authorization, answer, newKey());
  try {
    answers.setChallenge(name, cert.toString(), key.toString());
  } catch (error) {
    throw new OrderFailure('internal', (error as Error).message);
  }
  return () => void answers.clearChallenge(name);
}
