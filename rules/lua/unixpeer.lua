-- A peer at a socket that nobody serves, a local one (unix(7)) or one of TCP or UDP (ip(7)): connecting works, what the
-- program sends is told in the log, and the configured replies come back. The descriptor is one end of a real pair of sockets, so that poll, read,
-- write and passing it on work. Texts may be made of typed parts in the byte order of the program that connects.

local AF_UNIX, AF_INET, IPPROTO_IP, IPPROTO_TCP = 1, 2, 0, 6
local ADDRESS_MAX = 110 -- sizeof(struct sockaddr_un)
local shown = config.path or config.address or "@" .. config.abstract

-- What stands behind the family in the peer's address: a name, or port and address in network order.
local function wanted_bytes()
  if not config.address then
    return config.path or "\0" .. config.abstract
  end
  local a, b, c, d, port = string.match(config.address, "^(%d+)%.(%d+)%.(%d+)%.(%d+):(%d+)$")
  return string.pack(">I2BBBB", tonumber(port), tonumber(a), tonumber(b), tonumber(c), tonumber(d))
end
local wanted = wanted_bytes()
local configured = finder(config.path and { [normal(config.path)] = true } or {})
local directory = config.path and normal(config.path .. "/..")

local function script(guest)
  local replies = {}
  for index, step in ipairs(config.replies or {}) do
    replies[index] = {
      equals = text_of(step.equals, guest), starts = text_of(step.starts, guest), contains = text_of(step.contains, guest),
      reply = parts_of(step.reply, guest), once = step.once, hang_up = step.hang_up,
    }
  end
  return {
    name = shown, greeting = text_of(config.greeting, guest),
    border = config.border, ordered = config.ordered, replies = replies,
  }
end

-- Whether a struct sockaddr is the peer's: the text of an abstract name counts whole, that of a path up to a zero.
local function is_peers(address, size)
  if size < 3 or size > ADDRESS_MAX then
    return false
  end
  local bytes, rc = c_read_bytes(address, size)
  if rc ~= 0 or string.unpack(c_guest_info().order .. "I2", bytes) ~= (config.address and AF_INET or AF_UNIX) then
    return false
  end
  local name = string.sub(bytes, 3)
  if config.address then
    name = string.sub(name, 1, #wanted)
  elseif config.path then
    name = string.match(name, "^[^\0]*")
    return name == wanted or string.byte(name) ~= nil and configured(absolute(name, AT_FDCWD)) or false
  end
  return name == wanted
end

local function connect(fd)
  if config.hangs_up then
    return c_connect_peer(fd, "eof")
  end
  return c_connect_peer(fd, "script", script(c_guest_info()))
end

-- A message to the peer's address on a socket that is not connected to it.
local function send(fd, message)
  if c_tell_peer(fd) < 0 and connect(fd) < 0 then
    return 0, 0
  end
  local sent = c_tell_peer(fd, message)
  if sent < 0 then
    return 0, 0
  end
  return 1, sent
end

-- struct msghdr: name, its length, iov, count; struct iovec: base, length. Each is a word, but for the length.
local function gather(header, guest)
  local number = guest.order .. "I" .. guest.word
  local function word(at)
    local bytes, rc = c_read_bytes(at, guest.word)
    return rc == 0 and string.unpack(number, bytes) or 0
  end
  local size = c_read_guest_u32(header + guest.word)
  if not is_peers(word(header), size) then
    return nil
  end
  local vectors, parts = word(header + 2 * guest.word), {}
  for index = 0, math.min(word(header + 3 * guest.word), 16) - 1 do
    local at = vectors + index * 2 * guest.word
    parts[#parts + 1] = (c_read_bytes(word(at), word(at + guest.word)))
  end
  return table.concat(parts)
end

function do_syscall(num, a1, a2, a3, a4, a5, a6)
  local call = __syscall_name
  if call == "connect" then
    if not is_peers(a2, a3) then
      return 0, 0
    end
    local rc = connect(a1)
    c_log("connected to " .. shown .. ", result " .. rc)
    return rc == 0 and 1 or 0, 0
  elseif call == "sendto" then
    if a5 ~= 0 and is_peers(a5, a6) then
      local message, rc = c_read_bytes(a2, a3)
      if rc == 0 then
        return send(a1, message)
      end
    end
    return 0, 0
  elseif call == "setsockopt" then
    -- What is set of TCP or IP is none of a local socket.
    return (a2 == IPPROTO_IP or a2 == IPPROTO_TCP) and c_tell_peer(a1) >= 0 and 1 or 0, 0
  elseif call == "recvfrom" or call == "recvmsg" then
    return 0, 0
  elseif call == "sendmsg" then
    local message = gather(a2, c_guest_info())
    if message then
      return send(a1, message)
    end
    return 0, 0
  end
  -- Whoever looks for the socket before connecting finds its name.
  local path = called_path(a1, a2)
  if path ~= nil and (path == directory or configured(path)) then
    local rc = c_provide_socket(config.path)
    if rc == 0 then
      c_log("provided the name " .. config.path)
    end
  end
  return 0, 0
end

-- Who sent a datagram is the peer, by its own address.
function after_syscall(num, ret, a1, a2, a3, a4, a5, a6)
  local name_at, size_at = a5, a6
  if __syscall_name == "recvmsg" then
    local word = c_guest_info().word
    local pointer = word == 8 and c_read_guest_u64 or c_read_guest_u32
    name_at, size_at = pointer(a2), a2 + word -- struct msghdr
  end
  if ret >= 0 and name_at ~= 0 and size_at ~= 0 and c_tell_peer(a1) >= 0 then
    local room = c_read_guest_u32(size_at)
    local address = string.pack(c_guest_info().order .. "I2", AF_INET) .. wanted .. string.rep("\0", 8)
    c_write_bytes(name_at, address:sub(1, room))
    c_write_guest_u32(size_at, #address)
  end
  return 0, 0
end
