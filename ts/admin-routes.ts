/**
 * admin-routes: what the admin API answers.
 *
 * | request         | answer                                                                         |
 * |-----------------|--------------------------------------------------------------------------------|
 * | `GET /metrics`  | counters, Prometheus text                                                      |
 * | `GET /healthz`  | 200 while the process lives                                                    |
 * | `GET /readyz`   | 200 while traffic is taken, else 503                                           |
 * | `GET /config`   | the running config with its revision, secrets hidden                           |
 * | `GET /upstreams`| endpoints and their health                                                     |
 * | `GET /quotas`  | what consumers used of their quotas, 1000 at most; `/quotas/CONSUMER` for one          |
 * | `POST /reload`  | without a body the source is read again, with one (JSON) that is the config; 422 lists faults |
 * | `POST /rollback`| `{"number": N}` publishes a config of the history again; 404 if it is not kept            |
 *
 * A page in a browser must not be able to use it: the Host has to be ours (against DNS rebinding; 421,
 * RFC 9110 section 15.5.20), a request that another site caused is refused (403), and a body has to be JSON.
 * Refusals are problem bodies (RFC 9457) with a `code`. Bounds: {@link MAX_BODY} for a config.
 */
import { isIP } from 'node:net';
import type { Fault } from './errors.js';
import { CONTENT_TYPE, type CoreMetric, expose } from './metrics.js';
import type { Handler, Reply, Request } from './server.js';

/** What the routes read; all of it answers without the main thread, except `reload`. */
export interface AdminSource {
  /** The core's metrics, JSON. */
  metrics(): string;
  /** Where all stand who used something of quotas at this node, JSON. */
  quotas(): string;
  /** Where a consumer stands with each quota, JSON; waits for the store no longer than a call of it may take. */
  quotasOf(consumer: string): Promise<string>;
  /** What is counted of the store. */
  store(): CoreMetric[];
  /** The core's endpoints, JSON. */
  upstreams(): string;
  revision(): number;
  ready(): boolean;
  /** The running config as people may see it, JSON. */
  shown(): string;
  /** Host names, beyond those of loopback, that requests may be made to. */
  allowHosts(): readonly string[];
  reload(what: Reload): Promise<Reloaded>;
}

/** What is to be published, and on whose account. */
export interface Reload {
  /** The config; without it the source is read again. */
  json?: string | undefined;
  /** One of the history in place of both. */
  number?: number;
  /** How the history calls it. */
  by: string;
}

/** How a reload went. */
export type Reloaded =
  | { ok: true; revision: number }
  | { ok: false; code: string; message: string; faults?: readonly Fault[] };

/** The handler of the admin listener. */
export function adminHandler(source: AdminSource): Handler {
  const routes: Record<string, Partial<Record<string, (request: Request) => Promise<Reply> | Reply>>> = {
    '/metrics': {
      GET: async () => ({
        status: 200,
        type: CONTENT_TYPE,
        body: await expose(source.metrics(), source.store()),
      }),
    },
    '/healthz': { GET: () => json(200, '{"status":"ok"}') },
    '/readyz': {
      GET: () => (source.ready() ? json(200, '{"status":"ready"}') : json(503, '{"status":"not ready"}')),
    },
    '/config': {
      GET: () => json(200, `{"revision":${source.revision()},"config":${source.shown()}}`),
    },
    '/upstreams': { GET: () => json(200, source.upstreams()) },
    '/quotas': { GET: () => json(200, source.quotas()) },
    '/quotas/{consumer}': { GET: (request) => quotasOf(request, source) },
    '/reload': { POST: (request) => reload(request, source) },
    '/rollback': { POST: (request) => rollback(request, source) },
  };
  return async (request) => {
    const refusal = refuse(request, source.allowHosts());
    if (refusal !== undefined) return refusal;
    const path = request.path.startsWith(QUOTAS_OF) ? '/quotas/{consumer}' : request.path;
    const methods = Object.hasOwn(routes, path) ? routes[path] : undefined;
    if (methods === undefined) {
      return problem(
        404,
        'not_found',
        `there is no ${request.path}; there are ${Object.keys(routes).join(', ')}`,
      );
    }
    const method = request.method === 'HEAD' ? 'GET' : request.method;
    const answer = Object.hasOwn(methods, method) ? methods[method] : undefined;
    if (answer === undefined) {
      const allow = Object.keys(methods).flatMap((name) => (name === 'GET' ? ['GET', 'HEAD'] : [name]));
      const reply = problem(405, 'method_not_allowed', `${request.path} takes ${allow.join(' and ')}`);
      return { ...reply, headers: { allow: allow.join(', ') } };
    }
    return answer(request);
  };
}

