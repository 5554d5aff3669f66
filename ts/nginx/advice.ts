/**
 * advice: what is said of a directive that is not carried over, by its name. What is in no table has no counterpart that is known.
 */
import type { Kind } from './notes.js';
import type { Directive } from './syntax.js';

/** Why, and what to do. */
export interface Advice {
  kind: Kind;
  why: string;
  instead: string;
}

/** What to say of a directive that nothing took. */
export function adviceOf({ name, args }: Directive): Advice {
  if (name === 'map' && args[0] === '$http_upgrade') {
    return { kind: 'not_needed', why: 'an upgrade passes by itself', instead: '' };
  }
  for (const [kind, names, why, instead = ''] of ADVICE) {
    if (names.test(name)) return { kind, why, instead };
  }
  return { kind: 'left_out', why: 'there is no counterpart that is known', instead: 'see the guide' };
}

/** Directives that the conversion looks for: where nobody took one, nothing that is served depends on it. */
export const HANDLED: ReadonlySet<string> = new Set(
  `add_header allow auth_basic client_body_timeout client_header_timeout client_max_body_size default_type deny expires
   grpc_connect_timeout grpc_read_timeout grpc_send_timeout grpc_set_header keepalive_requests keepalive_timeout
   large_client_header_buffers limit_conn limit_conn_status limit_conn_zone limit_req limit_req_dry_run limit_req_status limit_req_zone
   location log_format proxy_connect_timeout proxy_hide_header proxy_http_version proxy_read_timeout proxy_redirect proxy_send_timeout
   proxy_set_header proxy_ssl_certificate proxy_ssl_certificate_key proxy_ssl_name proxy_ssl_server_name
   proxy_ssl_trusted_certificate proxy_ssl_verify real_ip_header real_ip_recursive return rewrite send_timeout
   set_real_ip_from ssl_certificate ssl_certificate_key ssl_client_certificate ssl_crl ssl_protocols
   ssl_session_tickets ssl_verify_client upstream root alias index try_files auth_basic_user_file satisfy`
    .split(/\s+/)
    .filter(Boolean),
);

const ADVICE: [Kind, RegExp, string, string?][] = [
  [
    'not_needed',
    /^(events|user|pid|daemon|master_process|worker_\w+|multi_accept|use|accept_mutex\w*|thread_pool|pcre_jit|timer_resolution|lock_file|load_module|env)$/,
    'the gateway has workers, and the system says who runs it',
  ],
  [
    'not_needed',
    /^(sendfile\w*|tcp_nopush|tcp_nodelay|aio\w*|directio\w*|output_buffers|postpone_output|send_lowat|lingering_\w+|reset_timedout_connection|open_file_cache\w*|server_names_hash_\w+|types_hash_\w+|variables_hash_\w+|map_hash_\w+|proxy_headers_hash_\w+|client_header_buffer_size|client_body_buffer_size|client_body_temp_path|client_body_in_file_only|client_body_in_single_buffer|connection_pool_size|request_pool_size)$/,
    'it tunes nginx, not what is answered',
  ],
  [
    'not_needed',
    /^(proxy|grpc)_(buffering|buffers|buffer_size|busy_buffers_size|request_buffering|temp_path|temp_file_write_size|max_temp_file_size|socket_keepalive|send_lowat|pass_header|ignore_headers|ignore_client_abort|headers_hash_\w+)$/,
    'bodies pass as they come, in both directions, and nothing is put on disk',
  ],
  [
    'not_needed',
    /^(types|default_type|charset|charset_types|include|server_tokens|log_not_found|log_subrequest|server_name_in_redirect|port_in_redirect|absolute_redirect|merge_slashes|ssl_prefer_server_ciphers|ssl_session_cache|ssl_session_timeout|ssl_dhparam|ssl_ecdh_curve|ssl_buffer_size|ssl_ciphers|ssl_conf_command|proxy_ssl_(session_reuse|protocols|ciphers|verify_depth)|resolver\w*|http2_\w+|http3\w*|quic\w*|recursive_error_pages|uninitialized_variable_warn|rewrite_log|limit_(req|conn)_log_level|limit_conn_dry_run|if_modified_since|etag|zone|set)$/,
    'the gateway decides this by itself, or nothing of it is used',
  ],
  ['not_needed', /^error_log$/, 'the gateway logs to standard error; --log-level says how much'],
  ['left_out', /^(stream|mail)$/, 'the gateway carries HTTP only', 'keep nginx for it'],
  [
    'left_out',
    /^(map|geo|split_clients|geoip\w*|perl_set|js_\w+|\w*lua\w*)$/,
    'there are no variables',
    'write routes with match.headers, host or query, or a plugin',
  ],
  ['left_out', /^(gzip|brotli|zstd)\w*$/, 'answers are not compressed', 'let the app compress'],
  ['left_out', /^(autoindex\w*|random_index)$/, 'a folder is not listed', 'write an index.html'],
  [
    'left_out',
    /^error_page$|^proxy_intercept_errors$/,
    'pages of errors are those of the gateway and of the upstream',
    'answer them in the app',
  ],
  [
    'left_out',
    /^(proxy_cache\w*|proxy_no_cache|proxy_store\w*|slice)$/,
    'nothing is cached',
    'keep a cache in front or in the app',
  ],
  [
    'left_out',
    /^proxy_next_upstream\w*$/,
    'another endpoint is tried only where a connection was not made',
    '',
  ],
  [
    'left_out',
    /^proxy_cookie_\w+$|^sub_filter\w*$/,
    'what an upstream says passes as it is',
    'change it in the app',
  ],
  [
    'left_out',
    /^(auth_\w+|satisfy|internal|secure_link\w*|valid_referers|referer_hash\w*)$/,
    'nobody is let in this way',
    'see api_key, consumer and plugin',
  ],
  [
    'left_out',
    /^(ssl_stapling\w*|ssl_trusted_certificate|ssl_ocsp\w*)$/,
    'answers of OCSP are not stapled',
    'nothing need be done: authorities have given it up',
  ],
  ['left_out', /^ssl_password_file$/, 'keys are not encrypted', 'decrypt the key'],
  [
    'left_out',
    /^(fastcgi|uwsgi|scgi|memcached)_\w+$/,
    'upstreams speak HTTP',
    'put a server that speaks HTTP in front of it',
  ],
  ['left_out', /^mirror\w*$/, 'requests are not mirrored', ''],
  ['left_out', /^stub_status$/, 'numbers are at /metrics of the admin listener', ''],
  [
    'left_out',
    /^limit_rate\w*$/,
    'answers are not slowed down',
    'limit requests, or bytes by rate_limit with cost_response',
  ],
  [
    'left_out',
    /^(access_log)$/,
    'a gateway writes one access log',
    'tell requests apart by $route and $host',
  ],
];
