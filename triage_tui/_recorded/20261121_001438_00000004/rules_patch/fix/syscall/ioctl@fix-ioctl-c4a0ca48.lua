-- triage-rule: 1
-- id: fix-ioctl-c4a0ca48
-- run: 20261121_001438_00000004
-- target: cb72c5747f9085b0
-- intent: let the program find the interface lan0
-- match: ioctl interface=lan0 request=SIOCGIFINDEX
-- hit-limit: 256
-- effect: questions about lan0 get the index of the loopback interface and plausible flags, addresses and sizes; settings are accepted and ignored
-- risk: medium
-- inverse: roll back the generation; no interface was made
-- template: interface_answers

local wanted = "lan0"
-- Requests of netdevice(7); they have the same numbers on every architecture.
local answers = {
  [0x8913] = { "flags", 0x1043 }, -- SIOCGIFFLAGS: up, broadcast, running, multicast
  [0x8915] = { "addr", "\192\168\001\001" }, -- SIOCGIFADDR
  [0x8917] = { "dstaddr", "\192\168\001\254" }, -- SIOCGIFDSTADDR
  [0x8919] = { "broadaddr", "\192\168\001\255" }, -- SIOCGIFBRDADDR
  [0x891b] = { "netmask", "\255\255\255\000" }, -- SIOCGIFNETMASK
  [0x891d] = { "metric", 0 }, -- SIOCGIFMETRIC
  [0x8921] = { "mtu", 1500 }, -- SIOCGIFMTU
  [0x8927] = { "hwaddr", "\002\000\000\000\000\001" }, -- SIOCGIFHWADDR: locally administered
  [0x8933] = { "ifindex", 1 }, -- SIOCGIFINDEX: the loopback interface
}
local settings = {
  [0x8914] = true, [0x8916] = true, [0x8918] = true, [0x891a] = true,
  [0x891c] = true, [0x891e] = true, [0x8922] = true, [0x8924] = true,
}

function do_syscall(num, a1, a2, a3, a4, a5, a6, a7, a8)
  local request = a2 & 0xffffffff
  local answer = answers[request]
  if answer == nil and not settings[request] then
    return 0, 0
  end
  if c_ifreq_name(a3) ~= wanted then
    return 0, 0
  end
  if answer ~= nil then
    local rc = c_ifreq_set(a3, answer[1], answer[2])
    if rc < 0 then
      return 0, 0
    end
  end
  c_log(string.format("answered request 0x%x for the interface", request))
  return 1, 0
end
