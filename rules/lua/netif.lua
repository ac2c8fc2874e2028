-- Network interfaces that do not exist, answered from a list: netdevice(7), /proc/net/dev, /sys/class/net.
-- What the program sets is kept for the whole run and answered from then on. Numbers of requests are the same on
-- every architecture; layouts follow the word size and byte order of the program that asks.

local FLAGS = { up = 0x1, broadcast = 0x2, running = 0x40, multicast = 0x1000 }
local IFNAMSIZ, AF_INET, SO_BINDTODEVICE = 16, 2, 25

local GET = {
  [0x8913] = "flags", [0x8915] = "addr", [0x8917] = "dstaddr", [0x8919] = "broadaddr", [0x891b] = "netmask",
  [0x891d] = "metric", [0x8921] = "mtu", [0x8927] = "hwaddr", [0x8933] = "ifindex", [0x8942] = "queue",
}
local SET = {
  [0x8914] = "flags", [0x8916] = "addr", [0x8918] = "dstaddr", [0x891a] = "broadaddr", [0x891c] = "netmask",
  [0x891e] = "metric", [0x8922] = "mtu", [0x8924] = "hwaddr", [0x8943] = "queue",
}
local SIOCGIFNAME, SIOCGIFCONF, SIOCGIFMAP, SIOCETHTOOL = 0x8910, 0x8912, 0x8970, 0x8946
local SIOCADDRT, SIOCDELRT = 0x890b, 0x890c
local SIOCGMIIPHY, SIOCGMIIREG, SIOCGIWNAME = 0x8947, 0x8948, 0x8b01
local ETHTOOL_GSET, ETHTOOL_GLINK = 0x1, 0xa
local ADDRESSES = { addr = true, dstaddr = true, broadaddr = true, netmask = true }

local function pack_address(text)
  local a, b, c, d = string.match(text, "^(%d+)%.(%d+)%.(%d+)%.(%d+)$")
  return string.char(tonumber(a), tonumber(b), tonumber(c), tonumber(d))
end

local function pack_hardware(text)
  return (string.gsub(text, "(%x%x):?", function(pair)
    return string.char(tonumber(pair, 16))
  end))
end

local function last_address(address, netmask)
  return string.pack(">I4", (string.unpack(">I4", address) | ~string.unpack(">I4", netmask)) & 0xffffffff)
end

-- What each interface is before the program sets anything: netmask and broadcast address as the kernel chooses them.
local function first_values(given)
  local flags = FLAGS.broadcast | FLAGS.multicast
  if given.up ~= false then
    flags = flags | FLAGS.up
  end
  if given.link ~= false then
    flags = flags | FLAGS.running
  end
  local values = {
    flags = given.flags or flags,
    metric = 0,
    mtu = given.mtu or 1500,
    hwaddr = pack_hardware(given.hardware or "02:00:00:00:00:01"),
    ifindex = given.index or 1,
    queue = 1000,
  }
  if given.address then
    values.addr = pack_address(given.address)
    values.netmask = pack_address(given.netmask or "255.255.255.0")
    values.broadaddr = given.broadcast and pack_address(given.broadcast)
      or last_address(values.addr, values.netmask)
    values.dstaddr = given.peer and pack_address(given.peer) or values.addr
  end
  return values
end

