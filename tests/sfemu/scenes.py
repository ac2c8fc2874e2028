"""Programs that stopped under SFEmu, as its Lua scripts saw them: what `records` writes to disk.

Numbers, register names and addresses are those of a 32-bit ARM web server without position independence,
of the same on MIPS, of which SFEmu lists no registers, and of a smaller one on the other machines.
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
    machine: str = "arm"
    """As names of features of QEMU's gdb stub have it."""


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
            # So it shows calls without a name when it is told to log them (SFEMU_LOG_UNKNOWN_SYSCALLS).
            Call("sys_45", 45, (0,), 0x67000),
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


@dataclass(frozen=True)
class Platform:
    """What differs from machine to machine in what SFEmu's scripts see."""

    numbers: dict[str, int]
    """Call to number (asm/unistd.h)."""
    registers: tuple[tuple[str, int | str, int], ...]
    """In the order of QEMU's gdb stub (gdb-xml); of MIPS it has none."""
    refused: int
    """ECONNREFUSED (asm/errno.h)."""
    family: bytes
    """AF_UNIX as it lies in memory."""
    wide: bool
    """Whether words have 64 bits."""
    has_stack: bool
    """Whether SFEmu keeps a shadow stack of it."""
    misnamed: tuple[str, int] | None = None
    """A call that its scripts name by the number that it has on ARM: their name, and the number."""
    large_file: int = 0o100000
    """O_LARGEFILE (asm/fcntl.h)."""


def _each(names: str, size: int, **values: int) -> tuple[tuple[str, int | str, int], ...]:
    return tuple((name, values.get(name, 0), size) for name in names.split())


PC, WIDE_PC, _WIDE_STACK = 0x0001A3C0, 0x5555_5000_1A3C, 0x7FFF_F7DD_0D60
_VECTOR = "00112233445566778899aabbccddeeff"
_R32, _X31 = " ".join(f"r{n}" for n in range(32)), " ".join(f"x{n}" for n in range(31))
_GENERIC = {"openat": 56, "socket": 198, "connect": 203, "write": 64, "exit_group": 94}
_OLD = {"open": 5, "write": 4}
PLATFORMS: dict[str, Platform] = {
    "mips": Platform(
        {"open": 4005, "socket": 4183, "connect": 4170, "write": 4004, "exit_group": 4246},
        (),
        146,
        b"\0\1",
        False,
        True,
        large_file=0x2000,
    ),
    "aarch64": Platform(
        _GENERIC,
        (*_each(f"{_X31} sp pc", 8, x1=-1, sp=_WIDE_STACK, pc=WIDE_PC), ("cpsr", 0, 4), ("v0", _VECTOR, 16)),
        111,
        b"\1\0",
        True,
        True,
        ("recv", 291),
        0o400000,
    ),
    "x86_64": Platform(
        {"openat": 257, "socket": 41, "connect": 42, "write": 1, "exit_group": 231},
        (
            *_each(
                "rax rbx rcx rdx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 rip",
                8,
                rbx=-1,
                rsp=_WIDE_STACK,
                rip=WIDE_PC,
            ),
            *_each("eflags cs ss ds es fs gs", 4),
            ("st0", _VECTOR[:20], 10),
        ),
        111,
        b"\1\0",
        True,
        True,
        ("recv", 291),
    ),
    "i386": Platform(
        _OLD | {"socket": 359, "connect": 362, "exit_group": 252},
        (
            *_each("eax ecx edx ebx esp ebp esi edi eip", 4, ecx=0xFFFFFFFF, esp=STACK, eip=PC),
            *_each("eflags cs ss ds es fs gs", 4),
            ("st0", _VECTOR[:20], 10),
        ),
        111,
        b"\1\0",
        False,
        False,
        ("recv", 291),
    ),
    "ppc": Platform(
        _OLD | {"socket": 326, "connect": 328, "exit_group": 234},
        (
            *_each(_R32, 4, r3=0xFFFFFFFF, r1=STACK),
            *_each("pc msr cr lr ctr xer", 4, pc=PC),
            ("f0", 0, 8),
        ),
        111,
        b"\0\1",
        False,
        False,
        ("pselect6", 335),
        0o200000,
    ),
    "riscv64": Platform(
        _GENERIC,
        _each(
            "zero ra sp gp tp t0 t1 t2 fp s1 a0 a1 a2 a3 a4 a5 a6 a7 s2 s3 s4 s5 s6 s7 s8 s9 s10 s11 t3 t4"
            " t5 t6 pc",
            8,
            a1=-1,
            sp=_WIDE_STACK,
            pc=WIDE_PC,
        ),
        111,
        b"\1\0",
        True,
        False,
        ("select", 142),
    ),
    "s390x": Platform(
        _OLD | {"socket": 359, "connect": 362, "exit_group": 248},
        (
            *_each(f"pswm pswa {_R32.partition(' r16')[0]}", 8, r3=-1, r15=_WIDE_STACK, pswa=WIDE_PC),
            *_each(" ".join(f"acr{n}" for n in range(16)), 4),
        ),
        111,
        b"\0\1",
        True,
        False,
        ("send", 289),
    ),
}
"""QEMU's name to machine; ARM and little-endian MIPS have scenes of their own."""


def platform_scene(name: str) -> Scene:
    """A program that ends because nobody listens at a socket, on one of `PLATFORMS`."""
    platform = PLATFORMS[name]
    base = 0x5555_5004_0000 if platform.wide else 0x00470000
    path, address = base + 0xA10, base + 0x1200
    numbers = platform.numbers
    # The upper half of a descriptor that is an int is not sign-extended everywhere.
    flags = 2 | platform.large_file
    at = (0xFFFFFF9C,) if platform.wide else ()
    opened = "openat" if "openat" in numbers else "open"
    odd = () if platform.misnamed is None else (Call(*platform.misnamed, (3, 0, 0), 4),)
    return Scene(
        reason="exit",
        calls=(
            Call(opened, numbers[opened], (*(at if opened == "openat" else ()), path, flags, 0), 3),
            *odd,
            Call("socket", numbers["socket"], (1, 2 if name == "mips" else 1, 0), 5),
            Call("connect", numbers["connect"], (5, address, 110), -platform.refused),
            Call("write", numbers["write"], (2, base, 33), 33),
            Call("exit_group", numbers["exit_group"], (1,)),
        ),
        registers=platform.registers,
        frames=ARM_FRAMES if platform.has_stack else (),
        memory={
            base: b"cfgd: Connection refused\n\0",
            address: (platform.family + b"/var/run/cfgd.sock").ljust(110, b"\0"),
        },
        machine=name,
    )


SCENES: dict[str, Any] = {
    "exit": exit_scene,
    "deadloop": deadloop_scene,
    "sleep": sleep_scene,
    "idle": idle_scene,
    "error": error_scene,
    "mips": mips_scene,
    "platform": lambda: platform_scene("x86_64"),
}
"""Name to what makes the scene. `sleep` is of version 6, `error` of versions from 4 on."""
