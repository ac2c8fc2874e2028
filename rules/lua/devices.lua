-- devices: device nodes with what reading them gives, and typed answers to their ioctl requests.

local S_IFBLK, S_IFCHR = 24576, 8192
local HOST = { zero = "/dev/zero", null = "/dev/null", random = "/dev/urandom" }
local KINDS = { long = true, ulong = true, ptr = true }

local function whole(text)
  return math.tointeger(tonumber(text))
end

-- Returns size and alignment of a field's kind, and whether it is a number.
local function kind_of(kind, guest)
  if KINDS[kind] then
    return guest.word, guest.word, true
  elseif kind:sub(1, 1) == "b" then
    return whole(kind:sub(2)), 1, false
  end
  local size = whole(kind:sub(2)) // 8
  return size, (guest.arch == "i386" and size > 4) and 4 or size, true
end

-- Returns the structure's bytes with the values given, as the guest's processor has it.
local function structure(fields, values, guest)
  local parts, offset, widest = {}, 0, 1
  for name, kind in fields:gmatch("([%w_]+) ([%w]+)") do
    local size, align, is_number = kind_of(kind, guest)
    local pad = -offset % align
    parts[#parts + 1] = string.rep("\0", pad)
    local value = values[name] or 0
    if not is_number then
      value = type(value) == "string" and value or ""
      parts[#parts + 1] = value .. string.rep("\0", size - #value)
    elseif size == 8 then
      parts[#parts + 1] = string.pack(guest.order .. "i8", value)
    else
      parts[#parts + 1] = string.pack(guest.order .. "I" .. size, value & ((1 << 8 * size) - 1))
    end
    offset, widest = offset + pad + size, math.max(widest, align)
  end
  parts[#parts + 1] = string.rep("\0", -offset % widest)
  return table.concat(parts)
end

-- asm-generic/ioctl.h; MIPS, PowerPC, Alpha and SPARC have three bits of direction.
local DIRECTION = { none = 0, write = 1, read = 2, both = 3 }
local DIRECTION_OF_FEW = { none = 1, write = 4, read = 2, both = 6 }

local function request_number(request, size, guest)
  if request.number ~= nil then
    return request.number
  end
  local letter, number, direction = request.code:match("^(%S+) (%d+) (%a+)$")
  letter = #letter == 1 and letter:byte() or whole(letter)
  local few = guest.arch:find("^mips") or guest.arch:find("^ppc") or guest.arch:find("^alpha") or guest.arch:find("^sparc")
  local top = few and DIRECTION_OF_FEW[direction] << 29 or DIRECTION[direction] << 30
  return top | (direction == "none" and 0 or size) << 16 | letter << 8 | whole(number)
end

local by_path, by_descriptor = {}, {}
for _, device in ipairs(config.devices) do
  by_path[normal(device.path)] = device
  device.known = {}
end

-- Returns what is known of a request: programs of several processors may share one device.
local function request_of(device, number)
  local guest = c_guest_info()
  local known = device.known[guest.arch]
  if known == nil then
    known = {}
    for _, request in ipairs(device.requests) do
      local bytes = structure(request.fields, request.values, guest)
      local given = next(request.values) ~= nil or request.code:find(" read$")
      known[request_number(request, #bytes, guest)] = { request = request, bytes = given and bytes or "" }
    end
    device.known[guest.arch] = known
  end
  return known[number]
end

local function content_of(device)
  return device.content .. string.rep(string.char(device.fill), math.max(0, device.size - #device.content))
end

local IS_OPEN = { open = 2, creat = 2, openat = 3, openat2 = 3 }
local IS_ACCESS = { access = true, faccessat = true, faccessat2 = true }
local IS_FSTAT = { fstat = true, fstat64 = true }
local MAY_BE_FSTAT = { newfstatat = true, fstatat64 = true, statx = true }

local function open(device, flags)
  local fd
  if HOST[device.source] ~= nil then
    fd = c_open_host(HOST[device.source], flags & 3, 0)
  elseif device.source == "silent" then
    fd = c_socket_stub("blackhole", flags)
  else
    fd = c_open_shared("device:" .. device.path, content_of(device), flags)
  end
  c_log("opened " .. device.path .. ": " .. fd)
  if fd < 0 then
    return 0, 0
  end
  local behind, rc = c_fd_path(fd)
  if rc == 0 then
    by_descriptor[behind] = device
  end
  return 1, fd
end

-- Returns the device behind a descriptor, whoever opened it and whatever number it has by now.
local function device_behind(fd)
  local label = c_fd_label(fd)
  if label ~= "" then
    return by_path[label:match("^device:(.*)$") or ""]
  end
  if next(by_descriptor) == nil then
    return nil
  end
  return by_descriptor[(c_fd_path(fd))]
end

local function stat(device, ...)
  local mode = (device.kind == "block" and S_IFBLK or S_IFCHR) | device.mode
  local major, minor = device.major, device.minor
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

local seen = {}
local function ioctl(device, fd, request_word, address)
  local number = request_word & 0xffffffff
  local known = request_of(device, number)
  local told = string.format("ioctl %#x on %s", number, device.path)
  if known == nil then
    if not seen[told] then
      seen[told] = true
      c_log(told .. ": not configured, " .. device.other_requests)
    end
    if device.other_requests == "success" then
      return 1, 0
    end
    return 1, -c_errno("ENOTTY")
  end
  local request = known.request
  if not seen[told] then
    seen[told] = true
    c_log(told .. ": " .. (request.name ~= "" and request.name or "answered"))
  end
  if request.errno ~= nil then
    return 1, -(c_errno(request.errno) or c_errno("EIO"))
  end
  if #known.bytes > 0 and select(2, c_write_bytes(address, known.bytes)) ~= 0 then
    return 1, -c_errno("EFAULT")
  end
  return 1, request.answer
end

function do_syscall(num, ...)
  local name = __syscall_name
  local first, second, third = ...
  if name == "ioctl" or IS_FSTAT[name] then
    local device = device_behind(first)
    if device == nil then
      return 0, 0
    end
    if name == "ioctl" then
      return ioctl(device, first, second, third)
    end
    return stat(device, ...)
  end
  if MAY_BE_FSTAT[name] and first >= 0 and (second == 0 or c_read_string(second, 1) == "") then
    local device = device_behind(first)
    if device == nil then
      return 0, 0
    end
    return stat(device, ...)
  end
  local path = called_path(...)
  local device = path and by_path[path]
  if device == nil then
    return 0, 0
  end
  local flags_at = IS_OPEN[name]
  if flags_at ~= nil then
    return open(device, name == "creat" and 1 or name == "openat2" and 2 or (select(flags_at, ...)))
  elseif IS_ACCESS[name] then
    return 1, 0
  end
  return stat(device, ...)
end
