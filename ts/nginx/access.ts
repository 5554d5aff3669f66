/**
 * access: who is let in. What cannot be carried over leaves its place closed: it answers 501 until somebody has looked at it.
 */
import { BlockList, isIPv6 } from 'node:net';
import type { Filter } from '../generated/config.js';
import { type Context, closed, from } from './context.js';
import type { Scope } from './scope.js';
import type { Directive } from './syntax.js';

/** The filters for `allow`, `deny`, `auth_basic` and their kin. */
export function access(context: Context, scope: Scope): Filter[] {
  const { notes } = context;
  const any = scope.last('satisfy');
  if (any?.args[0] === 'any') {
    notes.leave(any, 'all filters have to let a request in', 'write a route for each way in');
    return [closed(context, any)];
  }
  const found = addresses(context, scope.all('allow', 'deny'));
  for (const name of ['auth_basic', 'auth_request', 'auth_jwt', 'secure_link', 'valid_referers']) {
    const directive = scope.last(name);
    if (directive === undefined || directive.args[0] === 'off') continue;
    const { why, instead } = LOCKS[name] ?? {
      why: 'nobody is let in this way',
      instead: 'see api_key and plugin',
    };
    notes.leave(directive, why, instead);
    found.push(closed(context, directive));
    const file = scope.last('auth_basic_user_file');
    if (file !== undefined) notes.leave(file, why, instead);
  }
  const [internal] = scope.own('internal');
  if (internal !== undefined) found.push(from(context, { use: 'respond', status: 404 }, internal));
  return found;
}

/** nginx takes the first rule that fits, ip_rules the most specific: these are the same if no rule stands before a more specific one. */
function addresses(context: Context, rules: readonly Directive[]): Filter[] {
  const end = rules.findIndex(({ args }) => args[0] === 'all');
  const last = rules[end];
  const listed = (end === -1 ? rules : rules.slice(0, end)).filter(({ args }) => args[0] !== 'unix:');
  if (listed.length === 0) {
    return last?.name === 'deny' ? [from(context, { use: 'respond', status: 403 }, last)] : [];
  }
  const first = listed.find((rule, i) =>
    listed
      .slice(i + 1)
      .some((later) => later.name !== rule.name && holds(rule.args[0] ?? '', later.args[0] ?? '')),
  );
  if (first !== undefined) {
    const why = 'the most specific block decides, not the first that fits, and here these differ';
    context.notes.leave(first, why, 'write the filter ip_rules');
    return [closed(context, first)];
  }
  const blocks = (name: string): string[] =>
    listed.filter((rule) => rule.name === name).flatMap(({ args }) => args[0] ?? []);
  const [allow, deny] = [blocks('allow'), blocks('deny')];
  const otherwise = last?.name ?? 'allow';
  const found: Record<string, unknown> = { use: 'ip_rules' };
  if (allow.length > 0) found.allow = allow;
  if (deny.length > 0) found.deny = deny;
  if (otherwise !== (allow.length > 0 ? 'deny' : 'allow')) found.default = otherwise;
  return [from(context, found as unknown as Filter, ...rules)];
}

/** True if the first block holds the second. */
function holds(outer: string, inner: string): boolean {
  const [[at, bits], [of, most]] = [split(outer), split(inner)];
  if (isIPv6(at) !== isIPv6(of) || bits > most) return false;
  const list = new BlockList();
  const family = isIPv6(at) ? 'ipv6' : 'ipv4';
  list.addSubnet(at, bits, family);
  return list.check(of, family);
}

function split(block: string): [string, number] {
  const [address = '', bits] = block.split('/');
  return [address, bits === undefined ? (isIPv6(address) ? 128 : 32) : Number(bits)];
}

/** What is said of other ways in. */
const LOCKS: Record<string, { why: string; instead: string }> = {
  auth_basic: {
    why: 'hashes of htpasswd are not those of the filter basic_auth',
    instead: 'make new ones by "ironsluice key basic NAME" and write the filter basic_auth',
  },
  auth_request: { why: 'no other server is asked who is let in', instead: 'ask it in a plugin' },
};
