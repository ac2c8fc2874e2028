-- The world of one rule: a pruned library, SFEmu's c_* helpers, and the budgets.
--
-- The host runs this once per rule, in a Lua state of the rule's own. Everything that a rule must not reach
-- (the bridge to the host, debug.sethook, load) is an upvalue here, and no function that could look at
-- upvalues is left in the rule's environment. This is the first line of defence; the process around it is
-- the second, so nothing here has to be perfect, but a rule should lose its budget with a clear sentence
-- and not with a killed process.

local ask, say, INSTRUCTIONS, REQUESTS, REQUEST_BYTES, LINES, LINE_BYTES, ENOSYS = ...

local error, pcall, type, tostring, tonumber, rawget, rawset, rawlen, pairs, next, setmetatable, select =
  error, pcall, type, tostring, tonumber, rawget, rawset, rawlen, pairs, next, setmetatable, select
local load, sethook, tointeger, math_type = load, debug.sethook, math.tointeger, math.type
local sub, gmatch, format, char, find = string.sub, string.gmatch, string.format, string.char, string.find
local unpack_number, pack_number = string.unpack, string.pack
local concat, unpack = table.concat, table.unpack

local EPERM, EFAULT, EACCES, EINVAL = 1, 14, 13, 22
local STEP = 1000

-- Budgets ---------------------------------------------------------------------------------------------

local spent, requests, lines = 0, 0, 0
local exhausted = nil

local function exhaust(reason)
  exhausted = exhausted or reason
  error(exhausted, 0)
end

-- Once a budget is gone every further step fails as well: a rule that swallows the error with pcall only
-- gets it again at the next count and when pcall returns.
local function count()
  spent = spent + STEP
  if spent > INSTRUCTIONS then
    exhaust("it used more than " .. INSTRUCTIONS .. " instructions")
  end
end

local function request(...)
  requests = requests + 1
  if requests > REQUESTS then
    exhaust("it asked the guest more than " .. REQUESTS .. " times in one call")
  end
  return ask(...)
end

local function after(ok, ...)
  if exhausted then
    error(exhausted, 0)
  end
  if not ok and type((...)) == "userdata" then
    return false, "host error"
  end
  return ok, ...
end

local function guarded_pcall(f, ...)
  return after(pcall(f, ...))
end

-- A message handler would run inside the hook, where no further count is made; so it runs afterwards.
local function handled(handler, ok, ...)
  if ok then
    return ok, ...
  end
  return false, handler((...))
end

local function guarded_xpcall(f, handler, ...)
  return handled(handler, guarded_pcall(f, ...))
end

-- Finalizers run without counts and swallow errors: none are accepted.
local function guarded_setmetatable(object, metatable)
  if type(metatable) == "table" and rawget(metatable, "__gc") ~= nil then
    error("finalizers (__gc) are not available to rules", 2)
  end
  return setmetatable(object, metatable)
end

-- Arguments -------------------------------------------------------------------------------------------

local function integer(value, default, what)
  if value == nil and default ~= nil then
    return default
  end
  local number = tointeger(tonumber(value))
  if number == nil then
    error("bad argument: " .. what .. " must be an integer, not " .. type(value), 3)
  end
  return number
end

local function text(value, what)
  if type(value) == "number" then
    value = tostring(value)
  end
  if type(value) ~= "string" then
    error("bad argument: " .. what .. " must be a string, not " .. type(value), 3)
  end
  if #value > REQUEST_BYTES then
    error("bad argument: " .. what .. " is longer than " .. REQUEST_BYTES .. " bytes", 3)
  end
  return value
end

local function register_key(value)
  if type(value) == "string" then
    return value
  end
  return integer(value, nil, "register")
end

-- Helpers ---------------------------------------------------------------------------------------------

local helper = {}

function helper.c_log(message)
  if type(message) ~= "string" and type(message) ~= "number" then
    error("bad argument: message must be a string, not " .. type(message), 2)
  end
  lines = lines + 1
  if lines > LINES then
    exhaust("it wrote more than " .. LINES .. " log lines in one call")
  end
  say(sub(tostring(message), 1, LINE_BYTES))
end

function helper.c_get_timestamp()
  local _, seconds, nanoseconds = request("clock")
  return seconds, nanoseconds
end

