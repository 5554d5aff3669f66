/**
 * admin-client: how commands reach the running gateway.
 *
 * Errors: `admin_unreachable`, `reload_refused` with the gateway's words. Bounds: {@link PATIENCE_MS}.
 */
import { userInfo } from 'node:os';
import { GateError } from '../errors.js';

/** Posts to the admin listener at `bind` (`IP:port`); resolves with the revision that is published. */
export async function publish(bind: string, path: string, body?: object): Promise<number> {
  const address = bind.replace(/^0\.0\.0\.0:/, '127.0.0.1:').replace(/^\[::\]:/, '[::1]:');
  const answer = await ask(address, path, body);
  const text = await answer.text();
  if (answer.ok) return (JSON.parse(text) as { revision: number }).revision;
  throw new GateError('reload_refused', detailOf(text) ?? `${address} answered ${answer.status}`);
}

async function ask(address: string, path: string, body: object | undefined): Promise<Response> {
  const headers: Record<string, string> = { 'ironsluice-user': user() };
  if (body !== undefined) headers['content-type'] = 'application/json';
  try {
    return await fetch(`http://${address}${path}`, {
      method: 'POST',
      headers,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
  } catch (error) {
    const { cause = error } = error as { cause?: unknown };
    const { code, message } = cause as NodeJS.ErrnoException;
    const why = code === 'ECONNREFUSED' ? 'nothing listens there' : (code ?? message);
    throw new GateError(
      'admin_unreachable',
      `the admin listener at ${address} cannot be reached: ${why}`,
      'is the gateway running? its admin.bind, or --admin IP:PORT, says where',
      { cause },
    );
  }
}

/** For the history; empty for a user without a name. */
function user(): string {
  try {
    return encodeURIComponent(userInfo().username);
  } catch {
    return '';
  }
}

function detailOf(text: string): string | undefined {
  try {
    const { detail } = JSON.parse(text) as { detail?: unknown };
    return typeof detail === 'string' ? detail : undefined;
  } catch {
    return undefined;
  }
}

/** Longer than the gateway's own deadline for a reload. */
const PATIENCE_MS = 35_000;
