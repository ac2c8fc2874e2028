-- Counts calls by name in cache/, which SFEmu's own scripts write as well.
local M = {}
local counts = {}

function M.add(name, num)
  counts[name] = (counts[name] or 0) + 1
  if counts[name] == 1 then
    c_mkdir_p(SFEMU_RULES_PATH .. "/cache/ai_runs/20260102_030405_00000001")
    local file = assert(io.open(SFEMU_RULES_PATH .. "/cache/calls.txt", "ab"))
    file:write(("%s %d\n"):format(name, num))
    file:close()
  end
end

return M
