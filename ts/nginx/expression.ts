/**
 * expression: whether the core takes a regular expression of nginx's (PCRE); the core is asked, for it knows.
 */
import { check } from '../native.js';

/** Why the core refuses `regex`, or undefined if it takes it. */
export function expressionFault(regex: string): string | undefined {
  const config = {
    listeners: [{ name: 'web', bind: '127.0.0.1:0' }],
    routes: [{ name: 'a', match: { path: `~${regex}` }, filters: [{ use: 'respond' }] }],
  };
  return check(JSON.stringify(config), '/', false).faults[0]?.why;
}
