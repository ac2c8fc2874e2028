-- fakefile: files and directories that are not in the root file system, or that are to look missing.

local by_path, listed, absent, provided = {}, {}, {}, {}
for _, file in ipairs(config.files) do
  local path = normal(file.path)
  by_path[path] = file
  if file.kind == "absent" then
    absent[#absent + 1] = path
  elseif not file.always then
    listed[#listed + 1] = file
  end
end
local configured = finder(by_path)

-- Puts the file into the copy of the root file system, once; false where that is not possible (/proc, /sys).
local function provide(file, in_list)
  if provided[file] == nil then
    local rc, ok
    if file.kind == "directory" then
      ok, rc = c_mkdir_p(file.path, file.mode or 493)
    else
      rc = c_provide_file(file.path, file.content, file.mode or 420)
    end
    local there = rc == 0 or rc == -c_errno("EEXIST")
    if not in_list then
      c_log((there and "provided " or "cannot provide ") .. file.path .. ", rc " .. rc)
    end
    provided[file] = there
  end
  return provided[file]
end

-- A call has 32 lines of the log.
local provide_in = lister(listed, function(file)
  provide(file, true)
end)

-- Takes what is to look missing out of the copy of the root file system, before the program's first look. What the
-- program makes there afterwards is its own, also for a rule host that is started again.
local taken_away
local function take_away()
  taken_away = {}
  local missing, no_directory, kept, gone = -c_errno("ENOENT"), -c_errno("ENOTDIR"), {}, {}
  for _, path in ipairs(absent) do
    local key = "fakefile:absent:" .. path
    local done = c_shared_get(key)
    if done == nil then
      local rc = c_remove_path(path)
      done = rc == 0 or rc == missing or rc == no_directory
      c_shared_set(key, done)
      table.insert(done and gone or kept, path)
    end
    taken_away[path] = done
  end
  if #gone > 0 then
    c_log("took away " .. table.concat(gone, " "))
  end
  if #kept > 0 then
    c_log("cannot take away " .. table.concat(kept, " "))
  end
end

-- Whether the call makes a file that must not be there yet (asm-generic/fcntl.h; asm/fcntl.h of MIPS).
local function makes_anew(...)
  if IS_OPEN[__syscall_name] == nil or __syscall_name == "creat" then
    return false
  end
  local mips = c_guest_info().arch:find("^mips") ~= nil
  local both = mips and 0x100 | 0x400 or 0x40 | 0x80
  return open_flags(...) & both == both
end

local function answer(file, ...)
  if IS_OPEN[__syscall_name] ~= nil and file.kind == "file" then
    local fd = c_open_bytes(file.content, open_flags(...), file.path:sub(1, 200))
    c_log("opened " .. file.path .. " in memory: " .. fd)
    if fd >= 0 then
      return 1, fd
    end
  elseif IS_ACCESS[__syscall_name] then
    return 1, 0
  end
  local mode = (file.kind == "directory" and S_IFDIR | (file.mode or 493)) or S_IFREG | (file.mode or 420)
  return answer_stat(mode, file.kind == "file" and #file.content or 0, ...)
end

function do_syscall(num, ...)
  if taken_away == nil then
    take_away()
  end
  local path = called_path(...)
  local file = configured(path)
  if file == nil then
    provide_in(path)
    return 0, 0
  end
  if file.kind == "absent" then
    if taken_away[normal(file.path)] then
      return 0, 0
    end
    c_log(path .. " looks missing to " .. __syscall_name)
    return 1, -c_errno("ENOENT")
  end
  if not file.always and makes_anew(...) then
    c_log(path .. " is left to the program, which makes it")
    return 0, 0
  end
  if not file.always and provide(file) then
    return 0, 0
  end
  return answer(file, ...)
end
