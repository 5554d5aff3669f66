-- several: several limits of one request, all of which are charged, or none.
--
-- KEYS     of each limit its key, as the script of its own has it; all in one hash slot
-- ARGV     cost, and of each limit three: its script (1 gcra, 2 fixed_window, 3 sliding_window, 4 sliding_window_log), and
--          that one's first two arguments
-- Reply    of each limit what its script replies, one after the other. If one refuses, a limit that would have admitted
--          says that it granted the cost, and what is used without it.
--
-- `scripts` are those four, as functions of their KEYS, their ARGV and `redis`. They run at one time, that of the first of
-- them, and what they write is kept back until all have admitted. A clock that was set back is mended also by a refusal.
local server, time = redis, redis.call('TIME')
local cost = tonumber(ARGV[1])
local reads = { GET = true, LLEN = true, LINDEX = true, LRANGE = true }

-- Runs the script of the nth limit. Into `later` goes what it writes; without it that is written at once.
local function run(n, amount, later)
  local which, first, second = tonumber(ARGV[3 * n - 1]), ARGV[3 * n], ARGV[3 * n + 1]
  local arguments = { first, second, amount }
  if which == 1 then arguments = { first, second, 0, amount, amount, 0, 0 } end
  local view = { error_reply = server.error_reply }
  function view.call(command, ...)
    if command == 'TIME' then return time end
    if reads[command] or not later then return server.call(command, ...) end
    later[#later + 1] = { command, ... }
  end
  return scripts[which]({ KEYS[n] }, arguments, view)
end

local replies, writes, admits = {}, {}, true
for n = 1, #KEYS do
  writes[n] = {}
  replies[n] = run(n, cost, writes[n])
  if replies[n].err then return replies[n] end
  if replies[n][1] < cost then admits = false end
end

for n = 1, #KEYS do
  if admits then
    for _, write in ipairs(writes[n]) do server.call(unpack(write)) end
  elseif replies[n][1] >= cost then
    replies[n] = run(n, 0)
    replies[n][1] = cost
  elseif #writes[n] > 0 then
    run(n, 0)
    replies[n] = run(n, cost, {})
  end
end

local reply = {}
for _, values in ipairs(replies) do
  for _, value in ipairs(values) do reply[#reply + 1] = value end
end
return reply