-- SFEmu needs the whole window of `max` bytes mapped; here a string that ends before an unmapped page is
-- read as well, so that rules which retry with smaller windows work unchanged.
function helper.c_read_string(address, max)
  address, max = integer(address, nil, "addr"), integer(max, 4096, "max")
  if max <= 0 then
    return "", -EINVAL
  end
  if address == 0 then
    return "(null)", 0
  end
  local rc, value = request("read_string", address, max)
  return value or "", rc
end
helper.c_read_guest_string = helper.c_read_string

local function reader(size)
  return function(address)
    local rc, value = request("read_integer", integer(address, nil, "addr"), size)
    return value or 0, rc
  end
end
helper.c_read_guest_u32, helper.c_read_guest_u64 = reader(4), reader(8)

local function writer(size)
  return function(address, value)
    local rc = request("write_integer", integer(address, nil, "addr"), size, integer(value, nil, "value"))
    return rc
  end
end
helper.c_write_guest_u32, helper.c_write_guest_u64 = writer(4), writer(8)

function helper.c_read_bytes(address, length)
  address, length = integer(address, nil, "addr"), integer(length, nil, "len")
  if length == 0 then
    return "", 0
  end
  local rc, value = request("read_bytes", address, length)
  return value or "", rc
end
helper.c_read_guest_bytes = helper.c_read_bytes

function helper.c_write_bytes(address, bytes)
  address, bytes = integer(address, nil, "addr"), text(bytes, "bytes")
  local rc = request("write_bytes", address, bytes)
  return rc == 0 and #bytes or 0, rc
end
helper.c_write_guest_bytes = helper.c_write_bytes

