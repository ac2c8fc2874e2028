-- triage-rule: 1
-- id: fix-openat-23dda4a1
-- run: 20261121_001438_00000005
-- target: 9af2cdf7eb9b978c
-- intent: let the program find or use the directory /var/run
-- match: openat path=/var/run/xl2tpd.pid
-- hit-limit: 8
-- effect: the directory appears in the copy of the root file system before the program's own call
-- risk: low
-- inverse: roll back the generation; the directory never was in the real root file system
-- template: make_directory

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

local wanted = "/var/run/xl2tpd.pid"
local place = "/var/run"

function do_syscall(num, a1, a2, a3, a4, a5, a6, a7, a8)
  if path_of(a2) ~= wanted then
    return 0, 0
  end
  local ok, rc = c_mkdir_p(place, 493)
  c_log("made " .. place .. ", rc " .. rc)
  return 0, 0
end
