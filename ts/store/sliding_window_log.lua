-- sliding_window_log: the time of each admission of the last window is remembered, so the limit holds in any window.
--
-- KEYS[1]  a list of times, the oldest first, in microseconds since 1970 by the server's clock. A cost of n is n entries.
-- ARGV     window_us, limit (at most 1024), cost; a cost of 0 only asks
-- Reply    {granted, used, reset_after_us, retry_after_us}: `retry_after_us` is 0 if it was granted, else at least 1 (a
--          cost above the limit never fits).
--
-- A newest time in the future is a clock that was set back: all times move back by as much. A refusal changes nothing
-- that counts.
local window, limit, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
if limit > 1024 then return redis.error_reply('ERR a log has at most 1024 entries') end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local key = KEYS[1]
local function write(value) return string.format('%.0f', value) end

local length = redis.call('LLEN', key)
local newest = tonumber(redis.call('LINDEX', key, -1) or now)
if newest > now then
  local times = redis.call('LRANGE', key, 0, -1)
  for i = 1, #times do times[i] = write(times[i] - (newest - now)) end
  redis.call('DEL', key)
  redis.call('RPUSH', key, unpack(times))
  redis.call('PEXPIRE', key, write(math.ceil(window / 1000)))
  newest = now
end

-- They are in order: what is over is at the front.
local over, live = 0, length
while over < live do
  local middle = math.floor((over + live) / 2)
  if now - redis.call('LINDEX', key, middle) >= window then over = middle + 1 else live = middle end
end
local used = length - over

if cost > 0 and used + cost > limit then
  -- When the last that is too many is over.
  local nth = used + cost - limit - 1
  local retry = nth < used and redis.call('LINDEX', key, over + nth) + window - now or window
  return { 0, used, used > 0 and newest + window - now or 0, math.max(1, retry) }
end
if cost > 0 then
  if over > 0 then redis.call('LTRIM', key, over, -1) end
  local entries = {}
  for i = 1, cost do entries[i] = write(now) end
  redis.call('RPUSH', key, unpack(entries))
  redis.call('PEXPIRE', key, write(math.ceil(window / 1000)))
  newest = now
end
used = used + cost
return { cost, used, used > 0 and newest + window - now or 0, 0 }