function helper.c_list_regs()
  local rc, names = request("register_names")
  local list = {}
  if rc == 0 then
    for name in gmatch(names, "[^\n]+") do
      list[#list + 1] = { num = #list, name = name, feature = "core" }
    end
  end
  return list
end

function helper.c_get_reg(register)
  local rc, value, size = request("get_register", register_key(register))
  if rc < 0 then
    return nil, 0, rc
  end
  return value, size, rc
end

function helper.c_set_reg(register, value)
  register = register_key(register)
  local rc, written
  if type(value) == "string" then
    rc, written = request("set_register_bytes", register, text(value, "value"))
  else
    rc, written = request("set_register", register, integer(value, nil, "value"))
  end
  return written or 0, rc
end

-- In the guest's own network; nothing is told of the answer, as in SFEmu.
function helper.c_async_probe_http(ip, timeout, payload)
  ip, timeout = text(ip == nil and "127.0.0.1" or ip, "ip"), integer(timeout, 500, "timeout_ms")
  payload = text(payload == nil and "GET / HTTP/1.0\r\n\r\n" or payload, "payload")
  local rc = request("probe_http", ip, timeout, payload)
  return rc == 0, rc
end

-- Arguments are counted as in do_syscall: a1 is argument 1.
function helper.c_set_arg(index, value)
  local rc = request("set_argument", integer(index, nil, "i"), integer(value, nil, "value"))
  return rc
end

function helper.c_start_program()
  local rc = request("start_program")
  return rc
end

local function facts_in(text)
  local info = {}
  for key, kind, value in gmatch(text, "([%w_]+)=([is])([^\0]*)\0") do
    info[key] = kind == "i" and tointeger(tonumber(value)) or value
  end
  return info
end

function helper.c_resolve_addr(address)
  local rc, facts = request("resolve_address", integer(address, nil, "addr"))
  if rc < 0 then
    return nil, rc
  end
  return facts_in(facts), rc
end

-- The call stack, innermost frame first; each frame is as what c_resolve_addr gives.
function helper.c_callers(most)
  local rc, facts = request("callers", integer(most, 16, "most"))
  local frames = {}
  if rc == 0 then
    for frame in gmatch(facts, "(.-%z)%z") do
      frames[#frames + 1] = facts_in(frame)
    end
  end
  return frames, rc
end

-- Whether a function of that name, in a module of that name (nil: any), is on the call stack.
function helper.c_called_from(module, name, most)
  name = text(name, "function")
  module = module ~= nil and text(module, "module") or nil
  local frames, rc = helper.c_callers(most)
  for place = 1, #frames do
    local frame = frames[place]
    if frame.func_name == name and (module == nil or frame.module_name == module) then
      return true, rc
    end
  end
  return false, rc
end

-- Returns nil, rc where the file is not mapped, or is another build than the one that is named.
function helper.c_module_base(path, build)
  local rc, base = request("module_base", text(path, "path"), text(build, "build"))
  if rc < 0 then
    return nil, rc
  end
  return base, rc
end

function helper.c_get_shadowstack()
  return {}
end

function helper.c_mkdir_p(path, mode)
  local rc = request("mkdir_p", text(path, "path"), integer(mode, 493, "mode"))
  return rc == 0, rc
end

-- SFEmu knows no label.
function helper.c_open_host(path, flags, mode, label)
  path, flags, mode = text(path, "path"), integer(flags, 0, "flags"), integer(mode, 420, "mode")
  local rc = request("open_host", path, flags, mode, text(label or "", "label"))
  return rc
end

-- Extensions ------------------------------------------------------------------------------------------

function helper.c_provide_file(path, content, mode)
  local rc = request("provide_file", text(path, "path"), text(content or "", "content"), integer(mode, 420, "mode"))
  return rc
end

function helper.c_provide_socket(path, mode)
  local rc = request("provide_socket", text(path, "path"), integer(mode, 438, "mode"))
  return rc
end

-- A directory goes with all that is in it; only the guest's copy of the root changes.
function helper.c_remove_path(path)
  local rc = request("remove_path", text(path, "path"))
  return rc
end

function helper.c_open_bytes(content, flags, label)
  label = text(label or "", "label")
  local rc = request("open_bytes", text(content or "", "content"), integer(flags, 0, "flags"), label)
  return rc
end

-- All processes of the guest share the private file of one label; the first opening gives it its content.
function helper.c_open_shared(label, content, flags)
  label, content = text(label, "label"), text(content or "", "content")
  local rc = request("open_shared", content, integer(flags, 0, "flags"), label)
  return rc
end

function helper.c_write_shared(label, offset, bytes)
  local rc = request("write_shared", text(label, "label"), integer(offset, nil, "offset"), text(bytes, "bytes"))
  return rc
end

-- The label that a rule gave what a descriptor is open on, whatever its number is by now.
function helper.c_fd_label(fd)
  local rc, label = request("descriptor_label", integer(fd, nil, "fd"))
  return label or "", rc
end

-- -100 (AT_FDCWD) stands for the working directory.
function helper.c_fd_path(fd)
  local rc, path = request("descriptor_path", integer(fd, nil, "fd"))
  return path or "", rc
end

-- The links of its directories are followed; the last part is not.
function helper.c_real_path(path)
  local rc, real = request("real_path", text(path, "path"))
  return real or "", rc
end

function helper.c_write_field(address, structure, field, value)
  address, value = integer(address, nil, "addr"), integer(value, nil, "value")
  local rc = request("write_field", address, text(structure, "structure"), text(field, "field"), value)
  return rc
end

function helper.c_ifreq_name(address)
  local rc, name = request("ifreq_name", integer(address, nil, "arg"))
  return name or "", rc
end

function helper.c_ifreq_set(address, field, value)
  address, field = integer(address, nil, "arg"), text(field, "field")
  if type(value) ~= "string" then
    value = integer(value, nil, "value")
  end
  local rc = request("ifreq_set", address, field, value)
  return rc
end

function helper.c_socket_stub(kind, flags, protocol, label)
  local number = protocol == nil and -1 or integer(protocol, 0, "protocol") & 0xffffffff
  kind, flags, label = text(kind, "kind"), integer(flags, 0, "type") & 0xffffffff, text(label or "", "label")
  local rc = request("socket_stub", kind, flags, number, label)
  return rc
end

-- A script as the flat row of `peer_script.read_script`. Fields of a table are read raw: nothing of the rule runs.
local FITS = { "equals", "starts", "contains" }

local function add_reply(row, reply)
  if type(reply) ~= "table" then
    row[#row + 1] = 1
    row[#row + 1] = text(reply == nil and "" or reply, "reply")
    return
  end
  local parts = rawlen(reply)
  row[#row + 1] = parts
  for index = 1, parts do
    local part = rawget(reply, index)
    if type(part) == "table" then
      row[#row + 1] = integer(rawget(part, 1), nil, "offset")
      row[#row + 1] = integer(rawget(part, 2), nil, "count")
    else
      row[#row + 1] = text(part, "reply")
    end
  end
end

local function add_step(row, step)
  if type(step) ~= "table" then
    error("bad argument: each of replies must be a table, not " .. type(step), 4)
  end
  local fit, wanted = 3, ""
  for number = 1, #FITS do
    local value = rawget(step, FITS[number])
    if value ~= nil then
      fit, wanted = number - 1, text(value, FITS[number])
    end
  end
  row[#row + 1] = fit
  row[#row + 1] = wanted
  row[#row + 1] = (rawget(step, "once") == true and 1 or 0) | (rawget(step, "hang_up") == true and 2 or 0)
  add_reply(row, rawget(step, "reply"))
end

local function script_row(script)
  if type(script) ~= "table" then
    error("bad argument: script must be a table, not " .. type(script), 3)
  end
  local replies = rawget(script, "replies") or {}
  if type(replies) ~= "table" then
    error("bad argument: replies must be a table, not " .. type(replies), 3)
  end
  local row = {
    text(rawget(script, "name") or "peer", "name"),
    text(rawget(script, "greeting") or "", "greeting"),
    text(rawget(script, "border") or "", "border"),
    rawget(script, "ordered") == true and 1 or 0,
  }
  for index = 1, rawlen(replies) do
    add_step(row, rawget(replies, index))
  end
  return row
end

function helper.c_connect_peer(fd, mode, script)
  fd, mode = integer(fd, nil, "fd"), text(mode or "blackhole", "mode")
  local rc
  if mode == "script" then
    rc = request("connect_script", fd, unpack(script_row(script)))
  else
    rc = request("connect_peer", fd, mode)
  end
  return rc
end

function helper.c_tell_peer(fd, message)
  local rc = request("tell_peer", integer(fd, nil, "fd"), text(message == nil and "" or message, "message"))
  return rc
end

function helper.c_errno(name)
  local rc, number = request("errno_number", text(name, "name"))
  return number
end

-- Of the program that makes the call: a guest may execute one of another architecture. `order` is for string.pack.
function helper.c_guest_info()
  local _, arch, word, order = request("guest_info")
  return { arch = arch, word = word, order = order }
end

-- Rules have a Lua state each; what they keep for each other goes through the supervisor, by value, so that
-- it is bounded and outlives a restart of this process. Returns value (nil: none), rc.
function helper.c_shared_get(key)
  local rc, value = request("shared_get", text(key, "key"))
  if rc ~= 0 then
    return nil, rc
  end
  local kind, rest = sub(value, 1, 1), sub(value, 2)
  if kind == "s" then
    return rest, rc
  elseif kind == "b" then
    return rest == "1", rc
  elseif kind == "i" then
    return tointeger(tonumber(rest)), rc
  end
  return (unpack_number("<d", rest)), rc
end

-- Returns rc; nil takes the value away.
function helper.c_shared_set(key, value)
  key = text(key, "key")
  local encoded
  if value == nil then
    encoded = ""
  elseif type(value) == "string" then
    encoded = "s" .. text(value, "value")
  elseif type(value) == "boolean" then
    encoded = value and "b1" or "b0"
  elseif math_type(value) == "integer" then
    encoded = "i" .. format("%d", value)
  elseif math_type(value) == "float" then
    encoded = "n" .. pack_number("<d", value)
  else
    error("bad argument: value must be a string, number or boolean, not " .. type(value), 2)
  end
  local rc = request("shared_set", key, encoded)
  return rc
end

-- SFEmu starts its emulator again on the spot. Here the wish is put on record and the call goes on: starting
-- again is a retry, which a person or a written policy decides.
function helper.c_request_reexec(tag)
  local rc = request("request_reexec", text(tag == nil and "" or tag, "tag"))
  return rc == 0, rc
end

-- What this engine does not do keeps its return shape and says ENOSYS.
function helper.c_do_syscall() return -ENOSYS end
function helper.c_g2h() return nil end
function helper.c_h2g() return 0 end
function helper.c_resolve_host_addr() return nil, -ENOSYS end
function helper.c_wait_user_continue() return false, -ENOSYS end
function helper.c_watchdog_suspend() return false, -ENOSYS end

-- The rule's globals ----------------------------------------------------------------------------------

local function copy(from, names)
  local to = {}
  for name in gmatch(names, "%S+") do
    to[name] = from[name]
  end
  return to
end

local globals = copy(_G, "_VERSION assert error getmetatable ipairs next pairs rawequal rawget rawlen rawset select tonumber tostring type")
globals.pcall, globals.xpcall, globals.setmetatable = guarded_pcall, guarded_xpcall, guarded_setmetatable
globals.math = copy(math, "abs acos asin atan ceil cos deg exp floor fmod huge log max maxinteger min mininteger modf pi rad sin sqrt tan tointeger type ult")
-- The same calls must get the same answers in a retry.
function globals.math.random()
  error("math.random is not available: rules must be deterministic", 2)
end
globals.math.randomseed = globals.math.random
globals.table = copy(table, "concat insert move pack remove sort unpack")
globals.utf8 = copy(utf8, "char charpattern codepoint codes len offset")
globals.string = string
globals._G = globals
for name, value in pairs(helper) do
  globals[name] = value
end

function globals.print(...)
  local parts = {}
  for index = 1, select("#", ...) do
    local value = (select(index, ...))
    parts[index] = type(value) == "table" and "table" or tostring(value)
  end
  helper.c_log(concat(parts, "\t"))
end

-- String values reach the library through their metatable: prune the library itself and hide the metatable.
string.dump = nil
getmetatable("").__metatable = false
for name in pairs(copy(_G, "python debug os io package require dofile loadfile load loadstring collectgarbage coroutine")) do
  _G[name] = nil
end

-- What the host calls ---------------------------------------------------------------------------------

local environment = nil

-- Error values may be tables with hostile metamethods; only plain text is passed on.
local function describe(value)
  if type(value) == "string" then
    return sub(value, 1, 400)
  end
  return "an error value of type " .. type(value)
end

local function begin()
  spent, requests, lines, exhausted = 0, 0, 0, nil
end

local function compile(name, source, env)
  if sub(source, 1, 1) == "\27" then
    return nil, "binary chunks are not accepted"
  end
  return load(source, "=" .. name, "t", env)
end

-- check(name, source) -> nil or the compiler's message; nothing of the source is run.
local function check(name, source)
  begin()
  local chunk, message = compile(name, source, {})
  if chunk == nil then
    return describe(message)
  end
  return nil
end

-- install(name, source, syscall, rules_dir) -> kind ("", "error", "budget"), message, false, which
-- which: 1 it defines do_syscall, 2 after_syscall, 3 both
local function install(name, source, syscall, rules_dir)
  begin()
  environment = setmetatable({ __rules_dir = rules_dir, __syscall_name = syscall }, { __index = globals })
  local chunk, message = compile(name, source, environment)
  if chunk == nil then
    return "error", describe(message)
  end
  local ok, problem = pcall(chunk)
  if exhausted then
    return "budget", exhausted
  end
  if not ok then
    return "error", describe(problem)
  end
  local which = 0
  if type(rawget(environment, "do_syscall")) == "function" then
    which = 1
  end
  if type(rawget(environment, "after_syscall")) == "function" then
    which = which + 2
  end
  if which == 0 then
    return "error", "it defines neither do_syscall nor after_syscall"
  end
  return "", "", false, which
end

-- `syscall` names the call for a rule that hooks several, and is empty for the others.
local function call(name, syscall, ...)
  begin()
  if syscall ~= "" then
    rawset(environment, "__syscall_name", syscall)
  end
  local handler = rawget(environment, name)
  if type(handler) ~= "function" then
    return "error", "it removed its own " .. name, false, 0
  end
  local ok, action, ret = pcall(handler, ...)
  if exhausted then
    return "budget", exhausted, false, 0
  end
  if not ok then
    return "error", describe(action), false, 0
  end
  -- A float is no integer return value to SFEmu either, even when it has no fraction.
  return "", "", action == true or action == 1, math_type(ret) == "integer" and ret or 0
end

-- run(syscall, num, a1..a8) -> kind, message, intercept, ret
local function run(...)
  return call("do_syscall", ...)
end

-- run_after(syscall, num, ret, a1..a8) -> kind, message, intercept, ret
local function run_after(...)
  return call("after_syscall", ...)
end

sethook(count, "", STEP)
return check, install, run, run_after
