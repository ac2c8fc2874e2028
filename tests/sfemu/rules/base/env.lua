-- Reads KEY=VALUE lines into globals, as text.
local M = {}

function M.load(path)
  local file = io.open(path, "rb")
  if not file then
    return 0
  end
  local count = 0
  for line in file:lines() do
    local key, value = line:match("^%s*([%w_]+)%s*=%s*(.-)%s*$")
    if not key then
      key, value = line:match("^%s*export%s+([%w_]+)%s*=%s*(.-)%s*$")
    end
    if key then
      _G[key] = value:match('^"(.-)"') or value:match("^'(.-)'") or value
      count = count + 1
    end
  end
  file:close()
  return count
end

return M
