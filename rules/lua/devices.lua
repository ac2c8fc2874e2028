-- devices: device nodes with what reading them gives, and typed answers to their ioctl requests.
-- What a descriptor is of is told by the label of what was opened, whoever opened it and whatever number it has by now.

local HOST = { zero = "/dev/zero", null = "/dev/null", random = "/dev/urandom" }
local WORDS = { long = true, ulong = true, ptr = true }
local PREFIX = "device:"

local function whole(text)
  return math.tointeger(tonumber(text))
end

-- Returns size and alignment of a field's kind, and whether it is a number.
local function kind_of(kind, guest)
  if WORDS[kind] then
    return guest.word, guest.word, true
  elseif kind:sub(1, 1) == "b" then
    return whole(kind:sub(2)), 1, false
  end
  local size = whole(kind:sub(2)) // 8
  return size, (guest.arch == "i386" and size > 4) and 4 or size, true
end

-- Returns the fields of a structure as the guest's processor has it, each with its place from 1, and its size.
local function lay_out(fields, guest)
  local layout, offset, widest = {}, 0, 1
  for name, kind in fields:gmatch("([%w_]+) ([%w]+)") do
    local size, align, is_number = kind_of(kind, guest)
    offset = offset + -offset % align
    layout[#layout + 1] = { name = name, at = offset + 1, size = size, is_number = is_number }
    offset, widest = offset + size, math.max(widest, align)
  end
  return layout, offset + -offset % widest
end

local function packed(field, value, guest)
  if not field.is_number then
    value = type(value) == "string" and value or ""
    return value .. string.rep("\0", field.size - #value)
  elseif field.size == 8 then
    return string.pack(guest.order .. "i8", value)
  end
  return string.pack(guest.order .. "I" .. field.size, value & ((1 << 8 * field.size) - 1))
end

-- Returns the structure `before` with the values filled in.
local function filled(layout, values, before, guest)
  for _, field in ipairs(layout) do
    if values[field.name] ~= nil then
      local after = before:sub(field.at + field.size)
      before = before:sub(1, field.at - 1) .. packed(field, values[field.name], guest) .. after
    end
  end
  return before
end

-- Whether the structure that the program passed holds these values.
local function holds(layout, values, bytes, guest)
  for _, field in ipairs(layout) do
    local value = values[field.name]
    if value ~= nil and bytes:sub(field.at, field.at + field.size - 1) ~= packed(field, value, guest) then
      return false
    end
  end
  return true
end

-- Fills in what the pointers of a structure lead to; false where the program gave a bad one.
local function fill_behind(structure, bytes, guest)
  for _, field in ipairs(structure.layout) do
    local behind = structure.into[field.name]
    if behind ~= nil then
      local address = string.unpack(guest.order .. "I" .. field.size, bytes, field.at)
      local before, rc = c_read_bytes(address, behind.size)
      if rc ~= 0 or not fill_behind(behind, before, guest) then
        return false
      end
      local after = filled(behind.layout, behind.values, before, guest)
      if after ~= before and select(2, c_write_bytes(address, after)) ~= 0 then
        return false
      end
    end
  end
  return true
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

local by_path = {}
for _, device in ipairs(config.devices) do
  by_path[normal(device.path)] = device
  device.label = PREFIX .. normal(device.path)
  device.known = {}
end
local configured = finder(by_path)

-- A file stands for the node where directories are listed; what is asked of it is answered here.
local provide_in = lister(config.devices, function(device)
  if not device.is_provided then
    device.is_provided = true
    c_provide_file(device.path, "", device.mode)
  end
end)

-- Returns a structure of the configuration in this program's layout, with those behind its pointers.
local function structure_of(given, guest)
  local layout, size = lay_out(given.fields, guest)
  local structure = { layout = layout, size = size, values = given.values, into = {} }
  for name, behind in pairs(given.into) do
    structure.into[name] = structure_of(behind, guest)
  end
  return structure
end

-- Returns the answers to a request, in their order: programs of several processors may share one device.
local function answers_of(device, number, guest)
  local known = device.known[guest.arch]
  if known == nil then
    known = {}
    for _, request in ipairs(device.requests) do
      local structure = structure_of(request, guest)
      local one = request_number(request, structure.size, guest)
      known[one] = known[one] or {}
      -- What the program passes is read where that matters; else the structure is the answer's alone.
      structure.is_passed = next(request.when) ~= nil or next(request.into) ~= nil or request.keeps ~= ""
        or request.code:find(" write$") ~= nil or request.code:find(" both$") ~= nil
      structure.is_given = next(request.values) ~= nil or request.gives ~= "" or request.code:find(" read$") ~= nil
      structure.request = request
      table.insert(known[one], structure)
    end
    device.known[guest.arch] = known
  end
  return known[number]
end

local function open(device, flags)
  local guest, fd = c_guest_info(), nil
  if HOST[device.source] ~= nil then
    fd = c_open_host(HOST[device.source], flags, 0, device.label)
  elseif device.source == "silent" then
    fd = c_socket_stub("blackhole", flags, nil, device.label)
  else
    local content = text_of(device.content, guest)
    content = content .. string.rep(string.char(device.fill), math.max(0, device.size - #content))
    fd = c_open_shared(device.label, content, flags)
  end
  c_log("opened " .. device.path .. ": " .. fd)
  if fd < 0 then
    return 0, 0
  end
  return 1, fd
end

local function device_behind(fd)
  local label = c_fd_label(fd)
  return label:sub(1, #PREFIX) == PREFIX and by_path[label:sub(#PREFIX + 1)] or nil
end

local function stat(device, ...)
  local mode = (device.kind == "block" and S_IFBLK or S_IFCHR) | device.mode
  return answer_node(mode, device.major, device.minor, ...)
end

-- Carries out one answer; nil where it is for other contents of the structure.
local function carry_out(device, structure, address, guest)
  local request, bytes, rc = structure.request, string.rep("\0", structure.size), 0
  if structure.is_passed and structure.size > 0 then
    bytes, rc = c_read_bytes(address, structure.size)
    if rc ~= 0 then
      return -c_errno("EFAULT")
    elseif not holds(structure.layout, request.when, bytes, guest) then
      return nil
    end
  end
  if request.errno ~= nil then
    return -(c_errno(request.errno) or c_errno("EIO"))
  end
  if request.keeps ~= "" then
    c_shared_set(device.label .. " " .. request.keeps, bytes)
  end
  if not fill_behind(structure, bytes, guest) then
    return -c_errno("EFAULT")
  end
  if structure.is_given then
    local kept = request.gives ~= "" and c_shared_get(device.label .. " " .. request.gives) or nil
    local after = kept ~= nil and #kept == #bytes and kept or filled(structure.layout, request.values, bytes, guest)
    if #after > 0 and select(2, c_write_bytes(address, after)) ~= 0 then
      return -c_errno("EFAULT")
    end
  end
  return request.answer
end

local function ioctl(device, request_word, address)
  local number, guest = request_word & 0xffffffff, c_guest_info()
  local told_of = string.format("ioctl %#x on %s", number, device.path)
  for _, structure in ipairs(answers_of(device, number, guest) or {}) do
    local ret = carry_out(device, structure, address, guest)
    if ret ~= nil then
      local name = structure.request.name
      tell(told_of .. ": " .. (name ~= "" and name or "answered"))
      return 1, ret
    end
  end
  tell(told_of .. ": not configured, " .. device.other_requests)
  return 1, device.other_requests == "success" and 0 or -c_errno("ENOTTY")
end

local IS_FSTAT = { fstat = true, fstat64 = true }
local MAY_BE_FSTAT = { newfstatat = true, fstatat64 = true, statx = true }

function do_syscall(num, ...)
  local name = __syscall_name
  local first, second, third = ...
  local on_descriptor = name == "ioctl" or IS_FSTAT[name]
    or MAY_BE_FSTAT[name] and first >= 0 and (second == 0 or c_read_string(second, 1) == "")
  local device
  if on_descriptor then
    device = device_behind(first)
  else
    local path = called_path(...)
    device = configured(path)
    if device == nil then
      provide_in(path)
    end
  end
  if device == nil then
    return 0, 0
  elseif name == "ioctl" then
    return ioctl(device, second, third)
  elseif IS_OPEN[name] then
    return open(device, open_flags(...))
  elseif IS_ACCESS[name] then
    return 1, 0
  end
  return stat(device, ...)
end
