/**
 * log: `access_log` and `log_format`, to the access log. There is one of a gateway, so the first that writes a file is taken.
 */
import type { AccessLog } from '../generated/config.js';
import { type Context, from } from './context.js';
import type { Server } from './listen.js';
import type { Scope } from './scope.js';
import { VARIABLE } from './scope.js';
import type { Directive } from './syntax.js';

/** The log of a config; undefined if it says nothing of one. */
export function accessLog(context: Context, http: Scope, servers: readonly Server[]): AccessLog | undefined {
  const { notes } = context;
  const formats = http.own('log_format');
  const said = [...http.own('access_log'), ...servers.flatMap(({ scope }) => scope.own('access_log'))];
  const [first, ...more] = said.filter(({ args }) => args[0] !== 'off');
  for (const off of said.filter(({ args }) => args[0] === 'off')) {
    notes.differ(off, 'a log has all requests, or there is none', 'remove access_log for none');
  }
  for (const other of more)
    notes.leave(other, 'a gateway writes one access log', 'tell them apart by $route and $host');
  if (first === undefined) return undefined;
  const [path = '', name = 'combined'] = first.args;
  if (path.startsWith('syslog:') || path.includes('$')) {
    notes.leave(
      first,
      'a log goes to standard output or to one file',
      'let the system collect standard output',
    );
    return undefined;
  }
  const format = formats.find(({ args }) => args[0] === name);
  const json = format?.args[1]?.startsWith('escape=json') === true;
  const text = json ? undefined : translated(format?.args.slice(1).join('') ?? COMBINED);
  const what =
    text === undefined ? 'the log is written as JSON' : 'some of its values are written in another way';
  notes.differ(format ?? first, what, 'see access_log in the reference');
  const to = path === '/dev/stdout' ? 'stdout' : path;
  return from(
    context,
    { to, format: text ?? 'json' },
    first,
    ...(format === undefined ? [] : ([format] as Directive[])),
  );
}

/** A format in our variables; undefined if it has one that we do not. */
function translated(text: string): string | undefined {
  let isKnown = true;
  const found = text.replaceAll(VARIABLE, (_, long: string | undefined, short: string | undefined) => {
    const name = long ?? short ?? '';
    const ours = OURS[name] ?? (name.startsWith('http_') ? `$header_${name.slice(5)}` : undefined);
    if (ours === undefined) isKnown = false;
    return ours ?? '';
  });
  return isKnown ? found : undefined;
}

const COMBINED =
  '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"';
/** nginx's variables and ours. */
const OURS: Record<string, string> = {
  remote_addr: '$client_ip',
  realip_remote_addr: '$peer',
  remote_user: '$consumer',
  time_local: '$time',
  time_iso8601: '$time',
  request: '$method $path $protocol',
  request_method: '$method',
  request_uri: '$path',
  uri: '$path',
  args: '$query',
  query_string: '$query',
  host: '$host',
  server_name: '$route',
  server_protocol: '$protocol',
  status: '$status',
  body_bytes_sent: '$response_bytes',
  bytes_sent: '$response_bytes',
  request_length: '$request_bytes',
  request_time: '$duration',
  upstream_addr: '$endpoint',
  request_id: '$request_id',
};
