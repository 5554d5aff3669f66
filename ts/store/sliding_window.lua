-- sliding_window: this window's count, and that of the one before by the part of it that is still within one window.
--
-- KEYS[1]  `OPENED USED BEFORE`: when the window opened, in microseconds since 1970 by the server's clock, what is used of
--          it, and what was of the one before.
-- ARGV     window_us, limit, cost; a cost of 0 only asks
-- Reply    {granted, used, reset_after_us, retry_after_us}: `used` has the weighed part of the window before in it;
--          `retry_after_us` is 0 if it was granted, else at least 1 (a cost above the limit never fits).
--
-- A window that opened in the future is a clock that was set back: it opens now, with what is used. Else a refusal writes
-- nothing.
local window, limit, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

local opened, used, before, is_back = now, 0, 0, false
local stored = redis.call('GET', KEYS[1])
if stored then
  local at, count, earlier = string.match(stored, '^(%d+) (%d+) (%d+)$')
  if at then
    is_back = tonumber(at) > now
    at = math.min(tonumber(at), now)
    local elapsed = now - at
    if elapsed < window then
      opened, used, before = at, tonumber(count), tonumber(earlier)
    elseif elapsed < 2 * window then
      opened, used, before = at + window, 0, tonumber(count)
    end
  end
end
if used == 0 and before == 0 then opened = now end
-- The limit may have been lowered meanwhile.
used, before = math.min(used, limit), math.min(before, limit)

local elapsed = now - opened
local closes = window - elapsed
-- How much of a window must be over before `count` of the one before weigh at most `room`.
local function fades(count, room)
  if count <= room then return 0 end
  return window - math.floor(room * window / count)
end
local weighed = math.ceil(before * closes / window)

local is_refused = cost > 0 and used + cost + weighed > limit
local retry = 0
if is_refused then
  retry = closes + fades(used, math.max(0, limit - cost))
  if used + cost <= limit then retry = fades(before, limit - used - cost) - elapsed end
  retry = math.max(1, retry)
end

local granted = is_refused and 0 or cost
used = used + granted
local reset = 0
if used > 0 then reset = closes + window elseif before > 0 then reset = closes end
if granted > 0 or (is_back and reset > 0) then
  local value = string.format('%.0f %.0f %.0f', opened, used, before)
  redis.call('SET', KEYS[1], value, 'PX', string.format('%.0f', math.ceil(reset / 1000)))
end
return { granted, used + weighed, reset, retry }