async function quotasOf(request: Request, source: AdminSource): Promise<Reply> {
  try {
    return json(200, await source.quotasOf(decodeURIComponent(request.path.slice(QUOTAS_OF.length))));
  } catch (error) {
    if (!(error instanceof URIError)) throw error;
    return problem(400, 'bad_path', 'the name of the consumer is no percent-encoded UTF-8');
  }
}

async function reload(request: Request, source: AdminSource): Promise<Reply> {
  const body = await request.body(MAX_BODY);
  if (body === undefined) return problem(413, 'too_large', `a config has at most ${MAX_BODY} bytes here`);
  if (body.length > 0 && !/^application\/json\b/i.test(request.header('content-type') ?? '')) {
    return problem(415, 'not_json', 'a config is sent as application/json');
  }
  const what: Reload = { by: byOf(request, body.length > 0 ? 'admin API' : 'reload') };
  if (body.length > 0) what.json = body.toString('utf8');
  return replyOf(await source.reload(what));
}

async function rollback(request: Request, source: AdminSource): Promise<Reply> {
  const body = await request.body(MAX_SMALL);
  if (body === undefined) return problem(413, 'too_large', 'it takes {"number": N} and no more');
  if (!/^application\/json\b/i.test(request.header('content-type') ?? '')) {
    return problem(415, 'not_json', '{"number": N} is sent as application/json');
  }
  const number = numberOf(body.toString('utf8'));
  if (number === undefined)
    return problem(400, 'bad_number', 'it takes {"number": N}, with a whole N from 1');
  return replyOf(await source.reload({ number, by: byOf(request, 'admin API') }));
}

function numberOf(json: string): number | undefined {
  try {
    const { number } = JSON.parse(json) as { number?: unknown };
    return Number.isSafeInteger(number) && Number(number) > 0 ? Number(number) : undefined;
  } catch {
    return undefined;
  }
}

/** Who it was, as the command line says; nobody is asked to prove it. */
function byOf(request: Request, what: string): string {
  const user = request.header('ironsluice-user') ?? '';
  return /^[\w.@-]{1,64}$/.test(user) ? `${what} by ${user}` : what;
}

function replyOf(done: Reloaded): Reply {
  if (done.ok) return json(200, JSON.stringify({ revision: done.revision }));
  const status = STATUS[done.code] ?? 500;
  return problem(status, done.code, done.message, done.faults === undefined ? {} : { faults: done.faults });
}

function refuse(request: Request, allowHosts: readonly string[]): Reply | undefined {
  const host = request.header('host') ?? '';
  if (!isOurs(host, request, allowHosts)) {
    return problem(421, 'wrong_host', 'this host name is not served here; admin.allow_hosts lists more');
  }
  const origin = request.header('origin');
  const crossSite =
    request.header('sec-fetch-site') === 'cross-site' ||
    (origin !== undefined && !isOurs(origin.replace(/^https?:\/\//, ''), request, allowHosts));
  return crossSite ? problem(403, 'cross_site', 'another site may not use the admin API') : undefined;
}

/** A name in a Host or Origin can be an attacker's; an address that we are reached at cannot. */
function isOurs(host: string, request: Request, allowHosts: readonly string[]): boolean {
  const match = /^(\[[0-9a-f:.]+\]|[^:[\]@/]+)(?::\d{1,5})?$/i.exec(host);
  const name = match?.[1]?.toLowerCase().replace(/^\[(.*)\]$/, '$1');
  if (name === undefined) return false;
  return (
    LOOPBACK.has(name) ||
    (isIP(name) !== 0 && request.isLocal(name)) ||
    allowHosts.some((h) => h.toLowerCase() === name)
  );
}

function json(status: number, body: string): Reply {
  return { status, type: 'application/json', body: `${body}\n` };
}

function problem(status: number, code: string, detail: string, more: object = {}): Reply {
  const body = JSON.stringify({
    type: 'about:blank',
    title: code.replaceAll('_', ' '),
    status,
    code,
    detail,
    ...more,
  });
  return { status, type: 'application/problem+json', body: `${body}\n` };
}

const QUOTAS_OF = '/quotas/';
const LOOPBACK: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '::1']);
/** 16 MiB. */
const MAX_BODY = 16 * 1024 * 1024;
/** Of a body that names a number. */
const MAX_SMALL = 1024;
const STATUS: Record<string, number> = {
  config_invalid: 422,
  config_not_found: 422,
  config_not_kept: 404,
  config_unreadable: 422,
  bind_failed: 409,
  admin_bind_failed: 409,
  closed: 503,
  busy: 503,
  late: 504,
};
