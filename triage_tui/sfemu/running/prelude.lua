-- The world of a rule directory of SFEmu: the C functions that its Lua calls, with SFEmu's own return shapes.
--
-- Run once in each Lua state, before anything of the directory. Unlike rules of the rule host's, these have the
-- whole standard library: what holds them is the process, which lies in the guest's cell. Of the library four
-- things are ours, because SFEmu's Lua lives in the guest's process and this does not: /proc/self is that of the
-- guest process, variables are the guest's, commands run in the guest's shell, and os.exit ends the guest process.

local bridge, RULES_PATH, NUMBERS, ENOSYS, MOST = ...
local ask, say = bridge.ask, bridge.say
local math_type, tointeger, tonumber, tostring, type = math.type, math.tointeger, tonumber, tostring, type
local EIO, EFAULT, EINVAL = 5, 14, 22

-- Arguments as the Lua library of C takes them --------------------------------------------------------

local function bad(index, wanted, value, name)
  error(("bad argument #%d to '%s' (%s expected, got %s)"):format(index, name, wanted, type(value)), 3)
end

local function integer(value, index, name, default)
  if value == nil and default ~= nil then
    return default
  end
  local number = tointeger(value) or (type(value) == "string" and tointeger(tonumber(value)))
  if not number then
    bad(index, "integer", value, name)
  end
  return number
end

local function text(value, index, name, default)
  if value == nil and default ~= nil then
    return default
  end
  if type(value) == "number" then
    return tostring(value)
  end
  if type(value) ~= "string" then
    bad(index, "string", value, name)
  end
  return value
end

-- Memory ----------------------------------------------------------------------------------------------

function c_log(message)
  say(text(message, 1, "c_log"))
end

function c_get_timestamp()
  local _, seconds, nanoseconds = ask("clock")
  return seconds, nanoseconds
end

-- All of the window must be mapped, also for a string that ends before: as in SFEmu.
local function read_string(name)
  return function(address, most)
    address, most = integer(address, 1, name), integer(most, 2, name, 4096)
    if most <= 0 then
      return "", -EINVAL
    end
    if address == 0 then
      return "(null)", 0
    end
    if most > MOST then
      return "", -EFAULT
    end
    local rc, data = ask("read_bytes", address, most)
    if rc ~= 0 then
      return "", rc
    end
    local ends = data:find("\0", 1, true)
    return ends and data:sub(1, ends - 1) or data, 0
  end
end
c_read_string, c_read_guest_string = read_string("c_read_string"), read_string("c_read_guest_string")

local function reader(name, size)
  return function(address)
    local rc, value = ask("read_integer", integer(address, 1, name), size)
    return value or 0, rc
  end
end
c_read_guest_u32, c_read_guest_u64 = reader("c_read_guest_u32", 4), reader("c_read_guest_u64", 8)

local function writer(name, size)
  return function(address, value)
    local rc = ask("write_integer", integer(address, 1, name), size, integer(value, 2, name))
    return rc
  end
end
c_write_guest_u32, c_write_guest_u64 = writer("c_write_guest_u32", 4), writer("c_write_guest_u64", 8)

local function read_bytes(name)
  return function(address, length)
    address, length = integer(address, 1, name), integer(length, 2, name)
    if length == 0 then
      return "", 0
    end
    if length < 0 or length > MOST then
      return "", -EINVAL
    end
    local rc, data = ask("read_bytes", address, length)
    return data or "", rc
  end
end
c_read_guest_bytes, c_read_bytes = read_bytes("c_read_guest_bytes"), read_bytes("c_read_bytes")

local function write_bytes(name)
  return function(address, data)
    address, data = integer(address, 1, name), text(data, 2, name)
    if #data == 0 then
      return 0, 0
    end
    local rc = #data > MOST and -EINVAL or ask("write_bytes", address, data)
    return rc == 0 and #data or 0, rc
  end
end
c_write_guest_bytes, c_write_bytes = write_bytes("c_write_guest_bytes"), write_bytes("c_write_bytes")

-- Registers -------------------------------------------------------------------------------------------

