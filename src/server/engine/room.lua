-- One room on several servers, version 2.  KEYS: the log (a stream), the state (a hash).
-- ARGV: operation, server, connection, position, then what the operation needs.
--
-- An entry's ID is <ms>-<end>. `end` counts all bytes ever appended, plus COST for each entry, so end - length - COST
-- is the `end` of the entry before: a reader notices every gap.  Times are the engine's own.
-- State: version, head, low (everything below was read by all), clock, at (time of the last call), lease, window,
-- longest, servers, passing (the keys are about to expire), life (tells this life of the room from others), lines (how
-- many it has had for everyone), h:<server> = "seq position deadline connection", n:<name> = "server client announced",
-- c:<server> <client> = name, s:<name> = "server:client; ..." (all that serve it), k:<server> <client> = how many it serves.
-- Results are plain strings: Redis 7 would turn an error reply `GONE` into `ERR GONE`.
local L, S, what, id, conn, pos = KEYS[1], KEYS[2], ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local call, fmt, COST = redis.call, string.format, 128
local FIELDS = ' version head low clock at lease window longest servers passing life lines '
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local f = call('HMGET', S, 'version', 'head', 'low', 'clock', 'at', 'lease', 'window', 'longest', 'servers', 'passing',
  'h:' .. id, 'lines')
local servers, lines = f[9] or '', tonumber(f[12] or '0')

local function is_member(server) return string.find(' ' .. servers .. ' ', ' ' .. server .. ' ', 1, true) end

if what == 'join' then -- version, lease, window, longest entry, server to bury first or ''
  if not f[1] then
    -- An engine that loses transactions but no single commands leaves a state with some of these fields.
    local all = call('HGETALL', S)
    for i = 1, #all, 2 do
      local ours = string.find(all[i], '^[hncsk]:') or string.find(FIELDS, ' ' .. all[i] .. ' ', 1, true)
      if not ours then return 'FOREIGN' end
    end
    call('XLEN', L) -- raises an error if the key is another kind of value
    call('DEL', L, S) -- what is left of a room that was lost
    f = {ARGV[5], '0-0', '0', '0', fmt('%.0f', now), ARGV[6], ARGV[7], ARGV[8], '', false, false}
    call('HSET', S, 'version', f[1], 'head', f[2], 'low', 0, 'clock', 0, 'at', f[5], 'lease', f[6], 'window', f[7],
      'longest', f[8], 'servers', '', 'life', id, 'lines', 0)
  elseif f[1] ~= ARGV[5] then
    return 'VERSION ' .. f[1]
  elseif tonumber(ARGV[8]) > tonumber(f[8]) then
    return 'LONGEST ' .. f[8]
  end
elseif not (f[1] and f[11] and is_member(id)) then
  return 'GONE'
end
local head, low, lease, window = f[2], tonumber(f[3]), tonumber(f[6]), tonumber(f[7])
local seq, last = 0, 0
if f[11] then
  local s, c = string.match(f[11], '^(%S+) %S+ %S+ (%S+)$')
  seq, last = tonumber(s), tonumber(c)
  -- What an older connection still had under way must change nothing any more.
  if conn < last or (conn == last and (what == 'join' or what == 'back')) then return 'OLD' end
end
-- Time in which no call came counts for no lease: the engine stood still, or its clock jumped.
local clock = tonumber(f[4]) + math.max(0, math.min(now - tonumber(f[5]), lease / 4))

local function off(entry) return tonumber(string.match(entry, '%-(%d+)$')) end

