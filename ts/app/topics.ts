/**
 * topics: the way from who publishes to all that belongs to the same app.
 *
 * {@link Topics} is the port: it leads to the other threads of the process (`links.ts`). One of them may carry what it is told to other
 * nodes, and what it hears of them to the threads here (`carrier.ts`). Messages of one publisher arrive in the order in which they were published; between two
 * publishers there is none. A message is delivered once or, when a bound says so, not at all; there is no history.
 */
import type { Chunk } from '../http/server-types.js';

/** Hands on one message. `number` is 0, or that of an event (`order.ts`). */
export type Take = (topic: string, message: Chunk, number: number) => void;

/** From here to everyone else. */
export interface Topics {
  /** Sends; false when somebody lags so far behind that it will not get there. */
  publish(topic: string, message: Chunk, number: number): boolean;
  /** From now on `take` is called for what others publish. */
  receive(take: Take): void;
}

/** @throws TypeError or RangeError for what is no name of a topic. */
export function checkTopic(topic: string): void {
  if (typeof topic !== 'string') throw new TypeError(`a topic is a string, not ${typeof topic}`);
  if (topic.length === 0 || topic.length > MAX_TOPIC) {
    throw new RangeError(`a topic has 1 to ${MAX_TOPIC} characters, not ${topic.length}`);
  }
}

/** @throws TypeError for what is neither text nor bytes. */
export function checkMessage(message: Chunk): void {
  if (typeof message === 'string' || message instanceof Uint8Array) return;
  throw new TypeError(`a message is a string or a Uint8Array, not ${typeof message}: use JSON.stringify`);
}

/** Memory that a message takes on its way, in bytes; text may have two for each character. */
export function sizeOf(topic: string, message: Chunk): number {
  return FRAME + 2 * topic.length + (typeof message === 'string' ? 2 * message.length : message.length);
}

/** Characters of a topic's name. */
export const MAX_TOPIC = 256;
/** What keeps a message together. */
const FRAME = 64;
