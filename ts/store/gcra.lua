-- gcra: a leaky bucket as one time, by the server's clock. It serves strict limits (one request a call) and leases
-- (a node reports what it admitted and takes more).
--
-- KEYS[1]  the theoretical arrival time (TAT), when a key that used its allowance is idle again: `MICROSECONDS NANOSECONDS`,
--          the second below 1000. Two integers, since nanoseconds since 1970 do not fit a number of Lua.
-- ARGV     interval_ns  nanoseconds a token takes to come back
--          burst        tokens at one instant from idle
--          slack_us     microseconds that leases may run ahead of the burst; 0 for strict
--          least, most  grant as many tokens as fit, at most `most`; none at all if fewer than `least` fit
--          charge       tokens that were admitted already: counted whether they fit or not
--          debts        tokens that all nodes may have admitted before they asked, at most; as many as the burst if it is missing
-- Reply    {granted, reset_after_us, retry_after_us}: until the key is idle; until `least` would fit, 0 if it did.
--
-- A TAT that lies further ahead than a full bucket, its slack and those debts is a clock that was set back: it
-- becomes that much and no more. Else nothing is written unless something was charged or granted.
local interval, burst, slack = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]) * 1000
local least, most, charge = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local debts = tonumber(ARGV[7] or ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

-- Nanoseconds from now; exact below 2^53, which are 104 days.
local ahead = 0
local stored = redis.call('GET', KEYS[1])
if stored then
  local us, ns = string.match(stored, '^(%d+) (%d+)$')
  if us then ahead = math.max(0, (us - now) * 1000 + ns) end
end
local capacity = burst * interval + slack
local most_ahead = capacity + debts * interval
local is_back = ahead > most_ahead
ahead = math.min(ahead, most_ahead) + charge * interval

local fits = math.max(0, math.min(most, math.floor((capacity - ahead) / interval)))
local granted = fits >= least and fits or 0
local is_refused = granted < least
ahead = ahead + granted * interval

if charge > 0 or granted > 0 or is_back then
  local tat = string.format('%.0f %.0f', now + math.floor(ahead / 1000), ahead % 1000)
  redis.call('SET', KEYS[1], tat, 'PX', string.format('%.0f', math.ceil(ahead / 1000000) + 1))
end
local retry = 0
if is_refused then retry = math.max(1, math.ceil((ahead + least * interval - capacity) / 1000)) end
return { granted, math.ceil(ahead / 1000), retry }
