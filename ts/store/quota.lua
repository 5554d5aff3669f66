-- quota: what a consumer used of a window of the calendar, over all nodes.
--
-- KEYS[1]  `START END USED BEFORE BEFORE_USED BASE EPOCH`: the window that is open, in seconds since 1970, and what was used of it;
--          where the one before began, and what was used of that; how much of USED was counted before the key was lost; when it was
--          made, in microseconds since 1970.
-- ARGV     limit             what may be used of a window
--          cost              asks for so much; for 0, which is measured later, whether anything is left; -1 asks nothing
--          charge, charged   so much was used before this call, of the window that began then: counted whether it fits or not
--          start, end, used, epoch  what this store showed the node last, 0 if nothing; with an epoch of 0 it is what the node itself used
--          b1, b2, ...       where windows of the calendar begin, without a gap, around what the node takes for this server's time
-- Reply    {said, used, start, end, now, epoch}: `said` is 0 for a refusal, -1 if no such window holds the time, `now`: then nothing was
--          done, and the node is to ask again with windows around it. Else 1.
--
-- The time is the server's, in seconds. Windows go forward only, as those of one process do: a clock that is set back by up to
-- a day, or by the length of the window if that is less, stays in the window that is open; by more it is believed, and what was used of both
-- windows counts together. A key that was lost, of which nodes know another epoch, gets what the one used that knows most, and that
-- counts beside what was used since. A refusal writes nothing, unless windows went back.
-- What is counted at most: a client may read a number by sums that are somewhat above it.
local DAY, MOST = 86400, 9000000000000000
local arg = {}
for i = 1, #ARGV do arg[i] = tonumber(ARGV[i]) end
local limit, cost, charge, charged = arg[1], arg[2], arg[3], arg[4]
local known = { start = arg[5], finish = arg[6], used = arg[7], epoch = arg[8] }
local time = redis.call('TIME')
local now = tonumber(time[1])

local open, before, before_used, base, epoch = { start = 0, finish = 0, used = 0 }, 0, 0, 0, 0
local stored = redis.call('GET', KEYS[1])
if stored then
  local n = {}
  for word in string.gmatch(stored, '%d+') do n[#n + 1] = tonumber(word) end
  if #n == 7 then
    open = { start = n[1], finish = n[2], used = n[3] }
    before, before_used, base, epoch = n[4], n[5], n[6], n[7]
  end
end

local function holds(window)
  if now < window.start then return window.start - now <= math.min(window.finish - window.start, DAY) end
  return now < window.finish
end
local is_new = false
local function enter(start, finish)
  if start > open.start then
    before, before_used = open.start, open.used
    open.used, base = 0, 0
  elseif start < open.start then
    if before == start then open.used = open.used + before_used end
    before, before_used = 0, 0
    is_new = open.used > 0
  end
  open.start, open.finish = start, finish
end

if known.used > 0 and known.start > open.start and holds(known) then
  enter(known.start, known.finish)
end
if known.start == open.start then
  local before_loss = known.epoch > 0 and known.epoch ~= epoch
  local more = known.used - (before_loss and base or open.used)
  if more > 0 then
    open.used = open.used + more
    base = math.max(base, known.used)
    is_new = true
  end
end

if not holds(open) then
  local i = 9
  while arg[i + 1] and not (arg[i] <= now and now < arg[i + 1]) do i = i + 1 end
  if not arg[i + 1] then return { -1, 0, 0, 0, now, 0 } end
  enter(arg[i], arg[i + 1])
end

if charge > 0 then
  if charged >= open.start then
    open.used = open.used + charge
    is_new = true
  elseif charged == before then
    before_used = before_used + charge
    is_new = true
  end
end
local said = 1
if cost >= 0 then
  if open.used + math.max(cost, 1) > limit then
    said = 0
  elseif cost > 0 then
    open.used = open.used + cost
    is_new = true
  end
end
open.used, before_used = math.min(open.used, MOST), math.min(before_used, MOST)

if is_new then
  if epoch == 0 then epoch = now * 1000000 + time[2] end
  local words = { open.start, open.finish, open.used, before, before_used, math.min(base, MOST), epoch }
  for i = 1, #words do words[i] = string.format('%.0f', words[i]) end
  -- A day more: a clock that is set back finds it again.
  redis.call('SET', KEYS[1], table.concat(words, ' '), 'EX', string.format('%.0f', open.finish - now + DAY))
end
return { said, open.used, open.start, open.finish, now, epoch }
