-- fixed_window: so many in each window of a key, which opens with its first request.
--
-- KEYS[1]  `OPENED USED`: when the window opened, in microseconds since 1970 by the server's clock, and what is used of it.
-- ARGV     window_us, limit, cost; a cost of 0 only asks
-- Reply    {granted, used, reset_after_us, retry_after_us}: `granted` is the cost or 0; `retry_after_us` is 0 if it was
--          granted, else at least 1 (a cost above the limit never fits).
--
-- A window that opened in the future is a clock that was set back: it opens now, with what is used. Else a refusal writes
-- nothing.
local window, limit, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

local opened, used, is_back = now, 0, false
local stored = redis.call('GET', KEYS[1])
if stored then
  local at, count = string.match(stored, '^(%d+) (%d+)$')
  if at then
    is_back = tonumber(at) > now
    at = math.min(tonumber(at), now)
    if now - at < window then opened, used = at, tonumber(count) end
  end
end
-- The limit may have been lowered meanwhile.
used = math.min(used, limit)
local closes = math.max(1, opened + window - now)

local is_refused = cost > 0 and used + cost > limit
local granted = is_refused and 0 or cost
used = used + granted
if granted > 0 or is_back then
  redis.call('SET', KEYS[1], string.format('%.0f %.0f', opened, used), 'PX', string.format('%.0f', math.ceil(closes / 1000)))
end
return { granted, used, used > 0 and closes or 0, is_refused and closes or 0 }
