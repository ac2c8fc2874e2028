-- A rule directory that pauses as SFEmu's does: each exit, and each call `loop`, is handed to base/ai.lua, and then asked
-- about at the terminal unless that says to go on.
local rules_dir = debug.getinfo(1, "S").source:match("@?(.*/)") or ""
package.path = package.path .. ";?.lua;?/init.lua"

dofile(rules_dir .. "plugins/triage_tui/decide.lua")

for line in io.lines(rules_dir .. "config/env") do
  local key, value = line:match("^([A-Z_a-z]+)=(.*)$")
  if key then _G[key] = value end
end

local handlers, missing, state = {}, {}, { ctxs = {} }

local function handler(name)
  if handlers[name] or missing[name] then return handlers[name] end
  for _, place in ipairs({ "syscall_override_user", "syscall_override", "syscall" }) do
    local env = setmetatable({}, { __index = _G })
    local chunk = loadfile(rules_dir .. place .. "/" .. name .. ".lua", "t", env)
    if chunk and pcall(chunk) and type(env.do_syscall) == "function" then
      handlers[name] = env.do_syscall
      return env.do_syscall
    end
  end
  missing[name] = true
end

local function pause(ctx, reason)
  local worked, result = pcall(require(rules_dir .. "base/ai").handle, ctx, state, { reason = reason })
  if not worked then c_log("[entry] " .. tostring(result)) end
  result = worked and result or {}
  for _, list in ipairs({ result.applied_syscalls or {}, result.applied_fix_syscalls or {} }) do
    for _, name in ipairs(list) do
      handlers[name], missing[name] = nil, nil
    end
  end
  if result.auto_continue ~= true then c_wait_user_continue("YES to go on: ") end
  local applied = #(result.applied_fix_syscalls or {}) + (result.applied_actions_count or 0)
  if applied > 0 and result.auto_continue == true and c_request_reexec then c_request_reexec(result.run_id) end
end

function idle(pc, idle_ms, length, repeats)
  pause({ seq = 100001, name = "idle", num = -1, args = { pc, idle_ms, length, repeats } }, "idle_deadloop")
end

function entry(name, num, ...)
  local ctx = { seq = #state.ctxs + 1, name = name, num = num, args = { ... } }
  state.ctxs[#state.ctxs + 1] = ctx
  if name == "exit_group" then pause(ctx, "exit") end
  if name == "loop" then pause(ctx, "deadloop") end
  local rule = handler(name)
  if not rule then return false, 0 end
  return rule(num, ...)
end
