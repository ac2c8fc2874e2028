-- Plays files that are not there, in the manner of SFEmu's fakefile plugin: a record beside the path, which is
-- linked to it, content in data/, and a table of handlers in config/, made from a default where there is none.
local M = {}
local here = debug.getinfo(1, "S").source:match("@?(.*/)") or ""
local played = {}
_sfemu_fakefile_state = _sfemu_fakefile_state or { path_map = {} }

local function quoted(text)
  return "'" .. text:gsub("'", "'\"'\"'") .. "'"
end

local function write(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
end

local function exists(path)
  local file = io.open(path, "rb")
  return file ~= nil and file:close()
end

function M.open(path)
  if path ~= "/etc/missing.conf" then
    return false, 0
  end
  local base = path:match("([^/]+)$")
  local config, content = here .. "config/" .. base .. ".lua", here .. "data/" .. base
  os.execute("mkdir -p -- " .. quoted(here .. "config"))
  assert(os.execute("mkdir -p -- " .. quoted(here .. "data")))
  if not exists(config) then
    write(config, "return { read = function(text, at, count) return text:sub(at + 1, at + count) end }\n")
    write(content, "played by a rule")
  end
  write(path .. ".fakefile", "fakefile_version=1\nreal_path=" .. path .. "\n")
  if not os.execute("test -e -- " .. quoted(path)) then
    os.execute("ln -f -- " .. quoted(path .. ".fakefile") .. " " .. quoted(path))
  end
  local handlers = assert(loadfile(config))()
  local fd = c_open_host("/dev/null", 0)
  played[fd] = { text = io.open(content, "rb"):read("a"), at = 0, read = handlers.read }
  _sfemu_fakefile_state.path_map[path] = fd
  return true, fd
end

function M.handles(name, fd)
  local file = played[fd]
  if file and name == "read" then
    return function(_, _, buffer, count)
      local piece = file.read(file.text, file.at, count)
      file.at = file.at + #piece
      c_write_bytes(buffer, piece)
      return 1, #piece
    end
  elseif file and name == "close" then
    played[fd] = nil
  end
end

return M
