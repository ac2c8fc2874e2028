"""Names of ioctl(2) requests that QEMU's log has by name, for records that have their numbers only.

Sources: include/uapi of Linux: linux/sockios.h, asm-generic/ioctls.h and the same of mips and powerpc.
"""

from __future__ import annotations

from triage_tui.guest.arch import Arch
from triage_tui.guest.log import device_requests


def _in_turn(first: int, names: str) -> dict[int, str]:
    """Return the names of numbers that follow each other; "-" stands for one without a name."""
    return {first + place: name for place, name in enumerate(names.split()) if name != "-"}


_SOCKETS = {
    **_in_turn(0x8901, "FIOSETOWN SIOCSPGRP FIOGETOWN SIOCGPGRP SIOCATMARK SIOCGSTAMP SIOCGSTAMPNS"),
    **_in_turn(0x890B, "SIOCADDRT SIOCDELRT SIOCRTMSG"),
    **_in_turn(
        0x8910,
        "SIOCGIFNAME SIOCSIFLINK SIOCGIFCONF SIOCGIFFLAGS SIOCSIFFLAGS SIOCGIFADDR SIOCSIFADDR SIOCGIFDSTADDR"
        " SIOCSIFDSTADDR SIOCGIFBRDADDR SIOCSIFBRDADDR SIOCGIFNETMASK SIOCSIFNETMASK SIOCGIFMETRIC"
        " SIOCSIFMETRIC SIOCGIFMEM SIOCSIFMEM SIOCGIFMTU SIOCSIFMTU SIOCSIFNAME SIOCSIFHWADDR SIOCGIFENCAP"
        " SIOCSIFENCAP SIOCGIFHWADDR - SIOCGIFSLAVE - - - - - -"
        " SIOCSIFSLAVE SIOCADDMULTI SIOCDELMULTI SIOCGIFINDEX SIOCSIFPFLAGS SIOCGIFPFLAGS SIOCDIFADDR"
        " SIOCSIFHWBROADCAST SIOCGIFCOUNT",
    ),
    **_in_turn(0x8940, "SIOCGIFBR SIOCSIFBR SIOCGIFTXQLEN SIOCSIFTXQLEN"),
    **_in_turn(0x8953, "SIOCDARP SIOCGARP SIOCSARP"),
    **_in_turn(0x8970, "SIOCGIFMAP SIOCSIFMAP"),
}
_TERMINALS = {
    **_in_turn(0x5401, "TCGETS TCSETS TCSETSW TCSETSF TCGETA TCSETA TCSETAW TCSETAF TCSBRK TCXONC TCFLSH"),
    **_in_turn(0x540E, "TIOCSCTTY TIOCGPGRP TIOCSPGRP TIOCOUTQ TIOCSTI TIOCGWINSZ TIOCSWINSZ"),
    **_in_turn(0x541B, "FIONREAD"),
    **_in_turn(0x5421, "FIONBIO TIOCNOTTY"),
    **_in_turn(0x5450, "FIONCLEX FIOCLEX FIOASYNC"),
}
_TERMINALS_MIPS = {
    **_in_turn(0x5401, "TCGETA TCSETA TCSETAW TCSETAF TCSBRK TCXONC TCFLSH"),
    **_in_turn(0x540D, "TCGETS TCSETS TCSETSW TCSETSF"),
    0x5471: "TIOCNOTTY",
    0x7472: "TIOCOUTQ",
    0x5480: "TIOCSCTTY",
    0x467F: "FIONREAD",
    0x667E: "FIONBIO",
    0x40087468: "TIOCGWINSZ",
    0x80087467: "TIOCSWINSZ",
    0x6601: "FIOCLEX",
    0x6602: "FIONCLEX",
}
_TERMINALS_POWERPC = {
    0x402C7413: "TCGETS",
    0x802C7414: "TCSETS",
    0x802C7415: "TCSETSW",
    0x802C7416: "TCSETSF",
    0x4004667F: "FIONREAD",
    0x8004667E: "FIONBIO",
    0x40087468: "TIOCGWINSZ",
    0x80087467: "TIOCSWINSZ",
}


def request_name(arch: Arch, request: int) -> str:
    """Return the name of the request with this number on an architecture, the number for an unknown one."""
    request &= 0xFFFFFFFF
    if arch.name.startswith("mips"):
        terminals = _TERMINALS_MIPS
    else:
        terminals = _TERMINALS_POWERPC if arch.name.startswith("ppc") else _TERMINALS
    known = _SOCKETS.get(request) or terminals.get(request)
    return known or device_requests.request_name(arch, request) or f"0x{request:x}"
