-- The world of published rules on SFEmu: the second half of each published file. The first half declares
-- `rules` (in the order in which they are asked), `guest`, `errors`, `fields`, `here` and `call_name`.
--
-- Lua 5.3, nothing beyond its standard library and SFEmu's c_* functions. All scripts of SFEmu share one state:
-- nothing of its globals is changed here.

local world = _G
local rules_dir = __rules_dir or ""
local unpack, pack = table.unpack, string.pack
local MOST_ERRORS, MOST_LINES, LINE_BYTES = 16, 32, 512
local FIRST_INTERNAL, LAST_ERROR = 512, 4095

-- Set while one rule is asked, nil at other times.
local asked, acted, lines, changes = nil, false, 0, nil

local function log(text)
  text = string.gsub(string.sub(text, 1, LINE_BYTES), "%c", " ")
  if type(world.c_log) == "function" then
    world.c_log("[triage-tui] " .. text)
  end
end

-- What rules call --------------------------------------------------------------------------------------

local helper = {}

local function theirs(name)
  return function(...)
    local call = world[name]
    if type(call) ~= "function" then
      error("this SFEmu has no " .. name, 0)
    end
    return call(...)
  end
end

for name in string.gmatch([[
  c_get_timestamp c_read_guest_u32 c_read_guest_u64 c_list_regs c_get_reg c_resolve_addr c_async_probe_http
  c_request_reexec c_get_shadowstack c_do_syscall c_g2h c_h2g c_resolve_host_addr c_wait_user_continue
  c_watchdog_suspend]], "%S+") do
  helper[name] = theirs(name)
end

-- Counts a hit where what a helper gave back says that the guest was changed.
local function change(name, place)
  local call = theirs(name)
  return function(...)
    local first, second = call(...)
    local rc = place == 2 and second or first
    if math.type(rc) == "integer" and rc >= 0 then
      acted = true
    end
    return first, second
  end
end

local write_bytes = change("c_write_bytes", 2)
helper.c_write_bytes, helper.c_write_guest_bytes = write_bytes, write_bytes
helper.c_write_guest_u32, helper.c_write_guest_u64 = change("c_write_guest_u32", 1), change("c_write_guest_u64", 1)
helper.c_set_reg, helper.c_mkdir_p = change("c_set_reg", 2), change("c_mkdir_p", 2)
helper.c_open_host = change("c_open_host", 1)
helper.c_read_bytes, helper.c_read_guest_bytes = theirs("c_read_bytes"), theirs("c_read_bytes")

