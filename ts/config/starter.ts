/**
 * starter: the config that `ironsluice init` writes.
 *
 * Prose begins with `# `; what begins with `#` alone is config that is switched off, and stays a good one
 * when the `#` is taken away. Values that a machine may have to change are variables with defaults.
 */

/** The text; `schema` is what an editor finds the schema by: a path from the file, or a URL. */
export function starter(schema: string): string {
  return `# yaml-language-server: $schema=${schema}
#
# The config of a gateway. After a change: "ironsluice check", then "ironsluice reload".
# Lines like "#upstreams:", without a space, are examples: take the # away to switch them on.

listeners:
  # Where clients come in. 0.0.0.0 in place of 127.0.0.1 lets other machines in.
  - name: web
    bind: "127.0.0.1:\${PORT:-8080}"
    # Answers /healthz and /readyz here, for a load balancer.
    health: true

# Metrics, health and reloads, for operators. Whoever reaches it may reload: keep it on loopback.
admin:
  bind: "127.0.0.1:\${ADMIN_PORT:-9901}"

# How long requests in flight may take to finish at a stop.
drain_timeout: 30s

# A line about each request.
#access_log: { to: stdout, format: json }

# Servers of yours that requests are handed to.
#upstreams:
#  - name: api
#    balance: round_robin
#    endpoints: ["127.0.0.1:9001", "127.0.0.1:9002"]

# The most specific route that fits a request takes it, whatever the order here.
routes:
  #- name: api
  #  match: { path: /api/* }
  #  filters:
  #    - { use: rate_limit, rate: 100/s, burst: 200, key: client_ip }
  #  to: api

  - name: hello
    match: { path: /* }
    filters:
      - { use: rate_limit, rate: 100/s, burst: 200, key: client_ip }
      - use: respond
        body: |
          Ironsluice runs. Edit its config, then: ironsluice reload
`;
}
