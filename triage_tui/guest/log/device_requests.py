"""Names of ioctl(2) requests that QEMU does not know: devices of firmware that its log shows as numbers.

Sources: include/uapi of Linux: linux/watchdog.h, mtd/mtd-abi.h, linux/rtc.h, linux/i2c-dev.h,
linux/spi/spidev.h, linux/gpio.h, linux/if_tun.h, linux/wireless.h, linux/sockios.h; asm-generic/ioctl.h and
the same of mips and powerpc.
"""

from __future__ import annotations

from triage_tui.guest.arch import Arch

_NONE, _WRITE, _READ = 0, 1, 2
_BOTH = _WRITE | _READ

_CODED: dict[tuple[str, int, int, int], str] = {
    (letter, number, direction, size): name
    for letter, entries in {
        "W": (
            ("WDIOC_GETSUPPORT", 0, _READ, 40),
            ("WDIOC_GETSTATUS", 1, _READ, 4),
            ("WDIOC_GETBOOTSTATUS", 2, _READ, 4),
            ("WDIOC_GETTEMP", 3, _READ, 4),
            ("WDIOC_SETOPTIONS", 4, _READ, 4),
            ("WDIOC_KEEPALIVE", 5, _READ, 4),
            ("WDIOC_SETTIMEOUT", 6, _BOTH, 4),
            ("WDIOC_GETTIMEOUT", 7, _READ, 4),
            ("WDIOC_SETPRETIMEOUT", 8, _BOTH, 4),
            ("WDIOC_GETPRETIMEOUT", 9, _READ, 4),
            ("WDIOC_GETTIMELEFT", 10, _READ, 4),
        ),
        "M": (
            ("MEMGETINFO", 1, _READ, 32),
            ("MEMERASE", 2, _WRITE, 8),
            ("MEMWRITEOOB", 3, _BOTH, 12),
            ("MEMWRITEOOB", 3, _BOTH, 16),
            ("MEMREADOOB", 4, _BOTH, 12),
            ("MEMREADOOB", 4, _BOTH, 16),
            ("MEMLOCK", 5, _WRITE, 8),
            ("MEMUNLOCK", 6, _WRITE, 8),
            ("MEMGETREGIONCOUNT", 7, _READ, 4),
            ("MEMGETREGIONINFO", 8, _BOTH, 16),
            ("MEMGETBADBLOCK", 11, _WRITE, 8),
            ("MEMSETBADBLOCK", 12, _WRITE, 8),
            ("MEMERASE64", 20, _WRITE, 16),
        ),
        "p": (("RTC_RD_TIME", 9, _READ, 36), ("RTC_SET_TIME", 10, _WRITE, 36)),
        "k": (
            ("SPI_IOC_RD_MODE", 1, _READ, 1),
            ("SPI_IOC_WR_MODE", 1, _WRITE, 1),
            ("SPI_IOC_RD_BITS_PER_WORD", 3, _READ, 1),
            ("SPI_IOC_WR_BITS_PER_WORD", 3, _WRITE, 1),
            ("SPI_IOC_RD_MAX_SPEED_HZ", 4, _READ, 4),
            ("SPI_IOC_WR_MAX_SPEED_HZ", 4, _WRITE, 4),
        ),
        "\xb4": (
            ("GPIO_GET_CHIPINFO_IOCTL", 1, _READ, 68),
            ("GPIO_GET_LINEINFO_IOCTL", 2, _BOTH, 72),
            ("GPIO_GET_LINEHANDLE_IOCTL", 3, _BOTH, 364),
        ),
        "T": (
            ("TUNSETIFF", 202, _WRITE, 4),
            ("TUNSETPERSIST", 203, _WRITE, 4),
            ("TUNSETOWNER", 204, _WRITE, 4),
            ("TUNGETFEATURES", 207, _READ, 4),
        ),
    }.items()
    for name, number, direction, size in entries
}
"""(type, number, direction, bytes of the argument) of an encoded request -> its name."""


def _in_turn(first: int, names: str) -> dict[int, str]:
    return {first + at: name for at, name in enumerate(names.split()) if name != "-"}


_PLAIN = (
    _in_turn(
        0x701,
        "I2C_RETRIES I2C_TIMEOUT I2C_SLAVE I2C_TENBIT I2C_FUNCS I2C_SLAVE_FORCE I2C_RDWR I2C_PEC",
    )
    | {0x720: "I2C_SMBUS", 0x8946: "SIOCETHTOOL", 0x8982: "SIOCGIFVLAN", 0x8983: "SIOCSIFVLAN"}
    | _in_turn(0x8947, "SIOCGMIIPHY SIOCGMIIREG SIOCSMIIREG")
    | _in_turn(0x89A0, "SIOCBRADDBR SIOCBRDELBR SIOCBRADDIF SIOCBRDELIF")
    | {0x89F0 + number: f"SIOCDEVPRIVATE+{number}" for number in range(16)}
    | _in_turn(
        0x8B00,
        "SIOCSIWCOMMIT SIOCGIWNAME SIOCSIWNWID SIOCGIWNWID SIOCSIWFREQ SIOCGIWFREQ SIOCSIWMODE SIOCGIWMODE "
        "SIOCSIWSENS SIOCGIWSENS SIOCSIWRANGE SIOCGIWRANGE SIOCSIWPRIV SIOCGIWPRIV SIOCSIWSTATS "
        "SIOCGIWSTATS SIOCSIWSPY SIOCGIWSPY SIOCSIWTHRSPY SIOCGIWTHRSPY SIOCSIWAP SIOCGIWAP SIOCSIWMLME "
        "SIOCGIWAPLIST SIOCSIWSCAN SIOCGIWSCAN SIOCSIWESSID SIOCGIWESSID SIOCSIWNICKN SIOCGIWNICKN - - "
        "SIOCSIWRATE SIOCGIWRATE SIOCSIWRTS SIOCGIWRTS SIOCSIWFRAG SIOCGIWFRAG SIOCSIWTXPOW SIOCGIWTXPOW "
        "SIOCSIWRETRY SIOCGIWRETRY SIOCSIWENCODE SIOCGIWENCODE SIOCSIWPOWER SIOCGIWPOWER",
    )
    | {0x8BE0 + number: f"SIOCIWFIRSTPRIV+{number}" for number in range(32)}
)


def request_name(arch: Arch, request: int) -> str | None:
    """Return the name of the request with this number on the guest's machine, None for an unknown one."""
    request &= 0xFFFFFFFF
    if request in _PLAIN:
        return _PLAIN[request]
    letter, number = chr(request >> 8 & 0xFF), request & 0xFF
    if arch.name.startswith(("mips", "ppc")):
        size, direction = request >> 16 & 0x1FFF, {1: _NONE, 2: _READ, 4: _WRITE, 6: _BOTH}.get(request >> 29)
    else:
        size, direction = request >> 16 & 0x3FFF, request >> 30
    return None if direction is None else _CODED.get((letter, number, direction, size))
