-- What plugins share: which file a call is about, and what stat tells of a file that is made up.
-- It stands in front of each plugin's text, behind `local config = { ... }`.

local AT_FDCWD, AT_EMPTY_PATH = -100, 0x1000

-- Syscall -> which argument is the path; where it is the second one, the first is a directory.
local PATH_AT = {
  open = 1, creat = 1, openat = 2, openat2 = 2,
  access = 1, faccessat = 2, faccessat2 = 2,
  stat = 1, lstat = 1, stat64 = 1, lstat64 = 1, newfstatat = 2, fstatat64 = 2, statx = 2,
  readlink = 1, readlinkat = 2, chdir = 1,
}

-- Syscall -> the argument that stat's structure goes to.
local STAT_AT = { stat64 = 2, lstat64 = 2, fstat64 = 2, newfstatat = 3, fstatat64 = 3, statx = 5 }
-- On 32-bit machines the structure of these is an older one.
local STAT_AT_64 = { stat = 2, lstat = 2, fstat = 2 }

-- Returns a path without "//", "." and "..": links are not followed.
local function normal(path)
  local parts = {}
  for part in path:gmatch("[^/]+") do
    if part == ".." then
      parts[#parts] = nil
    elseif part ~= "." then
      parts[#parts + 1] = part
    end
  end
  return "/" .. table.concat(parts, "/")
end

-- Returns the absolute path that the call names, nil where it names none.
local function called_path(a1, a2)
  local place = PATH_AT[__syscall_name]
  if place == nil then
    return nil
  end
  local path, rc = c_read_string(place == 1 and a1 or a2, 4096)
  if rc ~= 0 or path == "" then
    return nil
  end
  if path:sub(1, 1) == "/" then
    return normal(path)
  end
  local directory, problem = c_fd_path(place == 1 and AT_FDCWD or a1)
  if problem ~= 0 then
    return nil
  end
  return normal(directory .. "/" .. path)
end

-- Returns where stat's structure of the current call is and what it is called; nil for other calls.
local function stat_structure(...)
  local place = STAT_AT[__syscall_name]
  if place == nil and c_guest_info().word == 8 then
    place = STAT_AT_64[__syscall_name]
  end
  if place == nil then
    return nil
  end
  return (select(place, ...)), __syscall_name == "statx" and "statx" or "stat"
end

-- Writes what is given ({ mode = .., size = .. }, numbers) into stat's structure; the names are without "st_".
local function write_stat(address, structure, values)
  local before = structure == "statx" and "stx_" or "st_"
  for name, value in pairs(values) do
    c_write_field(address, structure, before .. name, value)
  end
end

-- Answers a call of the stat family as for a file that is nowhere: regular unless `kind` says otherwise.
local function answer_stat(mode, size, ...)
  local address, structure = stat_structure(...)
  if address == nil then
    return 0, 0
  end
  if structure == "statx" then
    c_write_bytes(address, string.rep("\0", 256))
    write_stat(address, structure, { mask = 0x7ff })
  else
    write_stat(address, structure, { dev = 1, rdev = 0, uid = 0, gid = 0, atime = 0, mtime = 0, ctime = 0 })
  end
  write_stat(address, structure, {
    ino = 1, mode = mode, nlink = 1, size = size, blksize = 4096, blocks = (size + 511) // 512,
  })
  return 1, 0
end
