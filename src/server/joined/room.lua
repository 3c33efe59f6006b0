-- One room on several servers, version 1.  KEYS: the log (a stream), the state (a hash).
-- ARGV: operation, server, connection, position, then what the operation needs.
--
-- An entry's ID is <ms>-<end>. `end` counts all bytes ever appended, plus COST for each entry, so end - length - COST
-- is the `end` of the entry before: a reader notices every gap.  Times are the engine's own.
-- State: version, head, low (everything below was read by all), clock, at (time of the last call), lease, window,
-- longest, servers, passing (the keys are about to expire), h:<server> = "seq position deadline connection",
-- n:<name> = "server client deaf".
-- Results are plain strings: Redis 7 would turn an error reply `GONE` into `ERR GONE`.
local L, S, what, id, conn, pos = KEYS[1], KEYS[2], ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local call, fmt, COST = redis.call, string.format, 128
local FIELDS = ' version head low clock at lease window longest servers passing '
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local f = call('HMGET', S, 'version', 'head', 'low', 'clock', 'at', 'lease', 'window', 'longest', 'servers', 'passing',
  'h:' .. id)
local servers = f[9] or ''

local function is_member(server) return string.find(' ' .. servers .. ' ', ' ' .. server .. ' ', 1, true) end

if what == 'join' then -- version, lease, window, longest entry, server to bury first or ''
  if not f[1] then
    -- An engine that loses transactions but no single commands leaves a state with some of these fields.
    local all = call('HGETALL', S)
    for i = 1, #all, 2 do
      local ours = string.find(all[i], '^[hn]:') or string.find(FIELDS, ' ' .. all[i] .. ' ', 1, true)
      if not ours then return 'FOREIGN' end
    end
    call('XLEN', L) -- raises an error if the key is another kind of value
    call('DEL', L, S) -- what is left of a room that was lost
    f = {ARGV[5], '0-0', '0', '0', fmt('%.0f', now), ARGV[6], ARGV[7], ARGV[8], '', false, false}
    call('HSET', S, 'version', f[1], 'head', f[2], 'low', 0, 'clock', 0, 'at', f[5], 'lease', f[6], 'window', f[7],
      'longest', f[8], 'servers', '')
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

local function bury(server) -- frees the names of a server, and says so
  append('g ' .. server .. ' 0', '')
  local rest = {}
  for one in string.gmatch(servers, '%S+') do if one ~= server then rest[#rest + 1] = one end end
  servers = table.concat(rest, ' ')
  call('HSET', S, 'head', head, 'servers', servers)
  call('HDEL', S, 'h:' .. server)
  local all = call('HGETALL', S)
  for i = 1, #all, 2 do
    if string.sub(all[i], 1, 2) == 'n:' and string.sub(all[i + 1], 1, #server + 1) == server .. ' ' then
      call('HDEL', S, all[i])
    end
  end
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
elseif what == 'say' then -- seq, kind, data
  local n = tonumber(ARGV[5])
  if n <= seq then note(seq) return 'OK 0' end
  if n ~= seq + 1 then return 'SKIP' end
  if is_full() then note(seq) return 'FULL' end
  append(fmt('%s %s %.0f', ARGV[6], id, n), ARGV[7])
  note(n)
  return 'OK ' .. head
elseif what == 'name' then -- seq, client, deaf, old name, new name; either may be empty
  local n, client, deaf, old, new = tonumber(ARGV[5]), ARGV[6], ARGV[7], ARGV[8], ARGV[9]
  if n <= seq then note(seq) return 'OK 0' end
  if n ~= seq + 1 then return 'SKIP' end
  if new == '' then
    in_any_case()
  else
    local holder, mine = call('HGET', S, 'n:' .. new), id .. ' ' .. client .. ' '
    -- No entry, so no number is used up: an engine that comes back from a moment before finds the next one in order.
    if holder and string.sub(holder, 1, #mine) ~= mine then note(seq) return 'TAKEN' end
    if is_full() then note(seq) return 'FULL' end
  end
  append(fmt('n %s %.0f %s %s', id, n, client, deaf), old .. ':' .. new)
  if old ~= '' and old ~= new then call('HDEL', S, 'n:' .. old) end
  if new ~= '' then call('HSET', S, 'n:' .. new, fmt('%s %s %s', id, client, deaf)) end
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
