/**
 * What the engine does in one step each, in Lua. Whatever comes of it is published to the inboxes of the nodes that it
 * concerns, in the order in which it came to be; a reply only says that a script was run.
 *
 * Keys, all of which begin with the prefix (first argument of every script):
 *
 * - `room:{room}` hash: ident → stay (see `messages.ts`)
 * - `on:{room}` hash: node → how many members of it are in the room
 * - `rooms` sorted set: names of all rooms, in the order of their bytes
 * - `node:{node}` hash: address → serial, of all members of a node
 * - `nodes` sorted set: node → its last beat, in milliseconds by the engine's clock
 * - `since`, `limits`, `synced` hashes: node → since when its beats are unbroken; its `maxRoomPeers`; in which life of
 *   the engine it has told all its members
 * - `dead` list: nodes whose members are being removed; `fenced:{node}`: it is one, or was
 * - `name:{name}`: the node of that name; `serial`: the last one; `born`: when the first node came; `version`
 */

import { LIFE_MS, REAP_AT_ONCE } from "./lease.ts";
import { FIELD, ITEM, PREFIX } from "./messages.ts";

const lua = (text: string) =>
  JSON.stringify(text).replace(/\\u00(..)/g, (_, hex) => `\\${parseInt(hex, 16)}`);

const COMMON = `
local P, F = ARGV[1], ${lua(FIELD)}
local function split(stay)
  local serial, node, since, claimed, proof = string.match(stay, '^(%d+)' .. F .. '([^' .. F .. ']*)' .. F ..
    '(%d+)' .. F .. '([01])' .. F .. '([^' .. F .. ']*)')
  return serial, node, since, claimed, proof
end
local function clock()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end
local function tell(node, kind, ...)
  return redis.call('PUBLISH', P .. 'inbox:' .. node, ${lua(PREFIX)} .. kind .. F .. table.concat({...}, F))
end
local function put(room, ident, stay, serial, node)
  if redis.call('HSET', P .. 'room:' .. room, ident, stay) == 1 and
    redis.call('HLEN', P .. 'room:' .. room) == 1 then redis.call('ZADD', P .. 'rooms', 0, room) end
  redis.call('HSET', P .. 'node:' .. node, room .. ':' .. ident, serial)
  return redis.call('HINCRBY', P .. 'on:' .. room, node, 1)
end
local function take(room, ident, node)
  redis.call('HDEL', P .. 'room:' .. room, ident)
  redis.call('HDEL', P .. 'node:' .. node, room .. ':' .. ident)
  if redis.call('HINCRBY', P .. 'on:' .. room, node, -1) < 1 then redis.call('HDEL', P .. 'on:' .. room, node) end
  if redis.call('EXISTS', P .. 'room:' .. room) == 0 then redis.call('ZREM', P .. 'rooms', room) end
end
local function depart(room, ident, serial, node, reason)
  local nodes = redis.call('HKEYS', P .. 'on:' .. room)
  take(room, ident, node)
  for _, other in ipairs(nodes) do tell(other, 'G', room, ident, serial, reason) end
end
local function fence(node)
  redis.call('ZREM', P .. 'nodes', node)
  for _, key in ipairs({'since', 'limits', 'synced'}) do redis.call('HDEL', P .. key, node) end
  redis.call('SET', P .. 'fenced:' .. node, 1, 'EX', 3600)
  redis.call('RPUSH', P .. 'dead', node)
end
local function reap()
  local node = redis.call('LINDEX', P .. 'dead', 0)
  if not node then return 0 end
  local members = redis.call('HRANDFIELD', P .. 'node:' .. node, ${REAP_AT_ONCE}, 'WITHVALUES')
  for at = 1, #members, 2 do
    local room, ident = string.match(members[at], '^(.*):([^:]*)$')
    local current = redis.call('HGET', P .. 'room:' .. room, ident)
    if current and split(current) == members[at + 1] then depart(room, ident, members[at + 1], node, 'timeout')
    else redis.call('HDEL', P .. 'node:' .. node, members[at]) end
  end
  if redis.call('HLEN', P .. 'node:' .. node) == 0 then redis.call('LPOP', P .. 'dead') end
  return redis.call('LLEN', P .. 'dead')
end
local function listed(room, life)
  local list, synced = {}, {}
  local members = redis.call('HGETALL', P .. 'room:' .. room)
  for at = 1, #members, 2 do
    local _, node = split(members[at + 1])
    if synced[node] == nil then synced[node] = redis.call('HGET', P .. 'synced', node) == life end
    if synced[node] then list[#list + 1] = members[at] .. F .. members[at + 1] end
  end
  return table.concat(list, ${lua(ITEM)})
end
`;

