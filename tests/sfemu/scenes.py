"""Programs that stopped under SFEmu, as its Lua scripts saw them: what `records` writes to disk.

Numbers, register names and addresses are those of a 32-bit ARM web server without position independence,
and of the same on MIPS, of which SFEmu lists no registers.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

HTTPD = "/home/analyst/fw/rootfs/usr/sbin/httpd"
LIBC = "/home/analyst/fw/rootfs/lib/libc.so.0"
NVRAM_PATH = 0x00054A10
LOG_PATH = 0x00054B40
MESSAGE = 0x00021300
STACK = 0x407FFD60


@dataclass(frozen=True)
class Call:
    """One call: `args` as Lua has them, signed where a register's top bit is set on a 32-bit target."""

    name: str | None
    num: int
    args: tuple[int, ...]
    ret: int | None = None
    intercepted: bool | None = None

    @property
    def eight(self) -> list[int]:
        """All arguments that Lua is given."""
        return [*self.args, *(0,) * (8 - len(self.args))]


@dataclass(frozen=True)
class Frame:
    """One return address that the shadow stack holds."""

    addr: int
    module: str | None = None
    func: str | None = None
    prototype: str | None = None
    pseudocode: str | None = None


@dataclass(frozen=True)
class Scene:
    """The moment at which SFEmu called its `base/ai.lua`."""

    reason: str
    calls: tuple[Call, ...]
    """Oldest first; the last one is the trigger."""
    registers: tuple[tuple[str, int | str, int], ...] = ()
    """(name, value, bytes); a text is a register wider than 8 bytes, in hexadecimal."""
    frames: tuple[Frame, ...] = ()
    memory: dict[int, bytes] = field(default_factory=dict)
    """What is readable: address to bytes, from which on nothing else is."""
    first_seq: int = 40
    trigger_seq: int | None = None
    """Where it is not the number of the last call: SFEmu counts the silence of an idle program apart."""
    loop: tuple[int, int] | None = None
    """(calls of a round, rounds) as SFEmu's detector counted them."""
    fixes: dict[str, str] = field(default_factory=dict)
    """Syscall name to the rule text that its model or tool wrote."""


def with_calls(scene: Scene, *calls: Call) -> Scene:
    """Return the same stop with other calls."""
    return replace(scene, calls=calls)


ARM_REGISTERS: tuple[tuple[str, int | str, int], ...] = (
    *((f"r{n}", value, 4) for n, value in enumerate((1, 0, 0x40853000, 0, 0x12F00, 0, NVRAM_PATH, 248))),
    *((f"r{n}", 0, 4) for n in range(8, 13)),
    ("sp", STACK, 4),
    ("lr", 0x4082F3A4, 4),
    ("pc", 0x4082F398, 4),
    ("cpsr", 0x60000010, 4),
    ("d0", 0, 8),
    ("q0", "00112233445566778899aabbccddeeff", 16),
)
ARM_FRAMES = (
    Frame(0x4082F3A4, LIBC, "exit", "void exit(int)"),
    Frame(
        0x0001A3C8,
        HTTPD,
        "nvram_init",
        "int nvram_init(void)",
        'int nvram_init(void)\n{\n  int fd = open("/dev/nvram", 2);\n  if (fd < 0) {\n'
        '    perror("nvram");\n    exit(1);\n  }\n  return fd;\n}\n',
    ),
    Frame(0x00012F10, HTTPD, "main"),
    Frame(0x40851D28, LIBC),
    Frame(0x40900000),
)
_MEMORY = {
    NVRAM_PATH: b"/dev/nvram\0rw\0",
    LOG_PATH: b"/var/log/httpd.log\0",
    MESSAGE: b"nvram: No such file or directory\n\0",
    STACK: bytes(16) + (0x0001A3C8).to_bytes(4, "little") + b"\xff\xfe\x80caf\xc3\xa9\0" + bytes(60),
}
NVRAM_RULE = (
    "-- sfemu:transient=1\n"
    "function do_syscall(num, path, flags, mode)\n"
    '  if c_read_string(path, 256) == "/dev/nvram" then\n'
    '    return true, c_open_host("/dev/null", flags)\n'
    "  end\n"
    "  return false, 0\n"
    "end\n"
)


