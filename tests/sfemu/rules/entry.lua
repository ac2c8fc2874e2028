-- What is asked before each call. Paths below /sfemu choose what is done, so that a test program can.

local rules_dir = debug.getinfo(1, "S").source:match("@?(.*/)") or ""
package.path = package.path .. ";?.lua;?/init.lua"

require(rules_dir .. "base/env").load(rules_dir .. "config/env")
local helpers = require(rules_dir .. "base/helpers")
local parts = require(rules_dir .. "plugins/parts")
local notes = dofile(rules_dir .. "base/notes.lua")

calls_seen = 0
local counted = 0
local rules = {}

local done = {}

function done.helpers(path, own, number)
  helpers.run(path, own, number)
  return true, 7
end

function done.answer()
  return 1, -13
end

function done.float()
  return true, 5.0
end

-- Another call than the one that is being made, by its number.
function done.made(_, _, number)
  return true, c_do_syscall(number)
end

-- Several of them, one of which is the call itself.
function done.written(path, own, number, num, a1, a2, a3)
  c_write_bytes(path, "from a rule\n\0")
  local written = c_do_syscall(number, 1, path, 12)
  c_write_bytes(path, "/bin\0")
  local opened = c_do_syscall(num, a1, a2, a3)
  local refused = c_do_syscall(num, a1, 16, a3)
  if helpers.pc(c_list_regs()) then
    local info = c_resolve_addr((c_get_reg(helpers.pc(c_list_regs()))))
    c_log("still at " .. tostring(info and info.module_name) .. " " .. tostring(info and info.func_name ~= nil))
  end
  c_log(("made written=%d opened=%s refused=%d"):format(written, tostring(opened > 2), refused))
  return false, 0
end

function done.error()
  error("on purpose")
end

function done.count()
  counted = counted + 1
  return true, counted
end

function done.high(path)
  c_log("high pointer " .. (path < 0 and "negative" or "positive"))
  return true, 1
end

function done.wait()
  local ok, rc = c_wait_user_continue("go on?\27[31m")
  c_log(("waited %s %d"):format(tostring(ok), rc))
  return true, ok and 1 or 0
end

function done.again()
  c_request_reexec("the-tag")
  return false, 0
end

function done.quit()
  os.exit(21)
end

function done.endless()
  while true do
  end
end

-- A rule file of the directory, with its own globals.
local function rule_for(name)
  if rules[name] == nil then
    rules[name] = false
    local env = setmetatable({ __rules_dir = rules_dir, __syscall_name = name }, { __index = _G })
    local chunk = loadfile(rules_dir .. "syscall/" .. name .. ".lua", "t", env)
    if chunk and pcall(chunk) then
      rules[name] = env.do_syscall
    end
  end
  return rules[name]
end

function entry(name, num, a1, a2, a3, a4, a5, a6, a7, a8)
  calls_seen = calls_seen + 1
  if name == nil then
    notes.add("unnamed", num)
    return false, 0
  end
  notes.add(name, num)
  if name == "openat" or name == "open" then
    local path = name == "open" and a1 or a2
    local own = c_read_string(path, 32)
    local part, number = own:match("^/sfemu/(%w+)/(%d+)")
    if part and done[part] then
      return done[part](path, own, math.tointeger(tonumber(number)), num, a1, a2, a3)
    end
    return parts.open(own)
  end
  local rule = parts.handles(name, a1) or rule_for(name)
  if rule then
    return rule(num, a1, a2, a3, a4, a5, a6, a7, a8)
  end
  return false, 0
end

function idle(pc, idle_ms, length, repeats)
  local ok, rc = c_wait_user_continue("it computes")
  c_log(("idle %s ms=%s length=%d repeats=%d frames=%d waited=%s %d"):format(
    math.type(pc), tostring(idle_ms >= SFEMU_RULES_IDLE_MS), length, repeats, #c_list_regs(), tostring(ok), rc))
  c_log("in idle " .. c_do_syscall(20))
end
