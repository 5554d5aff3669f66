/**
 * exchange: how requests to ACME authorities are sent.
 *
 * acme-client has one client for HTTP for all of its users, so what belongs to one order (whom to trust, when to give
 * up, what the authority said) goes with the asynchronous context. That client is changed here: this module is for a
 * thread of its own. It does not try again within an order: the order is tried again, with the authority's wait.
 * Bounds: {@link REQUEST_MS} for a request, {@link ANSWER_BYTES} for an answer.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { Agent } from 'node:https';
import { axios } from 'acme-client';
import { version } from '../native.js';
import { OrderFailure } from './failure.js';

/** What belongs to one order. */
export interface Exchange {
  /** What vouches for the authority's HTTPS, PEM; by default what Node trusts. */
  readonly ca: string | undefined;
  /** When it fires, no request is sent any more. */
  readonly signal: AbortSignal;
  /** The last problem document of the authority: the word after `urn:ietf:params:acme:error:`. */
  problem?: string | undefined;
  /** What the authority last said in Retry-After, in milliseconds. */
  retryAfterMs?: number | undefined;
}

/** Runs `work`: requests of acme-client in it belong to this exchange. */
export async function within<T>(exchange: Exchange, work: () => Promise<T>): Promise<T> {
  const agent = new Agent({ ca: exchange.ca, keepAlive: true });
  try {
    return await CURRENT.run({ exchange, agent }, work);
  } finally {
    agent.destroy();
  }
}

const CURRENT = new AsyncLocalStorage<{ exchange: Exchange; agent: Agent }>();
const REQUEST_MS = 30_000;
const ANSWER_BYTES = 1 << 20;

axios.defaults.headers.common['User-Agent'] = `ironsluice/${version()} acme-client`;
axios.interceptors.request.use((config) => {
  const current = CURRENT.getStore();
  if (current === undefined) throw new Error('a request outside of an order');
  current.exchange.signal.throwIfAborted();
  return Object.assign(config, {
    httpsAgent: current.agent,
    signal: current.exchange.signal,
    timeout: REQUEST_MS,
    maxContentLength: ANSWER_BYTES,
    maxBodyLength: ANSWER_BYTES,
    // RFC 8555 section 6.1: the directory and what it names are HTTPS; a redirect could lead elsewhere.
    maxRedirects: 0,
  });
});
// acme-client's own sleeps without an end, and hides what went wrong with a connection.
axios.interceptors.response.clear();
axios.interceptors.response.use(
  note,
  (error: { response?: Answer; config?: { url?: string }; message: string }) => {
    if (error.response !== undefined) return note(error.response as never);
    CURRENT.getStore()?.exchange.signal.throwIfAborted();
    const host = error.config?.url === undefined ? 'the authority' : new URL(error.config.url).host;
    throw new OrderFailure('directory', `${host} cannot be reached: ${error.message || 'no connection'}`);
  },
);

interface Answer {
  status: number;
  data: unknown;
  headers: Record<string, unknown>;
}

function note<T extends Answer>(answer: T): T {
  const exchange = CURRENT.getStore()?.exchange;
  if (exchange !== undefined) {
    const { type } = (answer.data ?? {}) as { type?: unknown };
    // A nonce that was refused is nothing any more once the next was taken.
    exchange.problem = answer.status >= 400 && typeof type === 'string' ? type.split(':').at(-1) : undefined;
    exchange.retryAfterMs = answer.status >= 400 ? retryAfter(answer.headers['retry-after']) : undefined;
  }
  return answer;
}

/** Seconds or a date (RFC 9110 section 10.2.3), in milliseconds from now. */
export function retryAfter(value: unknown): number | undefined {
  if (typeof value !== 'string') return undefined;
  const ms = /^\d+$/.test(value) ? Number(value) * 1_000 : Date.parse(value) - Date.now();
  return Number.isFinite(ms) && ms > 0 ? ms : undefined;
}