def exit_scene() -> Scene:
    """A web server that ends because it cannot open /dev/nvram."""
    return Scene(
        reason="exit",
        calls=(
            Call("brk", 45, (0,), 0x67000),
            Call("open", 5, (LOG_PATH, 1089, 438), 3),
            Call(None, 983045, (0x40A00000,), 0),
            Call("access", 33, (NVRAM_PATH, 4), 0, True),
            Call("open", 5, (NVRAM_PATH, 2, 0), -2),
            Call("write", 4, (2, MESSAGE, 33), 33),
            Call("exit_group", 248, (1,)),
        ),
        registers=ARM_REGISTERS,
        frames=ARM_FRAMES,
        memory=_MEMORY,
        fixes={"open": NVRAM_RULE},
    )


def deadloop_scene(rounds: int = 12) -> Scene:
    """One that asks for an interface that is not there, again and again; its ifreq lies on a high stack."""
    high = -0x41000E40
    one = (
        Call("socket", 281, (2, 2, 0), 7),
        Call("ioctl", 54, (7, 0x8933, high), -19),
        Call("close", 6, (7,), 0),
    )
    calls = (Call("open", 5, (LOG_PATH, 1089, 438), 3), *one * rounds)
    return Scene(
        reason="deadloop",
        calls=(*calls[:-1], replace(calls[-1], ret=None)),
        registers=(*ARM_REGISTERS[:13], ("sp", 0xBEFFF1B0, 4), *ARM_REGISTERS[14:]),
        frames=(Frame(0x4082F3A4, LIBC, "close"), Frame(0x0001B004, HTTPD, "lan_ifname"), *ARM_FRAMES[2:]),
        memory={**_MEMORY, 0xBEFFF1C0: b"br0".ljust(32, b"\0"), 0xBEFFF1B0: bytes(64)},
        loop=(3, 3),
    )


def sleep_scene() -> Scene:
    """One that sleeps in select without descriptors until a file appears (known from version 6 on)."""
    timeout = 0x407FFE00
    one = (Call("access", 33, (LOG_PATH, 0), -2), Call("select", 142, (0, 0, 0, 0, timeout), 0))
    calls = one * 3
    return replace(
        exit_scene(),
        reason="sleep_loop",
        calls=(*calls[:-1], replace(calls[-1], ret=None)),
        memory={**_MEMORY, timeout: (10).to_bytes(4, "little") + bytes(28)},
        fixes={},
    )


def idle_scene() -> Scene:
    """One that computes without a call; SFEmu numbers this apart, with more than eight digits."""
    scene = exit_scene()
    idle = Call("idle", -1, (0x0001B0F4, 5000, 4, 9))
    return replace(
        scene, reason="idle_deadloop", calls=(*scene.calls[:-1], idle), trigger_seq=46 * 100_000 + 1, fixes={}
    )


def error_scene() -> Scene:
    """A call that failed, at which version 4 and later ask at once; it has its result already."""
    scene = exit_scene()
    failed = Call("open", 5, (NVRAM_PATH, 2, 0), -2, True)
    return replace(scene, reason="syscall_error", calls=(*scene.calls[:3], failed))


def mips_scene() -> Scene:
    """The same end on MIPS: no registers, other call numbers, other numbers of errors."""
    address = 0x00471200
    return Scene(
        reason="exit",
        calls=(
            Call("open", 4005, (NVRAM_PATH, 2, 0), 4),
            Call("socket", 4183, (1, 2, 0), 5),
            Call("connect", 4170, (5, address, 110), -146),
            Call("write", 4004, (2, MESSAGE, 33), 33),
            Call("exit_group", 4246, (1,)),
        ),
        frames=ARM_FRAMES,
        memory={**_MEMORY, address: b"\1\0/var/run/cfgd.sock".ljust(110, b"\0")},
    )


SCENES: dict[str, Any] = {
    "exit": exit_scene,
    "deadloop": deadloop_scene,
    "sleep": sleep_scene,
    "idle": idle_scene,
    "error": error_scene,
    "mips": mips_scene,
}
"""Name to what makes the scene. `sleep` is of version 6, `error` of versions from 4 on."""
