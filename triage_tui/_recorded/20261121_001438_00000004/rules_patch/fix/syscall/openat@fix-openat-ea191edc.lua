-- triage-rule: 1
-- id: fix-openat-ea191edc
-- run: 20261121_001438_00000004
-- target: cb72c5747f9085b0
-- intent: let the program open /dev/null
-- match: openat path=/dev/null
-- hit-limit: 16
-- effect: opening gives a descriptor of the host's /dev/null; where the program only looks, an empty file stands there
-- risk: medium
-- inverse: roll back the generation; nothing outside the run was changed
-- template: open_device

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

local wanted = "/dev/null"

function do_syscall(num, a1, a2, a3, a4, a5, a6, a7, a8)
  if path_of(a2) ~= wanted then
    return 0, 0
  end
  -- Only the access mode is the same on every architecture.
  local fd = c_open_host("/dev/null", a3 & 3, 0)
  c_log("opened " .. "/dev/null" .. " in place of " .. wanted .. ": " .. fd)
  if fd < 0 then
    return 0, 0
  end
  return 1, fd
end
