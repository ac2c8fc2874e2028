-- Another time of day, for every call that reads or sets it and for /dev/rtc. What the program sets is kept for the
-- whole run. Other clocks (monotonic, boot time, processor time) and waits are the machine's.

local DAY = { [0] = true, [5] = true, [8] = true, [11] = true } -- CLOCK_REALTIME, _COARSE, _ALARM, CLOCK_TAI
local RTC = "clock:/dev/rtc"
local is_rtc = finder({ ["/dev/rtc"] = true, ["/dev/rtc0"] = true, ["/dev/misc/rtc"] = true })
-- _IOR('p', 0x09, struct rtc_time) and _IOW('p', 0x0a, struct rtc_time), whatever the architecture's direction bits.
local RTC_RD_TIME, RTC_SET_TIME = 0x247009, 0x24700a

-- Days since 1970 of a date of the Gregorian calendar, and back; years are counted from March.
local function days_of(year, month, day)
  local shifted = (month + 9) % 12
  year = month <= 2 and year - 1 or year
  local era = year // 400
  local of_era = year - era * 400
  local of_year = (153 * shifted + 2) // 5 + day - 1
  return era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468
end

local function date_of(days)
  days = days + 719468
  local era = days // 146097
  local of_era = days - era * 146097
  local year = (of_era - of_era // 1460 + of_era // 36524 - of_era // 146096) // 365
  local of_year = of_era - (365 * year + year // 4 - year // 100)
  local shifted = (5 * of_year + 2) // 153
  local month = shifted < 10 and shifted + 3 or shifted - 9
  return year + era * 400 + (month <= 2 and 1 or 0), month, of_year - (153 * shifted + 2) // 5 + 1
end

local function seconds_of(text)
  local year, month, day, hour, minute, second = string.match(text, "^(%d+)-(%d+)-(%d+)[T ](%d+):(%d+):(%d+)Z?$")
  local days = days_of(tonumber(year), tonumber(month), tonumber(day))
  return days * 86400 + tonumber(hour) * 3600 + tonumber(minute) * 60 + tonumber(second)
end

-- What is added to the machine's time; `which` is "day" or "rtc".
local function offset(which)
  local kept = c_shared_get("clock:" .. which)
  if kept ~= nil then
    return kept
  end
  if config.offset then
    return config.offset
  end
  -- The run's first question decides, also for a rule host that is started again.
  local first = c_shared_get("clock:first")
  if first == nil then
    first = c_get_timestamp()
    c_shared_set("clock:first", first)
  end
  return seconds_of(config.at) - first
end

local function shown(seconds)
  if config.stands then
    local set = c_shared_get("clock:set")
    return set or seconds_of(config.at)
  end
  return seconds + offset("day")
end

-- Two numbers, seconds and their parts: struct timeval and timespec, or those of the *64 calls.
local function number_of(call)
  local guest = c_guest_info()
  return guest.order .. "i" .. (string.sub(call, -2) == "64" and 8 or guest.word)
end

local function read_seconds(address, number)
  local bytes, rc = c_read_bytes(address, string.packsize(number))
  return rc == 0 and string.unpack(number, bytes) or nil
end

-- Reading ----------------------------------------------------------------------------------------------

local function change_reading(call, address)
  local number = number_of(call)
  local seconds = read_seconds(address, number)
  if seconds ~= nil then
    c_write_bytes(address, string.pack(number, shown(seconds)))
    if config.stands then
      c_write_bytes(address + string.packsize(number), string.pack(number, 0))
    end
    tell("changed what " .. call .. " reads")
  end
  return 0, 0
end

function after_syscall(num, ret, a1, a2)
  local call = __syscall_name
  if call == "time" then
    if ret == -1 then
      return 0, 0
    end
    local seconds = shown(ret)
    if a1 ~= 0 then
      c_write_bytes(a1, string.pack(number_of(call), seconds))
    end
    tell("changed what time reads")
    return 1, seconds
  elseif ret ~= 0 then
    return 0, 0
  elseif call == "gettimeofday" and a1 ~= 0 then
    return change_reading(call, a1)
  elseif (call == "clock_gettime" or call == "clock_gettime64") and DAY[a1] then
    return change_reading(call, a2)
  end
  return 0, 0
end

-- Setting ----------------------------------------------------------------------------------------------

local function set(which, seconds)
  local now = c_get_timestamp()
  c_shared_set("clock:" .. which, seconds - now)
  if which == "day" then
    c_shared_set("clock:set", seconds)
  end
  c_log("the program set the " .. (which == "rtc" and "hardware clock" or "time") .. " to " .. seconds)
  return 1, 0
end

local function on_setting(call, address)
  if address == 0 then
    return 1, 0 -- only the time zone, settimeofday(2)
  end
  local seconds = read_seconds(address, number_of(call))
  if seconds == nil then
    return 0, 0
  end
  return set("day", seconds)
end

-- The hardware clock: nine ints, struct rtc_time of include/uapi/linux/rtc.h, in UTC ---------------------

local function on_rtc(request, address)
  local order = c_guest_info().order
  local layout = order .. "i4i4i4i4i4i4i4i4i4"
  if request & 0xffffff == RTC_SET_TIME then
    local bytes, rc = c_read_bytes(address, 36)
    if rc ~= 0 then
      return 0, 0
    end
    local second, minute, hour, day, month, year = string.unpack(layout, bytes)
    return set("rtc", days_of(year + 1900, month + 1, day) * 86400 + hour * 3600 + minute * 60 + second)
  end
  local now = c_get_timestamp()
  local seconds = config.stands and shown(now) or now + offset("rtc")
  local days, rest = seconds // 86400, seconds % 86400
  local year, month, day = date_of(days)
  local of_year = days - days_of(year, 1, 1)
  c_write_bytes(address, string.pack(
    layout, rest % 60, rest // 60 % 60, rest // 3600, day, month - 1, year - 1900, (days + 4) % 7, of_year, 0
  ))
  tell("answered for the hardware clock")
  return 1, 0
end

function do_syscall(num, a1, a2, a3, ...)
  local call = __syscall_name
  if call == "ioctl" then
    local request = a2 & 0xffffff
    if (request == RTC_RD_TIME or request == RTC_SET_TIME) and c_fd_label(a1) == RTC then
      return on_rtc(request, a3)
    end
  elseif PATH_AT[call] then
    if not is_rtc(called_path(a1, a2, a3, ...)) then
      return 0, 0
    elseif IS_OPEN[call] then
      local fd = c_open_bytes("", open_flags(a1, a2, a3, ...), RTC)
      if fd >= 0 then
        return 1, fd
      end
    elseif IS_ACCESS[call] then
      return 1, 0
    end
    return answer_node(S_IFCHR | 416, 254, 0, a1, a2, a3, ...) -- 0640, as drivers/rtc makes them
  elseif call == "settimeofday" or call == "stime" then
    return on_setting(call, a1)
  elseif (call == "clock_settime" or call == "clock_settime64") and DAY[a1] then
    return on_setting(call, a2)
  end
  return 0, 0
end