local function append(header, data)
  local ms, fin = string.match(head, '^(%d+)%-(%d+)$')
  local new = fmt('%.0f-%.0f', math.max(tonumber(ms), now), tonumber(fin) + #data + COST)
  call('XADD', L, new, 'h', header, 'd', data) -- comes first: an engine out of memory refuses it, and nothing is half done
  head = new
end

-- Once a script has written, an engine out of memory lets it go on. What makes room, or has to be said in any case, begins so.
local function in_any_case() call('HDEL', S, '-') end

local function note(number) -- the server's own line of the state
  call('HSET', S, 'head', head, 'clock', fmt('%.0f', clock), 'at', fmt('%.0f', now),
    'h:' .. id, fmt('%.0f %s %.0f %.0f', number, pos, clock + lease, conn))
end

local function unserve(whose) -- takes a client, or all of a server, from the names that it serves
  local all = call('HGETALL', S)
  for i = 1, #all, 2 do
    if string.sub(all[i], 1, 2) == 's:' then
      local rest = {}
      for one in string.gmatch(all[i + 1], '%S+') do
        if string.sub(one, 1, #whose) ~= whose then rest[#rest + 1] = one end
      end
      call('HDEL', S, all[i])
      if #rest > 0 then call('HSET', S, all[i], table.concat(rest, ' ')) end
    end
  end
end

local function bury(server) -- frees the names of a server, and says so
  append('g ' .. server .. ' 0', '')
  local rest = {}
  for one in string.gmatch(servers, '%S+') do if one ~= server then rest[#rest + 1] = one end end
  servers = table.concat(rest, ' ')
  call('HDEL', S, 'h:' .. server)
  local all = call('HGETALL', S)
  for i = 1, #all, 2 do
    local kind, whose = string.match(all[i], '^([ck]):(%S+) ')
    if whose == server then call('HDEL', S, all[i]) end
    if whose == server and kind == 'c' then
      if string.sub(call('HGET', S, 'n:' .. all[i + 1]) or '', -1) == '1' then lines = lines + 1 end
      call('HDEL', S, 'n:' .. all[i + 1])
    end
  end
  unserve(server .. ':')
  call('HSET', S, 'head', head, 'servers', servers, 'lines', fmt('%.0f', lines))
end

local function tidy() -- buries servers whose lease is over; trims what all others have read
  local least, entry = off(head), head
  for server in string.gmatch(servers, '%S+') do
    local p, till = string.match(call('HGET', S, 'h:' .. server) or '0 0-0 0 0', '^%S+ (%S+) (%S+)')
    if server ~= id and tonumber(till) < clock then bury(server)
    elseif off(p) < least then least, entry = off(p), p end
  end
  if least > low then
    low = least
    call('XTRIM', L, 'MINID', entry)
    call('HSET', S, 'low', fmt('%.0f', low))
  end
end

local function is_full()
  if off(head) - low < window then return false end
  tidy()
  return off(head) - low >= window
end

-- Every server decides in the same way when it reads the entry: the first one has the name, and the room is told of it.
local function serve(client, name)
  local count, one = 'k:' .. id .. ' ' .. client, id .. ':' .. client .. ';'
  local all, n = call('HGET', S, 's:' .. name) or '', tonumber(call('HGET', S, count) or '0')
  if n >= 16 or call('HGET', S, 'n:' .. name) or string.find(' ' .. all, ' ' .. one, 1, true) then return end
  call('HSET', S, count, n + 1, 's:' .. name, all == '' and one or all .. ' ' .. one)
end

local function rename(kind, client, name)
  if kind == 's' then return serve(client, name) end
  local field, whose = 'c:' .. id .. ' ' .. client, id .. ' ' .. client .. ' '
  local old, announced = call('HGET', S, field), kind == 'd' and '0' or '1'
  if old then announced = string.sub(call('HGET', S, 'n:' .. old) or '1', -1) end
  if kind ~= 'l' then
    local holder = call('HGET', S, 'n:' .. name)
    if holder and string.sub(holder, 1, #whose) ~= whose or call('HGET', S, 's:' .. name) then return end
  elseif call('HDEL', S, 'k:' .. id .. ' ' .. client) == 1 then
    unserve(id .. ':' .. client .. ';')
  end
  if announced == '1' and (old or kind ~= 'l') then lines = lines + 1 end
  if old then call('HDEL', S, field, 'n:' .. old) end
  if kind ~= 'l' then call('HSET', S, field, name, 'n:' .. name, whose .. announced) end
end

if f[10] then
  in_any_case()
  call('PERSIST', L)
  call('PERSIST', S)
  call('HDEL', S, 'passing')
end

if what == 'join' then
  in_any_case()
  if ARGV[9] ~= '' and call('HGET', S, 'h:' .. ARGV[9]) then bury(ARGV[9]) end
  tidy()
  if not is_member(id) then servers = servers == '' and id or servers .. ' ' .. id end
  call('HSET', S, 'servers', servers)
  pos = head
  note(0)
  return {head, f[6], f[7], f[8], call('HGETALL', S)}
elseif what == 'say' then -- seq, data, lines for everyone, then for each name taken, given back or served: kind, client, name
  local n = tonumber(ARGV[5])
  if n <= seq then note(seq) return 'OK 0' end
  if n ~= seq + 1 then return 'SKIP' end
  if is_full() then note(seq) return 'FULL' end
  append(fmt('s %s %.0f', id, n), ARGV[6])
  lines = lines + tonumber(ARGV[7])
  for i = 8, #ARGV, 3 do rename(ARGV[i], ARGV[i + 1], ARGV[i + 2]) end
  call('HSET', S, 'lines', fmt('%.0f', lines))
  note(n)
  return 'OK ' .. head
elseif what == 'beat' then
  in_any_case()
  note(seq)
  tidy()
  local _, count = string.gsub(servers, '%S+', '')
  return fmt('OK %.0f %d', off(head) - low, count)
elseif what == 'back' then -- the first call of a new connection
  in_any_case()
  if pos ~= '0-0' and #call('XRANGE', L, pos, pos) == 0 then
    bury(id)
    return 'GONE'
  end
  note(seq)
  tidy() -- links that break again and again may bring no beat
  return fmt('OK %.0f', seq)
elseif what == 'leave' then
  in_any_case()
  bury(id)
  tidy()
  if servers == '' then
    call('DEL', L, S)
  else
    -- Whoever is left makes them stay with its next call. If nobody is, because the others are dead, nobody else would remove them.
    call('HSET', S, 'passing', 1, 'clock', fmt('%.0f', clock), 'at', fmt('%.0f', now))
    call('PEXPIRE', L, fmt('%.0f', 12 * lease))
    call('PEXPIRE', S, fmt('%.0f', 12 * lease))
  end
  return 'OK 0'
end
