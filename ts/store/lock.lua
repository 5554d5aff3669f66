-- lock: a lock that one holder has at a time, for a while.
--
-- KEYS[1]  the lock: the number of its holder.
-- ARGV     holder  a number that nobody else has
--          for_ms  how long it is held from now on, milliseconds; 0: it is given back
-- Reply    {held, left_ms}: 1 if the holder has it, else 0; and for how long it is held, by whomever; 0 if by nobody.
--
-- Nobody holds it longer than the one who asks would: so a clock that was set back does not lock out.
local holder, keep = ARGV[1], tonumber(ARGV[2])
local now = redis.call('GET', KEYS[1])

if now and now ~= holder then
  local left = math.max(redis.call('PTTL', KEYS[1]), 0)
  if keep > 0 and left > keep then
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
    left = keep
  end
  return { 0, left }
end
if keep == 0 then
  redis.call('DEL', KEYS[1])
  return { 0, 0 }
end
redis.call('SET', KEYS[1], holder, 'PX', ARGV[2])
return { 1, keep }
