-- Calls every C function, and tells what came back: one line each, the types and the values that are known.
local M = {}

local function shown(...)
  local parts = table.pack(...)
  for index = 1, parts.n do
    parts[index] = math.type(parts[index]) or type(parts[index])
  end
  return table.concat(parts, ",")
end

local function tell(name, ...)
  c_log("helper " .. name .. " " .. shown(...))
  return ...
end

local function check(name, ok)
  c_log("check " .. name .. " " .. (ok and "ok" or "FAILED"))
end

-- `path` points to the path of the call that is being made, `own` is that path.
function M.run(path, own, process)
  tell("c_get_timestamp", c_get_timestamp())
  check("string", (tell("c_read_string", c_read_string(path, #own + 1))) == own)
  check("guest string", (tell("c_read_guest_string", c_read_guest_string(path, #own + 1))) == own)
  check("no string", select(2, c_read_string(path, 0)) == -22 and c_read_string(0) == "(null)")
  check("window", select(2, c_read_string(16, 64)) == -14)
  local before = c_read_bytes(path, 8)
  local first = tell("c_read_guest_u32", c_read_guest_u32(path))
  local order = first == string.unpack(">I4", before) and ">" or "<"
  c_log("order " .. order)
  check("u32", first == string.unpack(order .. "I4", before))
  check("u64", (tell("c_read_guest_u64", c_read_guest_u64(path))) == string.unpack(order .. "i8", before))
  check("unmapped", select("#", c_read_guest_u32(16)) == 2 and select(2, c_read_guest_u32(16)) == -14)
  check("bytes", (tell("c_read_guest_bytes", c_read_guest_bytes(path, 8))) == before)
  tell("c_write_guest_u32", c_write_guest_u32(path, 0x41424344))
  check("written", c_read_guest_u32(path) == 0x41424344)
  tell("c_write_guest_u64", c_write_guest_u64(path, -2))
  check("written 64", c_read_guest_u64(path) == -2)
  local count, rc = tell("c_write_bytes", c_write_bytes(path, before))
  check("count", count == 8 and rc == 0 and c_read_bytes(path, 8) == before)
  tell("c_write_guest_bytes", c_write_guest_bytes(path, before))
  local list = tell("c_list_regs", c_list_regs())
  check("registers", #list > 8 and math.type(list[1].num) == "integer" and type(list[1].name) == "string"
    and type(list[1].feature) == "string")
  local value, size, code = tell("c_get_reg", c_get_reg(list[1].name:upper()))
  check("register", code == 0 and size >= 4 and value == c_get_reg(list[1].num))
  local none, zero, why = c_get_reg("no such register")
  check("no register", none == nil and zero == 0 and why < 0)
  local spare = list[2].name
  local written, set = tell("c_set_reg", c_set_reg(spare, (c_get_reg(spare))))
  check("set", written == size and set == 0)
  local host = tell("c_g2h", c_g2h(path))
  check("g2h", type(host) == "userdata" and host == c_g2h(path) and c_g2h(16) == nil)
  check("h2g", (tell("c_h2g", c_h2g(host))) == path and c_h2g(1) == 0)
  local info, known = tell("c_resolve_addr", c_resolve_addr(path))
  check("resolve", known == 0 and info.addr & 0xffffffff == path & 0xffffffff and math.type(info.map_start)
    and math.type(info.load_bias) and math.type(info.analysis_addr) and math.type(info.map_offset))
  local pc = c_get_reg(M.pc(list))
  local place = c_resolve_addr(pc)
  check("code", place.module_name == "sfemu_calls" and type(place.func_name) == "string")
  check("nowhere", c_resolve_addr(16) == nil and select(2, c_resolve_addr(16)) < 0)
  local same = tell("c_resolve_host_addr", c_resolve_host_addr(host))
  check("host", same.guest_addr == path and math.type(same.host_addr) == "integer"
    and same.addr == same.host_addr and select(2, c_resolve_addr(path, -1)) == -22)
  check("program text", c_write_guest_u32(pc, 0) < 0 and select(2, c_write_bytes(pc, "x")) < 0)
  local frames = tell("c_get_shadowstack", c_get_shadowstack())
  check("frames", #frames > 0 and math.type(frames[1]) == "integer")
  local started, begun = tell("c_async_probe_http", c_async_probe_http("127.0.0.1", 50))
  check("probe", started == true and begun == 0)
  check("no probe", c_async_probe_http("no address") == false)
  tell("c_watchdog_suspend", c_watchdog_suspend(true))
  c_watchdog_suspend(false)
  tell("c_mkdir_p", c_mkdir_p("/var/made/by/rule"))
  check("made", io.open("/var/made/by/rule") ~= nil and select(2, c_mkdir_p("/x", 4096)) == -22)
  local fd = tell("c_open_host", c_open_host("/dev/zero", 2))
  check("device", fd > 2 and c_open_host("/etc/shadow", 0) == -13)
  check("names", type(SFEMU_RULES_PATH) == "string" and SFEMU_SYSCALL_CTX_KEEP == 256
    and math.type(SFEMU_RULES_IDLE_MS) == "integer" and SFEMU_TEST_WORD == "from config/env")
  check("raises", not pcall(c_log, {}) and not pcall(c_read_bytes, "x"))
  check("library", type(os.time()) == "number" and debug.getinfo(1, "S").source:sub(1, 1) == "@"
    and os.getenv("WORD") == "guest" and io.open("/proc/self/stat"):read("n") == process)
  check("commands", os.execute("mkdir -p -- '/var/with space'") and not os.execute("test -e '/no such'")
    and io.popen("ls /var"):read("a"):find("with space", 1, true))
  local cache = SFEMU_RULES_PATH .. "/cache/"
  io.open(cache .. "owned", "wb"):close()
  check("no set-user-ID", not os.execute("chmod 4755 '" .. cache .. "owned'") and os.execute("chmod 755 '" .. cache .. "owned'"))
  os.execute("rm -rf '" .. cache .. "triage_tui'")
  check("covered", not io.open(cache .. "triage_tui/target_id")
    and io.open(cache .. "triage_tui/waiting/here", "wb") ~= nil)
end

function M.pc(list)
  for _, register in ipairs(list) do
    if register.name == "pc" or register.name == "eip" or register.name == "rip" then
      return register.num
    end
  end
end

return M
