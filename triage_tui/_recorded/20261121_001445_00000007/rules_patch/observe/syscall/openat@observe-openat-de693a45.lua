-- triage-rule: 1
-- id: observe-openat-de693a45
-- run: 20261121_001445_00000007
-- target: 86ef674930d796e0
-- intent: see each call and its arguments without changing anything
-- match: openat path=/var/log/messages
-- hit-limit: 256
-- effect: each call is written to the log
-- risk: low
-- inverse: roll back the generation
-- template: observe_calls

-- Some hosts read the whole window or nothing, so smaller ones are tried near the end of a mapping.
local function path_of(address)
  for _, window in ipairs({ 4096, 1024, 256, 64 }) do
    local text, rc = c_read_string(address, window)
    if rc == 0 then
      return text
    end
  end
  return nil
end

local wanted = "/var/log/messages"

function do_syscall(num, a1, a2, a3, a4, a5, a6, a7, a8)
  local path = path_of(a2)
  if wanted == nil or path == wanted then
    c_log(string.format("%s %s flags 0x%x", __syscall_name, path or "?", a3 & 0xffffffff))
  end
  return 0, 0
end