-- `names` are those of interfaces that are made up; a real one is only asked what the emulator does not know.
local interfaces, names = {}, {}
for _, given in ipairs(config.interfaces) do
  interfaces[given.name] = { given = given, first = first_values(given) }
  if not given.real then
    names[#names + 1] = given.name
  end
end

local function is_radio(name)
  return string.match(name, "^wl") or string.match(name, "^ath") or string.match(name, "^wifi")
    or string.match(name, "^ra%d")
end

local function value_of(name, field)
  local kept = c_shared_get("netif:" .. name .. ":" .. field)
  if kept ~= nil then
    return kept
  end
  return interfaces[name].first[field]
end

local function keep(name, field, value)
  c_shared_set("netif:" .. name .. ":" .. field, value)
end

local function socket_address(order, address)
  return string.pack(order .. "I2", AF_INET) .. "\0\0" .. address .. string.rep("\0", 8)
end

-- What a request asks for ------------------------------------------------------------------------------

local function answer_get(name, field, at)
  local value = value_of(name, field)
  if value == nil then
    return 1, -c_errno("EADDRNOTAVAIL")
  end
  local rc
  if field == "queue" then
    rc = c_write_guest_u32(at + IFNAMSIZ, value)
  else
    rc = c_ifreq_set(at, field, value)
  end
  if rc < 0 then
    return 0, 0
  end
  return 1, 0
end

local function keep_set(name, field, at, order)
  local union, rc = c_read_bytes(at + IFNAMSIZ, 16)
  if rc ~= 0 then
    return 0, 0
  end
  local value
  if field == "flags" then
    -- Whether there is a link is no setting.
    value = string.unpack(order .. "I2", union) & ~FLAGS.running | interfaces[name].first.flags & FLAGS.running
  elseif field == "hwaddr" then
    value = string.sub(union, 3, 8)
  elseif ADDRESSES[field] then
    value = string.sub(union, 5, 8)
  else
    value = string.unpack(order .. "i4", union)
  end
  keep(name, field, value)
  if field == "addr" then
    local mask = value_of(name, "netmask") or "\255\255\255\0"
    keep(name, "netmask", mask)
    keep(name, "dstaddr", value)
    keep(name, "broadaddr", last_address(value, mask))
  elseif field == "netmask" and value_of(name, "addr") then
    keep(name, "broadaddr", last_address(value_of(name, "addr"), value))
  end
  return 1, 0
end

local function has_link(name)
  return interfaces[name].first.flags & FLAGS.running ~= 0
end

-- struct ethtool_value and struct ethtool_cmd, include/uapi/linux/ethtool.h
local function answer_ethtool(name, at, guest)
  local data, rc = c_read_bytes(at + IFNAMSIZ, guest.word)
  local place = rc == 0 and string.unpack(guest.order .. "I" .. guest.word, data) or 0
  local command, command_rc = c_read_guest_u32(place)
  if command_rc ~= 0 then
    return 0, 0
  end
  if command == ETHTOOL_GLINK then
    c_write_guest_u32(place + 4, has_link(name) and 1 or 0)
    return 1, 0
  end
  if command == ETHTOOL_GSET then
    local speed = interfaces[name].given.speed or 100
    local full, twisted_pair = 1, 0
    c_write_bytes(place + 4, string.pack(
      guest.order .. "I4I4I2BBBBBBI4I4I2BBI4I4I4",
      0xf, 0xf, speed, full, twisted_pair, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0
    ))
    return 1, 0
  end
  return 1, -c_errno("EOPNOTSUPP")
end

-- struct mii_ioctl_data: phy_id, reg_num, val_in, val_out; register 1 is the status, with the link at bit 2.
local function answer_mii(name, request, at, guest)
  if request == SIOCGMIIPHY then
    c_write_bytes(at + IFNAMSIZ, string.pack(guest.order .. "I2", 1))
    return 1, 0
  end
  local data, rc = c_read_bytes(at + IFNAMSIZ + 2, 2)
  if rc ~= 0 then
    return 0, 0
  end
  local register, value = string.unpack(guest.order .. "I2", data), 0
  if register == 1 then
    value = has_link(name) and 0x782d or 0x7809
  end
  c_write_bytes(at + IFNAMSIZ + 6, string.pack(guest.order .. "I2", value))
  return 1, 0
end

local function name_of_index(at)
  local wanted, rc = c_read_guest_u32(at + IFNAMSIZ)
  if rc ~= 0 then
    return 0, 0
  end
  for _, name in ipairs(names) do
    -- The loopback interface keeps its own name.
    if value_of(name, "ifindex") == wanted and wanted ~= 1 then
      c_write_bytes(at, name .. string.rep("\0", IFNAMSIZ - #name))
      return 1, 0
    end
  end
  return 0, 0
end

local function on_ioctl(request, at)
  request = request & 0xffffffff
  if config.routes and (request == SIOCADDRT or request == SIOCDELRT) then
    tell("said that setting a route worked")
    return 1, 0
  end
  if request < 0x8910 or request > 0x8bff or request == SIOCGIFCONF then
    return 0, 0
  end
  if request == SIOCGIFNAME then
    return name_of_index(at)
  end
  local name = c_ifreq_name(at)
  local interface = interfaces[name]
  if interface == nil then
    return 0, 0
  end
  tell(string.format("request 0x%x for %s", request, name))
  local guest = c_guest_info()
  local protocol = interface.given.wireless or (is_radio(name) and "IEEE 802.11")
  if interface.given.real and (GET[request] or SET[request] or request == SIOCGIFMAP) then
    return 0, 0
  elseif GET[request] then
    return answer_get(name, GET[request], at)
  elseif SET[request] then
    return keep_set(name, SET[request], at, guest.order)
  elseif request == SIOCETHTOOL then
    return answer_ethtool(name, at, guest)
  elseif request == SIOCGMIIPHY or request == SIOCGMIIREG then
    return answer_mii(name, request, at, guest)
  elseif request == SIOCGIFMAP then
    c_write_bytes(at + IFNAMSIZ, string.rep("\0", 2 * guest.word + 8))
    return 1, 0
  elseif request == SIOCGIWNAME and protocol then
    c_write_bytes(at + IFNAMSIZ, protocol .. string.rep("\0", 16 - #protocol))
    return 1, 0
  end
  return 0, 0
end

-- struct ifconf: an int, then a pointer at the next place for one. The kernel has listed its own; ours come behind.
local function add_to_list(at)
  local guest = c_guest_info()
  local size = guest.word == 8 and 40 or 32
  local room, rc = c_shared_get("netif:room"), 0
  local length = c_read_guest_u32(at)
  local pointer = string.unpack(guest.order .. "I" .. guest.word, (c_read_bytes(at + guest.word, guest.word)))
  for _, name in ipairs(names) do
    local address = value_of(name, "addr")
    if address ~= nil then
      if pointer ~= 0 then
        if length + size > (room or 0) then
          break
        end
        local entry = name .. string.rep("\0", IFNAMSIZ - #name) .. socket_address(guest.order, address)
        rc = select(2, c_write_bytes(pointer + length, entry .. string.rep("\0", size - #entry)))
        if rc < 0 then
          break
        end
      end
      length = length + size
    end
  end
  c_write_guest_u32(at, length)
  tell("listed " .. #names .. " interfaces")
end

-- Files ------------------------------------------------------------------------------------------------

local HEAD = "Inter-|   Receive                                                |  Transmit\n"
  .. " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n"
local NOTHING = "       0       0    0    0    0     0          0         0        0       0    0    0    0     0       0          0\n"

local function list_file()
  local lines = { HEAD, string.format("%6s:%s", "lo", NOTHING) }
  for _, name in ipairs(names) do
    lines[#lines + 1] = string.format("%6s:%s", name, NOTHING)
  end
  return table.concat(lines)
end

local SYS = "/sys/class/net"
local MOST_LISTED = 24 -- at a time: each is some twenty requests, and a call has 512

-- The file names of an interface's directory, and what each of them tells now (Documentation/ABI/testing/sysfs-class-net).
local ATTRIBUTES = {
  address = function(name)
    local pairs_of = string.gsub(value_of(name, "hwaddr"), ".", function(byte)
      return string.format("%02x:", string.byte(byte))
    end)
    return string.sub(pairs_of, 1, -2)
  end,
  carrier = function(name)
    return has_link(name) and "1" or "0"
  end,
  duplex = function()
    return "full"
  end,
  flags = function(name)
    return string.format("0x%x", value_of(name, "flags"))
  end,
  ifindex = function(name)
    return value_of(name, "ifindex")
  end,
  mtu = function(name)
    return value_of(name, "mtu")
  end,
  operstate = function(name)
    return has_link(name) and value_of(name, "flags") & FLAGS.up ~= 0 and "up" or "down"
  end,
  speed = function(name)
    return interfaces[name].given.speed or 100
  end,
  tx_queue_len = function(name)
    return value_of(name, "queue")
  end,
  type = function()
    return 1 -- ARPHRD_ETHER
  end,
}

-- Puts the names there, for who lists a directory; what they tell is made when they are opened.
local named = {}
local function provide_names(of)
  if named[of] or c_shared_get("netif:sys:" .. of) then
    named[of] = true
    return
  end
  named[of] = true
  c_shared_set("netif:sys:" .. of, true)
  for attribute, tells in pairs(ATTRIBUTES) do
    c_provide_file(SYS .. "/" .. of .. "/" .. attribute, tells(of) .. "\n", 292) -- 0444
  end
  tell("provided " .. SYS)
end

local function on_path(path, ...)
  local flags = IS_OPEN[__syscall_name] and open_flags(...) or nil
  if flags ~= nil and (path == "/proc/net/dev" or path == "/proc/self/net/dev") then
    local fd = c_open_bytes(list_file(), flags, path)
    tell("listed interfaces in " .. path)
    if fd >= 0 then
      return 1, fd
    end
  elseif path == SYS then
    local room = MOST_LISTED
    for _, name in ipairs(names) do
      if not named[name] and room > 0 then
        room = room - 1
        provide_names(name)
      end
    end
  elseif string.sub(path, 1, #SYS + 1) == SYS .. "/" then
    local name, attribute = string.match(path, "^([^/]+)/?([^/]*)", #SYS + 2)
    local interface = interfaces[name]
    if interface == nil or interface.given.real or (attribute ~= "" and ATTRIBUTES[attribute] == nil) then
      return 0, 0
    end
    provide_names(name)
    -- What is written there stays in the file, and is no setting.
    if attribute ~= "" and flags ~= nil and flags & 3 == 0 then
      local fd = c_open_bytes(ATTRIBUTES[attribute](name) .. "\n", flags, path)
      if fd >= 0 then
        return 1, fd
      end
    end
  end
  return 0, 0
end

-- Calls ------------------------------------------------------------------------------------------------

function do_syscall(num, a1, a2, a3, a4, a5)
  local call = __syscall_name
  if call == "ioctl" then
    if a2 & 0xffffffff == SIOCGIFCONF then
      local room, rc = c_read_guest_u32(a3)
      c_shared_set("netif:room", rc == 0 and room or 0)
    end
    return on_ioctl(a2, a3)
  elseif call == "setsockopt" then
    local level = string.sub(c_guest_info().arch, 1, 4) == "mips" and 0xffff or 1
    if a2 == level and a3 == SO_BINDTODEVICE and a5 > 0 and a5 & 0x80000000 == 0 then
      -- The kernel cuts a longer one, as of programs that pass a whole struct ifreq (sock_setbindtodevice).
      local text, rc = c_read_bytes(a4, math.min(a5, IFNAMSIZ - 1))
      local name = rc == 0 and string.match(text, "^[^\0]*") or ""
      if interfaces[name] and not interfaces[name].given.real then
        tell("bound a socket to " .. name)
        return 1, 0
      end
    end
    return 0, 0
  end
  local path = called_path(a1, a2)
  if path == nil then
    return 0, 0
  end
  return on_path(path, a1, a2, a3)
end

function after_syscall(num, ret, a1, a2, a3)
  if __syscall_name == "ioctl" and ret == 0 and a2 & 0xffffffff == SIOCGIFCONF then
    add_to_list(a3)
  end
  return 0, 0
end