function c_list_regs()
  local list = {}
  local rc, lines = ask("list_registers")
  if rc == 0 then
    for number, name, feature in lines:gmatch("(%d+) (%S+) (%S+)\n") do
      list[#list + 1] = { num = tointeger(number), name = name, feature = feature }
    end
  end
  return list
end

local function register(value, name)
  if math_type(value) then
    return integer(value, 1, name)
  end
  return text(value, 1, name)
end

function c_get_reg(which)
  local rc, value, size = ask("get_register", register(which, "c_get_reg"))
  if rc ~= 0 then
    return nil, 0, rc
  end
  return value, size, rc
end

function c_set_reg(which, value)
  which = register(which, "c_set_reg")
  if type(value) ~= "string" then
    value = integer(value, 2, "c_set_reg")
  end
  local rc, written = ask("set_register", which, value)
  return written or 0, rc
end

-- Calls and addresses ---------------------------------------------------------------------------------

-- The thread really makes the call, through the emulator, before it goes on; no hook is asked about it.
function c_do_syscall(number, ...)
  local args = { ... }
  for index = 1, 8 do
    args[index] = integer(args[index], index + 1, "c_do_syscall", 0)
  end
  local rc, result = ask("do_syscall", integer(number, 1, "c_do_syscall"), table.unpack(args, 1, 8))
  if rc ~= 0 then
    return rc
  end
  return result
end

local pointers = setmetatable({}, { __mode = "v" })

function c_g2h(address)
  local rc, host = ask("g2h", integer(address, 1, "c_g2h"))
  if rc ~= 0 then
    return nil
  end
  -- One object for one address, so that two of them can be compared.
  local known = pointers[host] or bridge.pointer(host)
  pointers[host] = known
  return known
end

local function host_address(value, name)
  local address = type(value) == "userdata" and bridge.address(value) or nil
  return address or integer(value, 1, name)
end

function c_h2g(pointer)
  local rc, address = ask("h2g", host_address(pointer, "c_h2g"))
  return rc == 0 and address or 0
end

local function facts_in(lines)
  local info = {}
  for key, kind, value in lines:gmatch("([%w_]+)=([isb])([^\0]*)\0") do
    if kind == "i" then
      info[key] = tointeger(tonumber(value))
    elseif kind == "b" then
      info[key] = value == "1"
    else
      info[key] = value
    end
  end
  return info
end

local function resolve(address, most)
  local rc, facts, pseudocode = ask("resolve", address, most)
  if rc ~= 0 then
    return nil, rc
  end
  local info = facts_in(facts)
  if pseudocode and pseudocode ~= "" then
    info.pseudocode = pseudocode
  end
  return info, rc
end

function c_resolve_addr(address, most)
  if integer(most, 2, "c_resolve_addr", 4096) < 0 then
    return nil, -EINVAL
  end
  return resolve(integer(address, 1, "c_resolve_addr"), integer(most, 2, "c_resolve_addr", 4096))
end

function c_resolve_host_addr(pointer, most)
  local host = host_address(pointer, "c_resolve_host_addr")
  most = integer(most, 2, "c_resolve_host_addr", 4096)
  local rc, address = ask("h2g", host)
  if rc ~= 0 then
    return nil, rc
  end
  local info
  info, rc = resolve(address, most)
  if info then
    info.addr, info.host_addr, info.guest_addr = host, host, address
  end
  return info, rc
end

function c_get_shadowstack()
  local list = {}
  local rc, addresses = ask("shadowstack")
  if rc == 0 then
    for address in addresses:gmatch("-?%d+") do
      list[#list + 1] = tointeger(address)
    end
  end
  return list
end

-- The world -------------------------------------------------------------------------------------------

function c_async_probe_http(ip, timeout, payload)
  ip, timeout = text(ip, 1, "c_async_probe_http", "127.0.0.1"), integer(timeout, 2, "c_async_probe_http", 500)
  payload = text(payload, 3, "c_async_probe_http", "GET / HTTP/1.0\r\n\r\n")
  local rc = ask("probe_http", ip, timeout, payload)
  return rc == 0, rc
end

function c_wait_user_continue(prompt)
  local rc, yes = ask("wait_user", text(prompt, 1, "c_wait_user_continue", ""))
  return rc == 0 and yes == 1, rc
end

function c_watchdog_suspend(value)
  ask("suspend_watchdog", value and 1 or 0)
  return true, 0
end

function c_mkdir_p(path, mode)
  path, mode = text(path, 1, "c_mkdir_p"), integer(mode, 2, "c_mkdir_p", 493)
  if mode < 0 or mode > 511 then
    return false, -EINVAL
  end
  local rc = bridge.mkdir_p(path, mode)
  if rc ~= 0 then
    rc = ask("target_errno", rc)
  end
  return rc == 0, rc
end

function c_open_host(path, flags, mode)
  path = text(path, 1, "c_open_host")
  return (ask("open_host", path, integer(flags, 2, "c_open_host"), integer(mode, 3, "c_open_host", 420) & 511, ""))
end

local again = nil

function c_request_reexec(tag)
  again = text(tag, 1, "c_request_reexec", "")
  return true, 0
end

for name, value in pairs(NUMBERS) do
  _G[name] = value
end
SFEMU_RULES_PATH = RULES_PATH
-- So that the plugin decide.lua stays away: here a prompt freezes the guest, and is decided on by itself.
SFEMU_TRIAGE_ENGINE = true

-- What of the library would be that of the guest's process in SFEmu ----------------------------------------

local function its_own(path)
  if type(path) == "string" then
    path = path:gsub("^/proc/self%f[/\0]", "/proc/" .. bridge.process()):gsub("^/proc/self$", "/proc/" .. bridge.process())
  end
  return path
end

for place, names in pairs({ [io] = { "open", "lines" }, [_G] = { "loadfile", "dofile" } }) do
  for _, name in ipairs(names) do
    local plain = place[name]
    place[name] = function(path, ...)
      return plain(its_own(path), ...)
    end
  end
end

function os.getenv(name)
  return bridge.variable(text(name, 1, "getenv"))
end

function os.exit(code)
  bridge.exit(code == nil and 0 or code == true and 0 or code == false and 1 or integer(code, 1, "exit"))
end

function os.execute(command)
  if command == nil then
    return io.open("/bin/sh", "rb") ~= nil
  end
  local how, code = bridge.run(text(command, 1, "execute"))
  return how == "exit" and code == 0 or nil, how, code
end

-- A pipe from a command, whose output is all there: read, lines and close of a file.
local Pipe = {}
Pipe.__index, Pipe.__name = Pipe, "FILE*"

local function read_one(pipe, form)
  if type(form) == "number" then
    local piece = pipe.rest:sub(1, form)
    pipe.rest = pipe.rest:sub(#piece + 1)
    return (#piece > 0 or form == 0) and piece or nil
  end
  form = form:gsub("^%*", ""):sub(1, 1)
  if form == "a" then
    local all = pipe.rest
    pipe.rest = ""
    return all
  elseif form == "n" then
    local number, behind = pipe.rest:match("^%s*([-+%w.]+)()")
    if number and tonumber(number) then
      pipe.rest = pipe.rest:sub(behind)
      return tonumber(number)
    end
    return nil
  end
  if pipe.rest == "" then
    return nil
  end
  local line, border = pipe.rest:match("^([^\n]*)(\n?)")
  pipe.rest = pipe.rest:sub(#line + #border + 1)
  return form == "L" and line .. border or line
end

function Pipe:read(...)
  local forms, values = { ... }, {}
  if #forms == 0 then
    forms[1] = "l"
  end
  for index, form in ipairs(forms) do
    values[index] = read_one(self, form)
  end
  return table.unpack(values, 1, #forms)
end

function Pipe:lines(form)
  return function()
    return read_one(self, form or "l")
  end
end

function Pipe:close()
  return self.how == "exit" and self.code == 0 or nil, self.how, self.code
end

function io.popen(command, mode)
  if mode ~= nil and not tostring(mode):match("^r") then
    return nil, "writing to a command is not possible here", ENOSYS
  end
  local printed, how, code = bridge.output(text(command, 1, "popen"))
  return setmetatable({ rest = printed, how = how, code = code }, Pipe)
end

local function told(...)
  local parts = table.pack(...)
  for index = 1, parts.n do
    parts[index] = tostring(parts[index])
  end
  return parts
end

-- The supervisor's terminal is not the rules': what they print is in their log.
function print(...)
  say(table.concat(told(...), "\t"))
end

local io_write, io_output = io.write, io.output
function io.write(...)
  if io_output() == io.stdout then
    say((table.concat(told(...)):gsub("\n$", "")))
    return io.stdout
  end
  return io_write(...)
end

-- What the process calls ------------------------------------------------------------------------------

local loaded = {}

-- Returns the global function `name` of `<name>.lua`, or nil and what is wrong, which is said once.
local function hook(name)
  if loaded[name] == nil then
    loaded[name] = false
    local path = RULES_PATH .. "/" .. name .. ".lua"
    local chunk, problem = loadfile(path)
    if not chunk then
      return nil, problem
    end
    local ok, failure = pcall(chunk)
    if not ok then
      return nil, tostring(failure)
    end
    if type(_G[name]) ~= "function" then
      return nil, path .. " defines no " .. name .. "()"
    end
    loaded[name] = true
  end
  return loaded[name] and _G[name] or nil
end

local function integer_or_zero(value)
  return math_type(value) == "integer" and value or 0
end

local function entry(...)
  local ask_entry, problem = hook("entry")
  if not ask_entry then
    return false, 0, problem, nil
  end
  local ok, intercept, ret = pcall(ask_entry, ...)
  local wish = again
  again = nil
  if not ok then
    return false, 0, tostring(intercept), wish
  end
  return intercept == true or integer_or_zero(intercept) ~= 0, integer_or_zero(ret), nil, wish
end

local function finish(...)
  local ask_finish, problem = hook("finish")
  if not ask_finish then
    return false, 0, problem, nil
  end
  local ok, failure = pcall(ask_finish, ...)
  return false, 0, not ok and tostring(failure) or nil, nil
end

local function idle(...)
  if type(_G.idle) ~= "function" then
    return false, 0, nil, nil
  end
  local ok, failure = pcall(_G.idle, ...)
  return false, 0, not ok and tostring(failure) or nil, nil
end

return entry, finish, idle
