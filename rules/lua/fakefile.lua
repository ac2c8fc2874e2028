-- fakefile: files and directories that are not in the root file system, or that are to look missing.

local S_IFDIR, S_IFREG = 16384, 32768
local O_ACCMODE = 3
local by_path, provided = {}, {}
for _, file in ipairs(config.files) do
  by_path[normal(file.path)] = file
end

local IS_OPEN = { open = 2, creat = 2, openat = 3, openat2 = 3 }
local IS_ACCESS = { access = true, faccessat = true, faccessat2 = true }

-- Puts the file into the copy of the root file system, once; false where that is not possible (/proc, /sys).
local function provide(file)
  if provided[file] == nil then
    local rc, ok
    if file.kind == "directory" then
      ok, rc = c_mkdir_p(file.path, file.mode or 493)
    else
      rc = c_provide_file(file.path, file.content, file.mode or 420)
    end
    local there = rc == 0 or rc == -c_errno("EEXIST")
    c_log((there and "provided " or "cannot provide ") .. file.path .. ", rc " .. rc)
    provided[file] = there
  end
  return provided[file]
end

-- Whether the call makes a file that must not be there yet (asm-generic/fcntl.h; asm/fcntl.h of MIPS).
local function makes_anew(...)
  local flags_at = IS_OPEN[__syscall_name]
  if flags_at == nil or __syscall_name == "creat" then
    return false
  end
  local flags = select(flags_at, ...)
  if __syscall_name == "openat2" then
    local bytes, rc = c_read_bytes(flags, 8)
    if rc ~= 0 then
      return false
    end
    flags = string.unpack(c_guest_info().order .. "I8", bytes)
  end
  local mips = c_guest_info().arch:find("^mips") ~= nil
  local both = mips and 0x100 | 0x400 or 0x40 | 0x80
  return flags & both == both
end

local function answer(file, ...)
  local flags_at = IS_OPEN[__syscall_name]
  if flags_at ~= nil and file.kind == "file" then
    local flags = __syscall_name == "creat" and 1 or select(flags_at, ...)
    local fd = c_open_bytes(file.content, __syscall_name == "openat2" and 0 or flags, file.path)
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
  local path = called_path(...)
  local file = path and by_path[path]
  if file == nil then
    return 0, 0
  end
  if file.kind == "absent" then
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
