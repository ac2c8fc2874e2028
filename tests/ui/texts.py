"""Texts of the recorded runs: rules, disassembly, pseudocode."""

OPEN_RULE = """\
-- triage-rule: 1
-- id: fix-ioctl-3f2a91c0
-- intent: let the interface lookup succeed
-- match: ioctl interface=eth0 request=SIOCGIFINDEX
-- hit-limit: 4
-- risk: low
local hits = 0

function do_syscall(num, fd, request, arg)
  if request ~= 0x8933 or c_ifreq_name(arg) ~= "eth0" then
    return 0, 0 -- pass through
  end
  hits = hits + 1
  c_ifreq_set(arg, "ifindex", 2)
  c_log("ioctl SIOCGIFINDEX eth0 answered")
  return 1, 0
end
"""

OBSERVE_RULE = """\
-- triage-rule: 1
-- id: observe-socket-77aa01f2
-- intent: count what is asked of packet sockets
function do_syscall(num, domain, kind, protocol)
  c_log(string.format("socket(%d, %d, %d)", domain, kind, protocol))
  return 0, 0
end
"""

DISASSEMBLY = """\
; /bin/busybox :: udhcp_read_interface+0x9c (mips32, little-endian)
  00431e30  8fbc0010  lw      $gp, 0x10($sp)
  00431e34  afa20018  sw      $v0, 0x18($sp)
  00431e38  24058933  addiu   $a1, $zero, -0x76cd
  00431e3c  02002025  move    $a0, $s0
  00431e40  8f998a1c  lw      $t9, -0x75e4($gp)      ; ioctl
  00431e44  0320f809  jalr    $t9
  00431e48  27a60020  addiu   $a2, $sp, 0x20
=>00431e4c  04410006  bgez    $v0, 0x431e68
  00431e50  8fbc0010  lw      $gp, 0x10($sp)
  00431e54  8f848018  lw      $a0, -0x7fe8($gp)      ; "%s: ioctl(%s)"
  00431e58  8f9984b0  lw      $t9, -0x7b50($gp)      ; bb_perror_msg_and_die
  00431e5c  0320f809  jalr    $t9
  00431e60  00000000  nop
"""

PSEUDOCODE = """\
int udhcp_read_interface(const char *interface, int *ifindex, uint32_t *nip, uint8_t *mac)
{
  struct ifreq ifr;
  int fd = xsocket(AF_INET, SOCK_RAW, IPPROTO_RAW);

  strncpy_IFNAMSIZ(ifr.ifr_name, interface);
  if (ioctl_or_warn(fd, SIOCGIFINDEX, &ifr) != 0) {
    close(fd);
    return -1;
  }
  *ifindex = ifr.ifr_ifindex;
  return 0;
}
"""
