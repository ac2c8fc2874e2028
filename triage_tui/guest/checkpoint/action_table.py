"""Find where the emulator keeps its guest's signal actions (`sigact_table`, linux-user/signal.c), and more.

In the place of the guest, at its first instruction, actions are set whose handlers are then looked for in the
emulator's own data. What `emulator.signal_actions` concludes from the shape of the table this knows for sure.
"""

from __future__ import annotations

import secrets
import sys

import msgspec

from triage_tui.guest.arch import Arch
from triage_tui.guest.arch.layouts import layout
from triage_tui.guest.checkpoint.float_registers import MAX_STATE
from triage_tui.guest.checkpoint.injecting import Injector
from triage_tui.guest.checkpoint.model import Action
from triage_tui.guest.emulator.emulator_image import own_image
from triage_tui.guest.emulator.signal_actions import raw_actions, signal_numbers
from triage_tui.guest.host import host_memory, process

_MAX_DATA = 4 << 20
_MSR_TPIDR_EL0_X0 = bytes.fromhex("40d01bd5")
"""msr tpidr_el0, x0"""


class ActionTable(msgspec.Struct, frozen=True):
    """Where the table is: its host address, and the bytes of one entry."""

    start: int
    size: int

    def actions(self, pid: int, arch: Arch) -> list[Action]:
        """Return the actions of process `pid` that are not the default.

        Raises:
            OSError: it is gone.
        """
        count = 128 if arch.name.startswith("mips") else 64
        data = host_memory.read_memory(pid, self.start, count * self.size)
        return [
            Action(one.number, one.handler, one.flags, one.restorer, one.mask)
            for one in raw_actions(arch, data, self.size)
        ]


def set_action(injector: Injector, action: Action) -> None:
    """Set what the guest does at a signal.

    Raises:
        TriageError: it cannot be set.
    """
    arch = injector.arch
    shape = layout(arch, "sigaction")
    data = bytearray(shape.size)
    values = {"sa_handler": action.handler, "sa_flags": action.flags, "sa_restorer": action.restorer}
    for name, value in values.items():
        if (place := shape.fields.get(name)) is not None:
            number = value & ((1 << 8 * place.size) - 1)
            data[place.offset : place.offset + place.size] = number.to_bytes(place.size, arch.endian)
    place = shape.fields["sa_mask"]
    bits = action.mask.to_bytes(16, "little")[: place.size]
    data[place.offset : place.offset + place.size] = guest_mask_bytes(arch, bits)
    injector.call("rt_sigaction", action.number, injector.put(bytes(data)), 0, mask_size(arch))


def mask_size(arch: Arch) -> int:
    """Return the bytes of a set of signals, as the kernel's calls want them told."""
    return 16 if arch.name.startswith("mips") else 8


def guest_mask_bytes(arch: Arch, little: bytes) -> bytes:
    """Return a set of signals, given as little-endian bytes, as the guest lays it out: in words."""
    words = [little[at : at + arch.word] for at in range(0, len(little), arch.word)]
    return b"".join(word if arch.endian == "little" else word[::-1] for word in words)


def find_action_table(pid: int, injector: Injector) -> ActionTable | None:
    """Return where process `pid`, in whose place `injector` makes calls, has its table; None if not found.

    Raises:
        OSError: the process is gone.
        TriageError: the calls cannot be made.
    """
    arch = injector.arch
    numbers = [signal_numbers(arch)[name] for name in ("SIGUSR1", "SIGUSR2")]
    handlers = [secrets.randbits(30) << 1 for _ in numbers]
    for number, handler in zip(numbers, handlers, strict=True):
        set_action(injector, Action(number, handler, 0, 0, 0))
    found = [_places(pid, handler.to_bytes(arch.word, sys.byteorder)) for handler in handlers]
    for number in numbers:
        set_action(injector, Action(number, 0, 0, 0, 0))
    if [len(places) for places in found] != [1, 1]:
        return None
    distance, steps = found[1][0] - found[0][0], numbers[1] - numbers[0]
    size = distance // steps
    if distance % steps or not layout(arch, "sigaction").size <= size <= 64:
        return None
    first = found[0][0] - (numbers[0] - 1) * size - layout(arch, "sigaction").fields["sa_handler"].offset
    return ActionTable(first, size)


def find_thread_pointer(pid: int, env: int, injector: Injector) -> int | None:
    """Return where the emulator has the thread pointer, in bytes from the first general register at `env`.

    None where it is a general register, or it is not found.

    Raises:
        OSError: the process is gone.
        TriageError: the call cannot be made.
    """
    arch = injector.arch
    name = next((name for name in ("set_tls", "set_thread_area") if arch.syscall_nr(name) is not None), None)
    value = secrets.randbits(30) << 1
    if arch.name == "aarch64":
        injector.execute(_MSR_TPIDR_EL0_X0, {"x0": value})
    elif name is not None and arch.name.startswith(("arm", "mips")):
        injector.call(name, value)
    else:
        return None
    state = host_memory.read_memory(pid, env, MAX_STATE)
    if arch.name == "aarch64":
        injector.execute(_MSR_TPIDR_EL0_X0, {"x0": 0})
    elif name is not None:
        injector.call(name, 0)
    size = arch.word
    wanted = value.to_bytes(size, sys.byteorder)
    places = [at for at in range(0, len(state) - size, size) if state[at : at + size] == wanted]
    general = len(arch.env_registers) * arch.word
    # The argument is still in its register.
    behind = [at for at in places if at >= general]
    return behind[0] if len(behind) == 1 else None


def _places(pid: int, value: bytes) -> list[int]:
    """Return the host addresses at which `value` lies in the emulator's own data."""
    _start, writable = own_image(pid, process.read_maps(pid))
    found = []
    for mapping in writable:
        data = host_memory.read_memory(pid, mapping.start, min(mapping.end - mapping.start, _MAX_DATA))
        at = data.find(value)
        while at >= 0:
            found.append(mapping.start + at)
            at = data.find(value, at + 1)
    return found
