/** Keys that callers send in Authorization, and whose they are. Only hashes are kept. */
import { createHash } from 'node:crypto';
import { definePlugin } from 'ironsluice';

const USERS = new Map([
  [hash('open-sesame'), 'ali'],
  [hash('simsalabim'), 'else'],
]);

export default definePlugin((head) => {
  const [scheme, key] = (head.header('authorization') ?? '').split(' ');
  const user = scheme?.toLowerCase() === 'bearer' && key ? USERS.get(hash(key)) : undefined;
  if (user === undefined) {
    return {
      reply: {
        status: 401,
        headers: { 'www-authenticate': 'Bearer' },
        body: { error: 'a key is missing or unknown' },
      },
    };
  }
  return {
    request: { remove: ['authorization'], set: { 'x-user': user } },
    response: { set: { 'x-user': user } },
  };
});

function hash(key: string): string {
  return createHash('sha256').update(key).digest('base64');
}
