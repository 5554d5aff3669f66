/**
 * Offers of permessage-deflate that reach uWebSockets.js: those that hold for a window of 15 bits, one at a time. RFC 7692 section 7.1.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { offerFor } from '../../ts/http/uws-offer.js';

const PLAIN = 'permessage-deflate';
const CASES: readonly (readonly [field: string | undefined, kept: string])[] = [
  [undefined, ''],
  ['', ''],
  [PLAIN, PLAIN],
  [` ${PLAIN} ;client_max_window_bits `, `${PLAIN} ;client_max_window_bits`],
  [`${PLAIN}; client_max_window_bits=8`, `${PLAIN}; client_max_window_bits=8`],
  [`${PLAIN}; client_max_window_bits="15"`, `${PLAIN}; client_max_window_bits="15"`],
  [`${PLAIN}; client_max_window_bits=7`, ''],
  [`${PLAIN}; client_max_window_bits=16`, ''],
  [`${PLAIN}; client_max_window_bits=`, ''],
  [
    `${PLAIN}; client_no_context_takeover; server_no_context_takeover`,
    `${PLAIN}; client_no_context_takeover; server_no_context_takeover`,
  ],
  [`${PLAIN}; client_no_context_takeover; client_no_context_takeover`, ''],
  [`${PLAIN}; client_no_context_takeover=1`, ''],
  [`${PLAIN}; server_max_window_bits=9`, ''],
  [`${PLAIN}; server_max_window_bits=15`, ''],
  [`${PLAIN}; server_max_window_bits=9, ${PLAIN}`, PLAIN],
  [
    `${PLAIN}; unknown, x-other; a=b, ${PLAIN}; server_no_context_takeover`,
    `${PLAIN}; server_no_context_takeover`,
  ],
  // The library adds letters up: this is the sum of permessage-deflate.
  ['permessage-deflaet', ''],
  ['x-webkit-deflate-frame', ''],
];

for (const [field, kept] of CASES) {
  test(`${field} becomes '${kept}'`, () => assert.equal(offerFor(field), kept));
}
