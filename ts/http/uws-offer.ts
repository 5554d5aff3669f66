/**
 * uws-offer: which offer of permessage-deflate uWebSockets.js is to see. RFC 7692 section 7.1.
 *
 * The library takes any offer, though its shared compressor has a window of 15 bits and no other: a client that asked for a smaller one, because it
 * has no memory for more, would get what it cannot unpack. It also guesses at parameters by a checksum of their letters.
 */

/**
 * The first offer that holds for the shared compressor, by itself; empty if there is none, and then nothing is compressed.
 *
 * @param field the value of `Sec-WebSocket-Extensions`
 */
export function offerFor(field: string | undefined): string {
  return field?.split(',').find(isKept)?.trim() ?? '';
}

function isKept(offer: string): boolean {
  const [name, ...parameters] = offer.split(';').map((word) => word.trim());
  if (name !== 'permessage-deflate') return false;
  const names = parameters.map((parameter) => parameter.replace(/\s*=.*/s, ''));
  return new Set(names).size === names.length && parameters.every((parameter) => KEPT.test(parameter));
}

/** A window for the server would have to be said in the answer, which the library does not. */
const KEPT =
  /^(?:(?:server|client)_no_context_takeover|client_max_window_bits(?:\s*=\s*"?(?:[89]|1[0-5])"?)?)$/;
