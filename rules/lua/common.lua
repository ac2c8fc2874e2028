-- What plugins share: which file a call is about, and what stat tells of a file that is made up.
-- It stands in front of each plugin's text, behind `local config = { ... }`.

local AT_FDCWD = -100
local S_IFCHR, S_IFDIR, S_IFBLK, S_IFREG = 8192, 16384, 24576, 32768

-- Syscall -> which argument is the path; where it is the second one, the first is a directory. Of calls about two
-- paths it is the one that has to be there.
local PATH_AT = {
  open = 1, creat = 1, openat = 2, openat2 = 2,
  access = 1, faccessat = 2, faccessat2 = 2,
  stat = 1, lstat = 1, stat64 = 1, lstat64 = 1, newfstatat = 2, fstatat64 = 2, statx = 2,
  readlink = 1, readlinkat = 2, chdir = 1, execve = 1, execveat = 2,
  unlink = 1, unlinkat = 2, rmdir = 1, rename = 1, renameat = 2, renameat2 = 2, link = 1, linkat = 2,
  chmod = 1, fchmodat = 2, truncate = 1, truncate64 = 1, statfs = 1, statfs64 = 1,
}
local IS_OPEN = { open = 2, creat = 2, openat = 3, openat2 = 3 }
local IS_ACCESS = { access = true, faccessat = true, faccessat2 = true }

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

-- Returns a path of the program, relative to a directory that it has open, as an absolute one; nil where it is none.
local function absolute(path, directory_fd)
  if path:sub(1, 1) == "/" then
    return normal(path)
  end
  local directory, rc = c_fd_path(directory_fd)
  return path ~= "" and rc == 0 and normal(directory .. "/" .. path) or nil
end

-- Returns the absolute path that the call names, nil where it names none.
local function called_path(...)
  local place = PATH_AT[__syscall_name]
  if place == nil then
    return nil
  end
  local path, rc = c_read_string((select(place, ...)), 4096)
  return rc == 0 and path ~= "" and absolute(path, place == 1 and AT_FDCWD or (...)) or nil
end

-- Returns a function that gives what is configured at a path (nil for none). Links of directories may be in the way
-- of either, as where /var/run is /run: both are followed, but for the last part.
local MOST_DIRECTORIES = 128
local function finder(by_path)
  local paths, last_parts, behind_links = {}, {}, nil
  for path in pairs(by_path) do
    paths[#paths + 1] = path
    last_parts[path:match("[^/]*$")] = true
  end
  table.sort(paths)

  local function follow_configured()
    local directories, count = {}, 0
    behind_links = {}
    for _, path in ipairs(paths) do
      local directory, name = path:match("^(.*)/([^/]*)$")
      if directories[directory] == nil and count < MOST_DIRECTORIES then
        count = count + 1
        local real, rc = c_real_path(directory .. "/.")
        directories[directory] = rc == 0 and real or directory
      end
      behind_links[normal((directories[directory] or directory) .. "/" .. name)] = by_path[path]
    end
  end

  return function(path)
    if path == nil or by_path[path] ~= nil or not last_parts[path:match("[^/]*$")] then
      return path and by_path[path]
    end
    if behind_links == nil then
      follow_configured()
    end
    local real, rc = c_real_path(path)
    return rc == 0 and behind_links[real] or nil
  end
end

-- Returns a function for a path that may be a directory on the way to some of these entries: who looks for it finds
-- it, and for who opens it, maybe to list it, `provide` puts them there.
local MOST_PROVIDED = 100
local function lister(entries, provide)
  local in_directory, made = {}, {}
  for _, entry in ipairs(entries) do
    local directory = normal(entry.path .. "/..")
    repeat
      in_directory[directory] = in_directory[directory] or {}
      table.insert(in_directory[directory], entry)
      directory = normal(directory .. "/..")
    until directory == "/"
  end
  local configured = finder(in_directory)
  return function(path)
    local listed = configured(path) or {}
    if #listed > 0 and not IS_OPEN[__syscall_name] then
      if not made[path] then
        made[path] = true
        c_mkdir_p(path)
      end
      return
    end
    for number = 1, math.min(#listed, MOST_PROVIDED) do
      provide(listed[number])
    end
  end
end

-- Returns the flags of a call that opens a file, in the numbers of the guest; 1 (O_WRONLY) for creat.
local function open_flags(...)
  if __syscall_name == "creat" then
    return 1
  end
  local flags = select(IS_OPEN[__syscall_name], ...)
  if __syscall_name == "openat2" then
    local bytes, rc = c_read_bytes(flags, 8) -- struct open_how
    return rc == 0 and string.unpack(c_guest_info().order .. "I8", bytes) & 0xffffffff or 0
  end
  return flags & 0xffffffff
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

-- Answers a call of the stat family as for a file that is nowhere.
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

-- The same for a device node.
local function answer_node(mode, major, minor, ...)
  local action, ret = answer_stat(mode, 0, ...)
  local address, name = stat_structure(...)
  if name == "statx" then
    write_stat(address, name, { rdev_major = major, rdev_minor = minor })
  elseif address ~= nil then
    -- As the kernel gives it to programs, linux/kdev_t.h.
    write_stat(address, name, { rdev = (minor & 0xff) | major << 8 | (minor & ~0xff) << 12 })
  end
  return action, ret
end

-- Writes a line to the log, once.
local told = {}
local function tell(text)
  if not told[text] then
    told[text] = true
    c_log(text)
  end
end

-- Texts made of parts, in the layout of the program that makes the call.
local NUMBERS = {
  u8 = "I1", i8 = "i1", u16 = "I2", i16 = "i2", u32 = "I4", i32 = "i4", u64 = "I8", i64 = "i8",
}

-- Returns one part; an echo stays a pair of numbers.
local function part_of(part, guest)
  if type(part) == "string" then
    return part
  elseif part.echo then
    return part.echo
  elseif part.zeros then
    return string.rep("\0", part.zeros)
  elseif part.be16 then
    return string.pack(">I2", part.be16)
  elseif part.be32 then
    return string.pack(">I4", part.be32)
  elseif part.word then
    return string.pack(guest.order .. "i" .. guest.word, part.word)
  end
  for kind, layout in pairs(NUMBERS) do
    if part[kind] then
      return string.pack(guest.order .. layout, part[kind])
    end
  end
end

local function parts_of(text, guest)
  if type(text) == "string" then
    return { text }
  end
  local parts = {}
  for index, part in ipairs(text or {}) do
    parts[index] = part_of(part, guest)
  end
  return parts
end

local function text_of(text, guest)
  return text ~= nil and table.concat(parts_of(text, guest)) or nil
end