-- SFEmu wants the whole window mapped. So a window that cannot be read is read up to the end of its page: a
-- string that ends there is whole.
local PAGE = 4096
local read_string = theirs("c_read_string")
function helper.c_read_string(address, max)
  max = max == nil and 4096 or math.tointeger(max)
  local text, rc = read_string(address, max)
  if rc == 0 or address == 0 or max == nil or max <= 0 then
    return text, rc
  end
  local parts = {}
  while max > 0 do
    local room = math.min(max, PAGE - address % PAGE)
    local part, failed = read_string(address, room)
    if failed ~= 0 then
      return "", failed
    end
    parts[#parts + 1] = part
    if #part < room then
      break
    end
    address, max = address + room, max - room
  end
  return table.concat(parts), 0
end
helper.c_read_guest_string = helper.c_read_string

function helper.c_log(message)
  lines = lines + 1
  if lines > MOST_LINES then
    error("it wrote more than " .. MOST_LINES .. " log lines in one call", 0)
  end
  log((asked and asked.id .. ": " or "") .. tostring(message))
end

function helper.print(...)
  local parts = {}
  for number = 1, select("#", ...) do
    parts[number] = tostring((select(number, ...)))
  end
  helper.c_log(table.concat(parts, "\t"))
end

function helper.c_errno(name)
  return errors[name]
end

function helper.c_guest_info()
  return { arch = guest.arch, word = guest.word, order = guest.order }
end

-- SFEmu has read the arguments before rules are asked: the call is then made here, with the others.
function helper.c_set_arg(index, value)
  index, value = math.tointeger(index), math.tointeger(value)
  if index == nil or index < 1 or index > 8 or value == nil or changes == nil then
    return -22
  end
  changes[index], acted = value, true
  return 0
end

function helper.c_write_field(address, structure, field, value)
  local place = fields[structure] and fields[structure][field]
  if place == nil then
    return -22
  end
  local offset, size = place[1], place[2]
  local bytes = pack(guest.order .. "i8", math.tointeger(value))
  bytes = guest.order == "<" and string.sub(bytes, 1, size) or string.sub(bytes, -size)
  local _, rc = write_bytes(address + offset, bytes)
  return rc
end

function helper.c_ifreq_name(address)
  local bytes, rc = helper.c_read_bytes(address, 16)
  return rc == 0 and string.match(bytes, "^[^%z]*") or "", rc
end

-- The union behind the name of a struct ifreq, netdevice(7).
local IFREQ = { ifindex = 4, flags = 2, mtu = 4, metric = 4, hwaddr = 6, addr = 0, netmask = 0, broadaddr = 0, dstaddr = 0 }
function helper.c_ifreq_set(address, field, value)
  local size, bytes = IFREQ[field], nil
  if size == 0 and type(value) == "string" and #value == 4 then
    bytes = pack(guest.order .. "I2", 2) .. "\0\0" .. value .. string.rep("\0", 8)
  elseif size == 6 and type(value) == "string" and #value == 6 then
    bytes = pack(guest.order .. "I2", 1) .. value .. string.rep("\0", 8)
  elseif (size == 2 or size == 4) and math.type(value) == "integer" then
    bytes = pack(guest.order .. "I" .. size, value & ((1 << 8 * size) - 1))
  end
  if bytes == nil then
    return -22
  end
  local _, rc = write_bytes(address + 16, bytes)
  return rc
end

-- In the root that SFEmu runs in, where the file stays: parents included, complete or not at all.
function helper.c_provide_file(path, content)
  local there = io.open(path, "rb")
  if there ~= nil then
    there:close()
    return -17
  end
  local made = path .. ".provide"
  local file = io.open(made, "wb")
  if file == nil and type(world.c_mkdir_p) == "function" then
    world.c_mkdir_p(string.match(path, "^(.*)/[^/]*$") or ".", 493)
    file = io.open(made, "wb")
  end
  if file == nil then
    return -13
  end
  local written = file:write(content or "")
  if not (file:close() and written and os.rename(made, path)) then
    os.remove(made)
    return -5
  end
  acted = true
  return 0
end

-- Whether a function is on the call stack: as far as SFEmu keeps one, and knows the names.
function helper.c_called_from(module, name, most)
  local stack = helper.c_get_shadowstack()
  for number = 1, math.min(type(stack) == "table" and #stack or 0, most or 16) do
    local frame = helper.c_resolve_addr(stack[number])
    if type(frame) == "table" and frame.func_name == name and (module == nil or frame.module_name == module) then
      return true, 0
    end
  end
  return false, 0
end

-- What rules keep for each other; a guest that forks has a copy from then on.
local KEPT = "_triage_tui_shared"
function helper.c_shared_get(key)
  local kept = rawget(world, KEPT)
  local value = type(kept) == "table" and kept[key] or nil
  if value == nil then
    return nil, -2
  end
  return value, 0
end

function helper.c_shared_set(key, value)
  local kind = type(value)
  if type(key) ~= "string" or (value ~= nil and kind ~= "string" and kind ~= "number" and kind ~= "boolean") then
    error("bad argument: a key is a string, a value a string, number or boolean", 0)
  end
  if type(rawget(world, KEPT)) ~= "table" then
    rawset(world, KEPT, {})
  end
  rawget(world, KEPT)[key] = value
  return 0
end

-- The globals of a rule: those of triage-tui's rule host, copied, so that no rule changes SFEmu's.
local function copy(from, names)
  local to = {}
  for name in string.gmatch(names, "%S+") do
    to[name] = from[name]
  end
  return to
end

local function new_globals()
  local globals = copy(_G, "_VERSION assert error ipairs next pairs pcall rawequal rawget rawlen rawset select setmetatable tonumber tostring type xpcall")
  globals.math = copy(math, "abs acos asin atan ceil cos deg exp floor fmod huge log max maxinteger min mininteger modf pi rad sin sqrt tan tointeger type ult")
  globals.table = copy(table, "concat insert move pack remove sort unpack")
  globals.utf8 = copy(utf8, "char charpattern codepoint codes len offset")
  globals.string = copy(string, "byte char find format gmatch gsub len lower match pack packsize rep reverse sub unpack upper")
  globals._G = globals
  function globals.getmetatable(value)
    return type(value) == "table" and getmetatable(value) or nil
  end
  function globals.math.random()
    error("math.random is not available: rules must be deterministic", 2)
  end
  globals.math.randomseed = globals.math.random
  for name, value in pairs(helper) do
    globals[name] = value
  end
  return globals
end

-- One rule ---------------------------------------------------------------------------------------------

local function fail(rule, problem)
  rule.failures = rule.failures + 1
  log(rule.id .. " failed: " .. (type(problem) == "string" and problem or "an error value of type " .. type(problem)))
  if rule.failures >= MOST_ERRORS then
    rule.off = true
    log(rule.id .. " is not asked any more: " .. MOST_ERRORS .. " errors")
  end
end

local function load_rule(rule)
  rule.failures, rule.hits = 0, 0
  -- A rule without a header of ours is SFEmu's: it gets SFEmu's own world.
  local beyond = rule.plain and world or new_globals()
  local environment = setmetatable({ __rules_dir = rules_dir, __syscall_name = call_name }, { __index = beyond })
  -- Such a rule finds its rule directory by the name of its file, in the directory of SFEmu's model.
  local name = rule.plain and "@" .. rules_dir .. (here == "syscall" and here or "syscall_override") .. "/" .. call_name .. ".lua"
  local chunk, problem = load(rule.text, name or "=" .. rule.id, "t", environment)
  local good = chunk ~= nil
  if good then
    asked, lines = rule, 0
    good, problem = pcall(chunk)
    asked = nil
  end
  rule.before = good and rawget(environment, "do_syscall")
  rule.after = good and rawget(environment, "after_syscall")
  if not (rule.before or rule.after) then
    fail(rule, good and "it defines neither do_syscall nor after_syscall" or problem)
    rule.off = true
  end
end

local function is_internal(ret)
  return ret >= -LAST_ERROR and ret <= -FIRST_INTERNAL and ret ~= -(errors.EDQUOT or 0)
end

-- Returns whether the rule answers the call, and with what.
local function ask(rule, entry, num, ...)
  if rule.off or type(entry) ~= "function" or (rule.hit_limit and rule.hits >= rule.hit_limit) then
    return rule.off and rule.closed or false, -1
  end
  asked, acted, lines = rule, false, 0
  local good, action, ret = pcall(entry, num, ...)
  asked = nil
  if not good then
    fail(rule, action)
    return rule.closed or false, -1
  end
  local answers = action == true or action == 1
  if not rule.plain then
    ret = math.type(ret) == "integer" and ret or 0
    if answers and is_internal(ret) then
      fail(rule, "it answered " .. ret .. ", which is no error number that a program can get")
      return rule.closed or false, -1
    end
  end
  if answers or acted then
    rule.hits = rule.hits + 1
  end
  return answers, ret
end

-- The file that this one hides -------------------------------------------------------------------------

local function text_of(path)
  local file = io.open(path, "rb")
  if file == nil then
    return nil
  end
  local text = file:read("a")
  file:close()
  return text or ""
end

local function plain_path(path)
  return (string.gsub(string.gsub(path, "/%./", "/"), "//+", "/"))
end

local function own_path()
  local source = type(debug) == "table" and debug.getinfo(own_path, "S").source or ""
  return string.match(source, "^@(.*)$") or rules_dir .. here .. "/" .. call_name .. ".lua"
end

-- In the order in which SFEmu looks.
local function paths()
  local named, found = rawget(world, "SFEMU_RULES_OVERRIDE_DIR"), {}
  if type(named) ~= "string" or named == "" then
    named = "syscall_override_user:syscall_override"
  end
  for directory in string.gmatch(named .. ":syscall", "[^:]+") do
    directory = string.gsub(string.match(directory, "^%s*(.-)%s*$"), "/+$", "")
    if directory ~= "" then
      local from = string.sub(directory, 1, 1) == "/" and "" or rules_dir
      found[#found + 1] = from .. directory .. "/" .. call_name .. ".lua"
    end
  end
  return found
end

local function is_one_of_ours(text)
  for _, rule in ipairs(rules) do
    if rule.text == text then
      return true
    end
  end
  return false
end

local function load_hidden()
  local own, behind = plain_path(own_path()), false
  for _, path in ipairs(paths()) do
    if plain_path(path) == own then
      behind = true
    elseif behind then
      local text = text_of(path)
      if text ~= nil and is_one_of_ours(text) then
        -- It was asked already, as SFEmu would have asked it: what it hides where it lies stays hidden.
        return nil
      elseif text ~= nil then
        local environment = setmetatable({ __rules_dir = rules_dir, __syscall_name = call_name }, { __index = world })
        local chunk, problem = loadfile(path, "t", environment)
        local good = chunk ~= nil
        if good then
          good, problem = pcall(chunk)
        end
        if good and type(environment.do_syscall) == "function" then
          return environment.do_syscall
        end
        log(path .. " cannot be asked: " .. (good and "it defines no do_syscall" or tostring(problem)))
        return nil
      end
    end
  end
  return nil
end

local hidden, looked = nil, false

local function ask_hidden(num, ...)
  if not looked then
    hidden, looked = load_hidden(), true
  end
  if hidden == nil then
    return false, 0
  end
  local good, action, ret = pcall(hidden, num, ...)
  if not good then
    log("the rule behind this one failed on " .. call_name .. ": " .. tostring(action))
    return false, 0
  end
  return action, ret
end

-- A rule of SFEmu's own that loads files asks what it hides by itself: it is not to be asked twice.
local function asks_it_itself()
  for _, rule in ipairs(rules) do
    if rule.loads and not rule.off then
      return true
    end
  end
  return false
end

-- What SFEmu calls ---------------------------------------------------------------------------------------

for _, rule in ipairs(rules) do
  load_rule(rule)
end

-- Makes the call in the place of SFEmu, and shows what it gave to the rules that want to see it.
local function make(num, args)
  local ret = theirs("c_do_syscall")(num, unpack(args, 1, 8))
  for _, rule in ipairs(rules) do
    if rule.after and math.type(ret) == "integer" and not is_internal(ret) then
      local answers, other = ask(rule, rule.after, num, ret, unpack(args, 1, 8))
      ret = answers and other or ret
    end
  end
  return 1, ret
end

function do_syscall(num, a1, a2, a3, a4, a5, a6, a7, a8)
  local args = { a1 or 0, a2 or 0, a3 or 0, a4 or 0, a5 or 0, a6 or 0, a7 or 0, a8 or 0 }
  local wanted, changed = false, {}
  for _, rule in ipairs(rules) do
    changes = changed
    local answers, ret = ask(rule, rule.before, num, unpack(args, 1, 8))
    changes = nil
    if answers then
      return 1, ret
    end
    wanted = wanted or (rule.after and not rule.off and not (rule.hit_limit and rule.hits >= rule.hit_limit))
  end
  for index, value in pairs(changed) do
    args[index], wanted = value, true
  end
  local action, ret = false, 0
  if not asks_it_itself() then
    action, ret = ask_hidden(num, unpack(args, 1, 8))
  end
  if action == true or action == 1 then
    return action, ret
  end
  if wanted and type(world.c_do_syscall) == "function" then
    return make(num, args)
  end
  return 0, 0
end
