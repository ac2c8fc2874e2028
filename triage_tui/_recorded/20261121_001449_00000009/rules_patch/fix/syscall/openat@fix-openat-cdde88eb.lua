-- triage-rule: 1
-- id: fix-openat-cdde88eb
-- run: 20261121_001449_00000009
-- target: 3267892044bd1246
-- intent: let the program find /proc/sys/kernel/random/poolsize
-- match: openat path=/proc/sys/kernel/random/poolsize
-- hit-limit: 8
-- effect: a file with the usual content of such a file appears in the copy of the root file system, and the program's own call then succeeds
-- risk: medium
-- inverse: roll back the generation; the file never was in the real root file system
-- template: provide_file

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

local wanted = "/proc/sys/kernel/random/poolsize"
local place = "/proc/sys/kernel/random/poolsize"
local content = "256\010"

function do_syscall(num, a1, a2, a3, a4, a5, a6, a7, a8)
  if content == nil or path_of(a2) ~= wanted then
    return 0, 0
  end
  local rc = c_provide_file(place, content, 420)
  c_log("provided " .. place .. ", rc " .. rc)
  return 0, 0
end
