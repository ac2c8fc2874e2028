"""Find where the emulator keeps the guest's floating-point registers, and so how far its state goes.

At the first instruction they are written through the gdb stub with values that are then looked for behind the
general registers, like the general registers themselves (`env_locator`). Numbers of registers are those of
QEMU's stub (gdb-xml/*.xml; MIPS has no feature file, its `g` packet has them all).
"""

from __future__ import annotations

import secrets
import sys

import msgspec

from triage_tui.guest.arch import Arch
from triage_tui.guest.checkpoint.served_stub import ServedStub
from triage_tui.guest.host import host_memory

MAX_STATE = 0x10000
"""Bytes from the first general register on in which everything lies that a thread has (QEMU 7.2 to 10.0)."""
_BEHIND = 0x400
"""Bytes behind the registers in which their control words and rounding modes lie."""
_SMALL = {"riscv64": 0x100, "s390x": 0x100}
"""The same where the emulator's object ends sooner, in QEMU 7.2 0x1a8 and 0x1d0 bytes behind the program
counter: the next one of its heap follows, and would be destroyed."""


class FloatRegisters(msgspec.Struct, frozen=True):
    """Where they are: bytes from the first general register, and bytes from one to the next."""

    first: int
    stride: int
    count: int
    size: int
    """Bytes that are used of each."""
    behind: int = _BEHIND

    def end(self, pc_offset: int) -> int:
        """Return how far the state of a thread goes, in bytes from the first general register."""
        return min(MAX_STATE, max(self.first + self.stride * self.count, pc_offset + 8) + self.behind)

    def values(self, state: bytes) -> list[int]:
        """Return the registers in `state`, which begins at the first general register."""
        # MIPS has 64 bits there that `g` tells 32 of.
        size = max(8, self.size)
        places = [self.first + self.stride * index for index in range(self.count)]
        return [int.from_bytes(state[at : at + size], sys.byteorder) for at in places]


def _known(arch: Arch) -> tuple[int, int, int] | None:
    """Return number of the first register, how many there are, and the bytes of one."""
    match arch.name:
        case "arm" | "armeb":
            return 26, 32, 8
        case "aarch64":
            return 34, 32, 16
        case "x86_64":
            return 49, 16, 16
        case "i386":
            return 41, 8, 16
        case "riscv64":
            return 33, 32, 8
        case "ppc" | "ppc64le":
            return 71, 32, 8
        case "s390x":
            return 35, 16, 8
        case "mips" | "mipsel" | "mips64el":
            return 38, 32, arch.word
    return None


def find_float_registers(pid: int, arch: Arch, stub: ServedStub, env: int) -> FloatRegisters | None:
    """Return where process `pid` has them, whose first general register is at the host address `env`.

    None where they cannot be written through the stub or are not found.

    Raises:
        OSError: the process is gone.
        TriageError: the stub hung up.
    """
    known = _known(arch)
    if known is None:
        return None
    number, count, size = known
    places: list[int] = []
    before = stub.command(b"g")
    in_one = arch.name.startswith("mips")
    for index in (0, 1, count - 1):
        # None that another field could have by chance.
        value = secrets.token_bytes(size)
        name = b"%x" % (number + index)
        at = 2 * (number + index) * size
        kept = before if in_one else stub.command(b"p" + name)
        text = value.hex().encode()
        marked = before[:at] + text + before[at + 2 * size :]
        if stub.command(b"G" + marked if in_one else b"P%s=%s" % (name, text)) != b"OK":
            return None
        state = host_memory.read_memory(pid, env, MAX_STATE)
        stub.command(b"G" + kept if in_one else b"P%s=%s" % (name, kept))
        found = _places(state, value)
        if len(found) != 1:
            return None
        places += found
    first, second, last = places
    stride = second - first
    if stride < size or last != first + stride * (count - 1):
        return None
    return FloatRegisters(first, stride, count, size, _SMALL.get(arch.name, _BEHIND))


def _places(state: bytes, value: bytes) -> list[int]:
    """Return where `value`, in the guest's byte order or the host's, lies in `state`."""
    found = []
    words = [value, value[::-1]]
    # Vectors are kept as 64-bit numbers of the host's byte order, in either order.
    if len(value) == 16:
        words += [value[8:] + value[:8], value[7::-1] + value[:7:-1]]
    for form in dict.fromkeys(words):
        at = state.find(form)
        while at >= 0:
            found.append(at)
            at = state.find(form, at + 1)
    return found