/** A script's arguments come behind the prefix. */
export const SCRIPTS = {
  /** node room ident limit request proof since info list? life */
  join: COMMON + `
local N, room, ident, limit, request, proof, since, info, want, life = unpack(ARGV, 2, 11)
if redis.call('PUBSUB', 'NUMSUB', P .. 'inbox:' .. N)[2] == 0 then return 'DEAF' end
if not redis.call('ZSCORE', P .. 'nodes', N) then return 'UNKNOWN' end
local key = P .. 'room:' .. room
local current = redis.call('HGET', key, ident)
if current then
  local serial, node, held, claimed, former = split(current)
  local counts_more = since ~= '' and (claimed == '0' or tonumber(held) < tonumber(since))
  if not counts_more and not (proof ~= '' and proof == former) then
    tell(N, 'R', request, 'ident-taken')
    return 'OK'
  end
  depart(room, ident, serial, node, 'replaced')
end
limit = tonumber(limit)
for _, other in ipairs(redis.call('HVALS', P .. 'limits')) do limit = math.min(limit, tonumber(other)) end
if redis.call('HLEN', key) >= limit then
  tell(N, 'R', request, 'room-full')
  return 'OK'
end
local time = clock()
local serial = string.format('%.0f', math.max(tonumber(redis.call('GET', P .. 'serial') or 0) + 1, time))
redis.call('SET', P .. 'serial', serial)
local claimed = since ~= '' and '1' or '0'
if since == '' then since = string.format('%.0f', math.floor(time / 1000)) end
local stay = table.concat({serial, N, since, claimed, proof, info}, F)
local list = ''
if want == '1' or not redis.call('HGET', P .. 'on:' .. room, N) then list = listed(room, life) end
put(room, ident, stay, serial, N)
for _, other in ipairs(redis.call('HKEYS', P .. 'on:' .. room)) do
  if other ~= N then tell(other, 'J', '', room, ident, stay) end
end
tell(N, 'J', request, room, ident, stay .. ${lua(ITEM)} .. list)
return 'OK'
`,

  /** node reason, then room ident serial, any number of times */
  depart: COMMON + `
local N, reason = ARGV[2], ARGV[3]
for at = 4, #ARGV, 3 do
  local room, ident, serial = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local current = redis.call('HGET', P .. 'room:' .. room, ident)
  if current then
    local held, node = split(current)
    if held == serial and node == N then depart(room, ident, serial, N, reason) end
  end
end
return 'OK'
`,

  /** node first? name limit version: whether it may go on, when the engine was new, how many dead are left to remove */
  beat: COMMON + `
local N, first, name, limit, version = unpack(ARGV, 2, 6)
local other = redis.call('GET', P .. 'version')
if other and other ~= version then return {'VERSION', other, 0} end
if redis.call('EXISTS', P .. 'fenced:' .. N) == 1 then return {'FENCED', '', 0} end
local time = math.floor(clock() / 1000)
local last = redis.call('ZSCORE', P .. 'nodes', N)
if first == '1' then
  redis.call('SET', P .. 'version', version)
  redis.call('SET', P .. 'born', time, 'NX')
  if name ~= '' then
    local former = redis.call('GET', P .. 'name:' .. name)
    if former and former ~= N and redis.call('ZSCORE', P .. 'nodes', former) then
      fence(former)
      tell(former, 'F')
    end
    redis.call('SET', P .. 'name:' .. name, N)
  end
  redis.call('HSET', P .. 'limits', N, limit)
elseif not last then
  return {'UNKNOWN', '', 0}
end
local since = redis.call('HGET', P .. 'since', N)
if not since or not last or time - tonumber(last) > 5000 then
  since = time
  redis.call('HSET', P .. 'since', N, time)
end
redis.call('ZADD', P .. 'nodes', time, N)
tell(N, 'P')
local life = ${LIFE_MS}
if time - tonumber(since) >= life then
  for _, node in ipairs(redis.call('ZRANGE', P .. 'nodes', '-inf', time - life, 'BYSCORE')) do fence(node) end
end
return {'OK', redis.call('GET', P .. 'born') or '', reap()}
`,

  /** Removes some more of the members of dead nodes. */
  reap: COMMON + `
return reap()
`,

  /** node life, then room ident stay: what a node holds, told anew */
  sync: COMMON + `
local N, life = ARGV[2], ARGV[3]
local told, order = {}, {}
for at = 4, #ARGV, 3 do
  local room, ident, stay = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local current = redis.call('HGET', P .. 'room:' .. room, ident)
  local free = true
  if current then
    local serial, node = split(current)
    if current == stay then free = false
    elseif node == N or redis.call('HGET', P .. 'synced', node) ~= life then take(room, ident, node)
    else free = false end
  end
  if free then put(room, ident, stay, split(stay), N) end
  if free or current == stay then
    if not told[room] then
      told[room] = {}
      order[#order + 1] = room
    end
    table.insert(told[room], ident .. F .. stay)
  end
end
for _, room in ipairs(order) do
  local list = table.concat(told[room], ${lua(ITEM)})
  for _, other in ipairs(redis.call('HKEYS', P .. 'on:' .. room)) do
    if other ~= N then tell(other, 'S', room, list) end
  end
end
return 'OK'
`,

  /** node life: it has told all that it holds */
  synced: COMMON + `
redis.call('HSET', P .. 'synced', ARGV[2], ARGV[3])
return 'OK'
`,

  /** node life, then rooms: who is in them */
  view: COMMON + `
for at = 4, #ARGV do tell(ARGV[2], 'V', ARGV[at], listed(ARGV[at], ARGV[3])) end
return 'OK'
`,

  /** node mark: all that the engine holds for the node at this point of its inbox */
  mark: COMMON + `
local list = {}
local members = redis.call('HGETALL', P .. 'node:' .. ARGV[2])
for at = 1, #members, 2 do list[#list + 1] = members[at] .. F .. members[at + 1] end
tell(ARGV[2], 'E', ARGV[3], table.concat(list, ${lua(ITEM)}))
return 'OK'
`,

  /** node name: it ends, and has taken leave of all its members */
  bye: COMMON + `
local N, name = ARGV[2], ARGV[3]
if redis.call('ZSCORE', P .. 'nodes', N) then fence(N) end
if name ~= '' and redis.call('GET', P .. 'name:' .. name) == N then redis.call('DEL', P .. 'name:' .. name) end
return reap()
`,

  /** room ident reason: asks the node of a member to end it */
  end: COMMON + `
local room, ident, reason = ARGV[2], ARGV[3], ARGV[4]
local current = redis.call('HGET', P .. 'room:' .. room, ident)
if not current then return 0 end
local serial, node = split(current)
return tell(node, 'X', room, ident, serial, reason)
`,
} as const;

export type ScriptName = keyof typeof SCRIPTS;
