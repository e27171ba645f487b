/**
 * The script that decides in Redis: everything of a request in one step, by Redis' clock. It refuses to run after a deadline, so that a call that
 * was given up is never charged later.
 *
 * KEYS: for each charge the hash of its counter (`u` used, `h` held, `b` begin of the window), then the sorted set of its holds (member
 * `id:amount`, score expiry). ARGV: operation, deadline in microseconds of Redis' clock (0 for none), id, lease in milliseconds, then the arguments
 * of each charge. `admit`: limit, enforced, window, end, hold, seed. `settle`: window, end, held, actual, only-if-held. `renew`: held.
 *
 * Returns the time in microseconds, then `late`, or the 1-based index of the refusing charge (0 if none) and `used`, `held`, `begin` of each charge.
 */
export const script = `
local time = redis.call('TIME')
local micros = time[1] * 1000000 + time[2]
local now = math.floor(micros / 1000)
local stamp = string.format('%.0f', micros)
local op, deadline, id, lease = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
if op == 'time' then return {stamp} end
if deadline > 0 and micros > deadline then return {stamp, 'late'} end
local count = #KEYS / 2
local width = op == 'admit' and 6 or op == 'settle' and 5 or 1
local function arg(i, n) return tonumber(ARGV[4 + (i - 1) * width + n]) end
local function text(n) return string.format('%.0f', n) end

local function read(i, window, seed)
  local key, holds = KEYS[2 * i - 1], KEYS[2 * i]
  local found = redis.call('HMGET', key, 'u', 'h', 'b')
  local used, held, begin = tonumber(found[1] or 0), tonumber(found[2] or 0), tonumber(found[3] or now)
  if window > 0 and now >= begin + window then
    redis.call('DEL', key, holds)
    return {used = 0, held = 0, begin = now}
  end
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', holds, '-inf', text(now))) do
    held = held - tonumber(string.match(member, ':(%d+)$'))
    redis.call('ZREM', holds, member)
    redis.call('HSET', key, 'h', text(held))
  end
  if seed > used then used = seed end
  return {used = used, held = held, begin = begin}
end

local function write(i, counter, window, ends)
  local key, holds = KEYS[2 * i - 1], KEYS[2 * i]
  redis.call('HSET', key, 'u', text(counter.used), 'h', text(counter.held), 'b', text(counter.begin))
  local life = ends > 0 and ends - now + 3600000 or window + 2 * lease
  if life < 2 * lease then life = 2 * lease end
  redis.call('PEXPIRE', key, text(life))
  redis.call('PEXPIRE', holds, text(life))
end

if op == 'renew' then
  for i = 1, count do
    redis.call('ZADD', KEYS[2 * i], 'XX', text(now + lease), id .. ':' .. text(arg(i, 1)))
    redis.call('PEXPIRE', KEYS[2 * i - 1], text(2 * lease), 'GT')
    redis.call('PEXPIRE', KEYS[2 * i], text(2 * lease), 'GT')
  end
  return {stamp}
end

if op == 'settle' then
  for i = 1, count do
    local window, ends, held, actual, strict = arg(i, 1), arg(i, 2), arg(i, 3), arg(i, 4), arg(i, 5)
    local counter = read(i, window, 0)
    local owed = nil
    if redis.call('ZREM', KEYS[2 * i], id .. ':' .. text(held)) == 1 then
      counter.held = counter.held - held
      owed = actual
    elseif strict == 0 then
      owed = window > 0 and math.max(0, actual - held) or actual
      if owed == 0 then owed = nil end
    end
    if owed then
      counter.used = counter.used + owed
      write(i, counter, window, ends)
    end
  end
  return {stamp}
end

local refused = 0
local counters = {}
for i = 1, count do
  local counter = read(i, arg(i, 3), arg(i, 6))
  counter.hold = math.min(arg(i, 5), arg(i, 1))
  local total = counter.used + counter.held
  if refused == 0 and arg(i, 2) == 1 and (total >= arg(i, 1) or total + counter.hold > arg(i, 1)) then refused = i end
  counters[i] = counter
end
if refused == 0 and id ~= '' then
  for i = 1, count do
    local counter = counters[i]
    counter.held = counter.held + counter.hold
    redis.call('ZADD', KEYS[2 * i], text(now + lease), id .. ':' .. text(counter.hold))
    write(i, counter, arg(i, 3), arg(i, 4))
  end
end
local reply = {stamp, tostring(refused)}
for i = 1, count do
  reply[#reply + 1] = text(counters[i].used)
  reply[#reply + 1] = text(counters[i].held)
  reply[#reply + 1] = text(counters[i].begin)
end
return reply
`
