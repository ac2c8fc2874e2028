-- nvram: a store of keys as routers have it, with a log of the keys that the program asks for.
--
-- Programs ask a device ("interface") in one of two ways, by what made their chip:
--   Broadcom  it is mapped; read() with a name in the buffer gives where its value is in the mapping, with an
--             empty one all of them; write() of NAME=VALUE sets, of NAME takes away
--   Ralink    ioctl 1 to 5, or from 0x1001, with { int index; int ret; char *name; char *value; }
-- An image is the store as it lies in flash (a partition, a file): a header and NAME=VALUE, each ended by a zero.

local HEADER, MAGIC = 20, 0x48534c46
local LABEL = "nvram:" .. config.path
local GET, GET_ALL, SET, COMMIT, CLEAR = 1, 2, 3, 4, 5
local configured = finder({ [normal(config.path)] = true })
local names = {}
for name in pairs(config.keys) do
  names[#names + 1] = name
end
table.sort(names)

-- What the program changed is kept by the supervisor: false is a key that was taken away.
local function kept(name)
  return (c_shared_get(LABEL .. "=" .. name))
end

local function value_of(name)
  local value = kept(name)
  if value == nil then
    value = config.keys[name]
  end
  return value or nil
end

local asked = {}
local function asks(name)
  local value = value_of(name)
  if asked[name] == nil then
    asked[name] = true
    local found = value ~= nil and "= " .. value or config.default ~= nil and "not set, default given" or "not set"
    c_log("nvram: asked for " .. name .. ": " .. found)
  end
  if value == nil then
    return config.default
  end
  return value
end

-- Returns the store as it lies in flash, and where in it each value begins.
local function image()
  local guest, parts, at, begins = c_guest_info(), {}, HEADER, {}
  for _, name in ipairs(names) do
    local value = value_of(name)
    if value ~= nil then
      local entry = name .. "=" .. value .. "\0"
      begins[name] = at + #name + 1
      parts[#parts + 1] = entry
      at = at + #entry
    end
  end
  local body = table.concat(parts)
  local length = HEADER + #body + 1
  length = length + -length % 4
  local header = string.pack(guest.order .. "I4I4I4I4I4", MAGIC, length, 0x100, 0, 0)
  local text = header .. body .. "\0"
  return text .. string.rep(config.interface == "image" and "\255" or "\0", math.max(0, config.size - #text)), begins, at
end

local begins, ends
local function prepare()
  if begins == nil then
    local _
    _, begins, ends = image()
  end
end

-- Adds an entry to the mapping that all processes see, behind those that are there; returns where its value lies.
local function add_entry(name, value)
  local at, entry = c_shared_get(LABEL .. "@") or ends, name .. "=" .. value .. "\0"
  if at + #entry + 1 > config.size or c_write_shared(LABEL, at, entry .. "\0") ~= 0 then
    c_log("nvram: no room for the value of " .. name)
    return nil
  end
  local length = at + #entry + 1
  c_write_shared(LABEL, 4, string.pack(c_guest_info().order .. "I4", length + -length % 4))
  c_shared_set(LABEL .. "@" .. name, at + #name + 1)
  c_shared_set(LABEL .. "@", at + #entry)
  return at + #name + 1
end

-- Returns where in the mapping a value lies; it is put there when it is not yet.
local function offset_of(name, value)
  prepare()
  local at = c_shared_get(LABEL .. "@" .. name)
  if at ~= nil then
    return at
  elseif config.keys[name] == value and kept(name) == nil then
    return begins[name]
  end
  return add_entry(name, value)
end

-- Makes the mapping tell the new value (nil: none), for who reads it by itself. An offset that was given stays good:
-- the old value stays there, under a name that is none, unless the new one is as long.
local function change_entry(name, before, value)
  prepare()
  local at = c_shared_get(LABEL .. "@" .. name) or (before ~= nil and begins[name]) or nil
  if at ~= nil and before ~= nil and value ~= nil and #before == #value then
    c_write_shared(LABEL, at, value)
    c_shared_set(LABEL .. "@" .. name, at)
    return
  elseif at ~= nil then
    c_write_shared(LABEL, at - #name - 1, "\1")
    c_shared_set(LABEL .. "@" .. name, nil)
  end
  if value ~= nil then
    add_entry(name, value)
  end
end

local function set(name, value)
  c_log("nvram: sets " .. name .. (value and "= " .. value or " to nothing"))
  asked[name] = nil
  local before = value_of(name)
  if c_shared_set(LABEL .. "=" .. name, value or false) ~= 0 then
    return -c_errno("ENOSPC")
  end
  change_entry(name, before, value)
  if config.keys[name] == nil then
    local known = c_shared_get(LABEL .. "?") or ""
    if not ("\n" .. known):find("\n" .. name .. "\n", 1, true) then
      c_shared_set(LABEL .. "?", known .. name .. "\n")
    end
  end
  return 0
end

-- Returns NAME=VALUE of every key, each ended by a zero, and one zero more.
local function all_of_them()
  local parts = {}
  local function add(name)
    local value = value_of(name)
    if value ~= nil then
      parts[#parts + 1] = name .. "=" .. value .. "\0"
    end
  end
  for _, name in ipairs(names) do
    add(name)
  end
  for name in (c_shared_get(LABEL .. "?") or ""):gmatch("[^\n]+") do
    add(name)
  end
  return table.concat(parts) .. "\0"
end

local function broadcom_read(buffer, count)
  local name, rc = c_read_string(buffer, math.max(count, 1))
  if rc ~= 0 then
    return 1, rc
  end
  if name:find("=", 1, true) then
    -- No key: what it has just read. Who reads the device like a file gets to its end.
    return 1, 0
  elseif name == "" then
    local all = all_of_them()
    all = #all > 1 and all:sub(1, math.max(count, 0)) or ""
    c_log("nvram: asked for all keys")
    c_write_bytes(buffer, all)
    return 1, #all
  end
  local value = asks(name)
  local word = c_guest_info().word
  if value == nil or count < word then
    return 1, 0
  end
  local at = offset_of(name, value)
  if at == nil then
    return 1, -c_errno("ENOMEM")
  end
  local write = word == 8 and c_write_guest_u64 or c_write_guest_u32
  write(buffer, at)
  return 1, word
end

local function broadcom_write(buffer, count)
  local text, rc = c_read_string(buffer, math.max(count, 1))
  if rc ~= 0 then
    return 1, rc
  end
  text = text:sub(1, math.max(count, 0))
  local name, value = text:match("^([^=]+)=(.*)$")
  rc = set(name or text, value)
  return 1, rc == 0 and count or rc
end

-- The kernel makes of readv and writev one call for each part, until one comes to less than it was to.
local function each_part(once, vector, count)
  if count < 0 or count > 1024 then
    return 1, -c_errno("EINVAL")
  end
  local word, total = c_guest_info().word, 0
  local number = word == 8 and c_read_guest_u64 or c_read_guest_u32
  for part = 0, count - 1 do
    local at, at_rc = number(vector + part * 2 * word)
    local size, rc = number(vector + (part * 2 + 1) * word)
    if at_rc ~= 0 or rc ~= 0 then
      return 1, -c_errno("EFAULT")
    elseif size ~= 0 then
      local _, done = once(at, size)
      if done < 0 then
        return 1, total > 0 and total or done
      end
      total = total + done
      if done ~= size then
        break
      end
    end
  end
  return 1, total
end

local function ralink(number, address)
  if number == COMMIT or number == CLEAR then
    return 1, 0
  end
  local word = c_guest_info().word
  local pointer = word == 8 and c_read_guest_u64 or c_read_guest_u32
  local name_at, value_at = pointer(address + 8), pointer(address + 8 + word)
  if number == GET_ALL then
    c_log("nvram: asked for all keys")
    c_write_bytes(value_at, all_of_them())
    return 1, 0
  end
  local name, rc = c_read_string(name_at, 256)
  if rc ~= 0 then
    return 1, rc
  elseif number == SET then
    return 1, set(name, (c_read_string(value_at, 65536)))
  end
  c_write_bytes(value_at, (asks(name) or "") .. "\0")
  return 1, 0
end

local function ioctl(number, address)
  local request = number & ~0x1000
  if request >= GET and request <= CLEAR then
    return ralink(request, address)
  elseif number == MAGIC then
    -- Broadcom's commit.
    return 1, 0
  end
  c_log(string.format("nvram: request %#x is not known", number))
  return 1, -c_errno("ENOTTY")
end

local IS_FSTAT = { fstat = true, fstat64 = true }
-- What would go past the keys, into the memory behind the mapping: programs fall back to read and write.
local REFUSED = {
  sendfile = "EINVAL", sendfile64 = "EINVAL", splice = "EINVAL", copy_file_range = "EINVAL",
  pread64 = "ESPIPE", pwrite64 = "ESPIPE", preadv = "ESPIPE", pwritev = "ESPIPE",
  preadv2 = "ESPIPE", pwritev2 = "ESPIPE", ftruncate = "EINVAL", ftruncate64 = "EINVAL",
}
local OTHER_AT = { sendfile = 2, sendfile64 = 2, splice = 3, copy_file_range = 3 }
local ON_DESCRIPTOR = { read = true, write = true, readv = true, writev = true, ioctl = true }

local function stat(...)
  local is_file = config.interface == "image"
  local mode = (is_file and S_IFREG or S_IFCHR) | 432
  return answer_stat(mode, is_file and config.size or 0, ...)
end

function do_syscall(num, ...)
  local name = __syscall_name
  local first, second, third = ...
  if REFUSED[name] ~= nil then
    local other = OTHER_AT[name]
    if c_fd_label(first) ~= LABEL and (other == nil or c_fd_label((select(other, ...))) ~= LABEL) then
      return 0, 0
    end
    c_log("nvram: " .. name .. " is refused: " .. REFUSED[name])
    return 1, -c_errno(REFUSED[name])
  elseif ON_DESCRIPTOR[name] or IS_FSTAT[name] then
    if c_fd_label(first) ~= LABEL then
      return 0, 0
    elseif IS_FSTAT[name] then
      return stat(...)
    elseif name == "ioctl" then
      return ioctl(second & 0xffffffff, third)
    end
    local once = name:sub(1, 4) == "read" and broadcom_read or broadcom_write
    if name == "readv" or name == "writev" then
      return each_part(once, second, third)
    end
    return once(second, third)
  end
  if not configured(called_path(...)) then
    return 0, 0
  end
  if IS_OPEN[name] ~= nil then
    local fd = c_open_shared(LABEL, (image()), open_flags(...))
    c_log("nvram: opened " .. config.path .. ": " .. fd)
    if fd < 0 then
      return 0, 0
    end
    return 1, fd
  elseif IS_ACCESS[name] then
    return 1, 0
  end
  return stat(...)
end
