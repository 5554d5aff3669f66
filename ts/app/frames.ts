/**
 * frames: messages on topics as they go to other nodes: many in one frame.
 *
 * A frame is a byte for its form, {@link NODE_BYTES} that say which node it is from, and messages. A message is a byte for its kind (0
 * text, 1 bytes), the length of its topic in 2 bytes and its own in 4, big-endian, and both, text in UTF-8.
 * Errors: `RangeError` for what is no frame.
 */
import type { Chunk } from '../http/server-types.js';
import { MAX_TOPIC } from './topics.js';

/** Bytes of the name of a node. */
export const NODE_BYTES = 8;

/** A message as it lies in a frame. */
export function packed(topic: string, message: Chunk): Buffer {
  const name = Buffer.from(topic);
  const isText = typeof message === 'string';
  const body = isText ? Buffer.from(message) : message;
  const head = Buffer.alloc(HEAD_BYTES);
  head.writeUInt8(isText ? 0 : 1);
  head.writeUInt16BE(name.length, 1);
  head.writeUInt32BE(body.length, 3);
  return Buffer.concat([head, name, body]);
}

/** A frame of messages. */
export function framed(node: Buffer, messages: readonly Buffer[]): Buffer {
  return Buffer.concat([FORM, node, ...messages]);
}

/** Hands each message of a frame to `take`, unless it is from this node. */
export function unframe(frame: Buffer, node: Buffer, take: (topic: string, message: Chunk) => void): void {
  if (frame.length < 1 + NODE_BYTES || frame[0] !== FORM[0]) throw new RangeError('it is of another form');
  if (frame.subarray(1, 1 + NODE_BYTES).equals(node)) return;
  let at = 1 + NODE_BYTES;
  while (at < frame.length) {
    if (frame.length - at < HEAD_BYTES) throw new RangeError('it ends within a head');
    const kind = frame.readUInt8(at);
    const nameEnd = at + HEAD_BYTES + frame.readUInt16BE(at + 1);
    const end = nameEnd + frame.readUInt32BE(at + 3);
    if (end > frame.length) throw new RangeError('it ends within a message');
    const topic = frame.toString('utf8', at + HEAD_BYTES, nameEnd);
    if (topic.length === 0 || topic.length > MAX_TOPIC) throw new RangeError('it has a topic that is none');
    if (kind > 1) throw new RangeError(`it has a message of kind ${kind}`);
    take(
      topic,
      kind === 0 ? frame.toString('utf8', nameEnd, end) : new Uint8Array(frame.subarray(nameEnd, end)),
    );
    at = end;
  }
}

const FORM = Buffer.of(1);
const HEAD_BYTES = 7;
