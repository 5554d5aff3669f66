-- nodes: the heartbeat of a node, and how many nodes live.
--
-- KEYS[1]  a sorted set of nodes by the time of their last heartbeat, in microseconds since 1970 by the server's clock.
-- ARGV     node      the number of the node that says so
--          alive_us  microseconds for which a node counts after its heartbeat; 0: this node leaves
-- Reply    {nodes, clock}: how many live, and the server's clock in microseconds since 1970.
--
-- A heartbeat in the future is a clock that was set back: its node is forgotten until it beats again.
local node, alive = ARGV[1], tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

if alive == 0 then
  redis.call('ZREM', KEYS[1], node)
  return { redis.call('ZCARD', KEYS[1]), now }
end
redis.call('ZADD', KEYS[1], string.format('%.0f', now), node)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('(%.0f', now - alive))
redis.call('ZREMRANGEBYSCORE', KEYS[1], string.format('(%.0f', now), '+inf')
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', math.ceil(alive / 1000)))
return { redis.call('ZCARD', KEYS[1]), now }
