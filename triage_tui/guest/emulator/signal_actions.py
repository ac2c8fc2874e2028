"""What a guest's process does with its signals, from the emulator's own table.

QEMU keeps the actions that a guest asked for in an array, `sigact_table` (linux-user/signal.c): one
`struct target_sigaction` per signal, in the order of the guest's numbers and the byte order of the host. The
kernel does not know them, as QEMU catches every fatal signal itself, and the log shows where the guest's
structure lay, not what was in it. The array has no name in a stripped emulator, so it is recognised: all its
entries must be possible ones, what is ignored or caught must agree with what the kernel says of the process,
and handlers belong to signals for which the log shows the call. One place must fit better than all others.
"""

from __future__ import annotations

import os
import signal
import struct
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator

import msgspec

from triage_tui.guest.arch import Arch
from triage_tui.guest.arch.layouts import layout
from triage_tui.guest.emulator.emulator_image import own_image
from triage_tui.guest.host import host_memory, process, process_state
from triage_tui.runs.model import Syscall

CALLS = frozenset(("rt_sigaction", "sigaction", "signal"))
_IGNORE = 1
_MAX_DATA = 4 << 20
"""The emulator's data that is searched at most, per mapping (QEMU 7.2 to 10.0: less than 1 MiB)."""
_MAX_HITS = 4096
"""Words that look like a handler; more prove nothing."""
_FLAGS = {
    "SA_NOCLDSTOP": 1, "SA_NOCLDWAIT": 2, "SA_SIGINFO": 4, "SA_RESTORER": 0x04000000,
    "SA_ONSTACK": 0x08000000, "SA_RESTART": 0x10000000, "SA_NODEFER": 0x40000000, "SA_RESETHAND": 0x80000000,
}  # fmt: skip
_FLAGS_MIPS = _FLAGS | {"SA_NOCLDWAIT": 0x10000, "SA_SIGINFO": 8}
_UNNAMED_FLAGS = 0xC00
"""SA_UNSUPPORTED and SA_EXPOSE_TAGBITS, sigaction(2)."""
_NUMBERS_MIPS = {
    name: number
    for number, name in enumerate(
        str.split(
            "HUP INT QUIT ILL TRAP ABRT EMT FPE KILL BUS SEGV SYS PIPE ALRM TERM USR1 USR2 CHLD PWR WINCH "
            "URG IO STOP TSTP CONT TTIN TTOU VTALRM PROF XCPU XFSZ"
        ),
        1,
    )
}
"""arch/mips/include/uapi/asm/signal.h of Linux; the other architectures have one numbering."""
_OWN_USE = frozenset(("SIGSEGV", "SIGBUS", "SIGABRT", "SIGKILL", "SIGSTOP"))
"""Signals whose action the emulator does not pass on to the kernel; QEMU 10 keeps SIGABRT for itself too."""


class Action(msgspec.Struct, frozen=True):
    """What happens at one signal, if not its default. `handler` is 1 where it is ignored."""

    signal: str
    handler: int
    flags: int


def signal_numbers(arch: Arch) -> dict[str, int]:
    """Return name -> number of the signals below the real-time ones."""
    if arch.name.startswith("mips"):
        return {f"SIG{name}": number for name, number in _NUMBERS_MIPS.items()}
    return {member.name: member.value for member in signal.Signals if member.value < 32}


def guest_mask(arch: Arch, names: Iterable[str]) -> int:
    """Return the bits of signals by their names; real-time signals are the emulator's to renumber."""
    numbers = signal_numbers(arch)
    return sum(1 << numbers[name] - 1 for name in names if name in numbers)


def flag_names(arch: Arch, flags: int) -> list[str]:
    """Return the names of the flags of an action."""
    known = _FLAGS_MIPS if arch.name.startswith("mips") else _FLAGS
    return [name for name, bit in known.items() if flags & bit]


def asked_for(calls: Iterable[Syscall], pids: set[int]) -> set[str]:
    """Return the signals for which one of the processes `pids` set an action, as the log names them."""
    return {
        call.arguments[0]
        for call in calls
        if call.name in CALLS
        and call.pid in pids
        and call.errno is None
        and len(call.arguments) > 1
        and call.arguments[1] not in ("NULL", "0")
    }


class ActionTables:
    """Finds the tables of several processes; where one emulator has its table is searched for once."""

    def __init__(self) -> None:
        self._places: dict[tuple[str, int], tuple[int, int]] = {}
        """Architecture and inode of an emulator -> offset of its table in the image, size of an entry."""

    def read(
        self, pid: int, arch: Arch, is_code: Callable[[int], bool], asked: set[str]
    ) -> list[Action] | None:
        """Return what the emulator in process `pid` does for its program, None where that cannot be told.

        `is_code` tells whether a guest address may hold code; `asked` are signals as `asked_for` gives them.

        Raises:
            OSError: the process is gone.
        """
        start, writable = own_image(pid, process.read_maps(pid))
        key = arch.name, os.stat(f"/proc/{process.living_id(pid)}/exe").st_ino
        fields = process_state.status(f"/proc/{pid}")
        ignored = set(process_state.mask(fields, "SigIgn"))
        caught = set(process_state.caught(fields))
        table = _Table(arch, is_code, asked, ignored, caught)
        if key in self._places:
            offset, size = self._places[key]
            data = host_memory.read_memory(pid, start + offset, table.count * size)
            return table.actions(data, 0, size)
        best: list[tuple[int, int, int, list[Action]]] = []
        for mapping in writable:
            length = min(mapping.end - mapping.start, _MAX_DATA)
            data = host_memory.read_memory(pid, mapping.start, length)
            for at, size in table.candidates(data):
                actions = table.actions(data, at, size)
                if actions and (score := table.agreement(actions)) > 0:
                    best.append((score, mapping.start - start + at, size, actions))
        if not best:
            return None
        best.sort(key=lambda entry: -entry[0])
        if len(best) > 1 and best[1][0] == best[0][0] and best[1][3] != best[0][3]:
            return None
        _score, offset, size, actions = best[0]
        self._places[key] = offset, size
        return actions


class RawAction(msgspec.Struct, frozen=True):
    """An entry of the table; numbers and bits are the guest's, bit 0 of the mask is signal 1."""

    number: int
    handler: int
    flags: int
    restorer: int
    mask: int


def raw_actions(arch: Arch, data: bytes, size: int) -> list[RawAction]:
    """Return the entries of a table, `size` bytes each, that are not the default.

    Handler, flags and restorer are in the host's byte order there, the mask still in the guest's.
    """
    fields = layout(arch, "sigaction").fields
    found = []
    for number in range(1, len(data) // size + 1):
        entry = data[(number - 1) * size : number * size]
        values = {
            name: int.from_bytes(entry[place.offset : place.offset + place.size], sys.byteorder)
            for name, place in fields.items()
            if name != "sa_mask"
        }
        place = fields["sa_mask"]
        words = entry[place.offset : place.offset + place.size]
        mask = sum(
            int.from_bytes(words[at : at + arch.word], arch.endian) << 8 * at
            for at in range(0, len(words), arch.word)
        )
        if values["sa_handler"]:
            restorer = values.get("sa_restorer", 0)
            found.append(RawAction(number, values["sa_handler"], values["sa_flags"], restorer, mask))
    return found


class _Table:
    """What the table of one process must look like."""

    def __init__(
        self,
        arch: Arch,
        is_code: Callable[[int], bool],
        asked: set[str],
        ignored: set[str],
        caught: set[str],
    ) -> None:
        self.count = 128 if arch.name.startswith("mips") else 64
        self._is_code = is_code
        self._numbers = signal_numbers(arch)
        self._names = {number: name for name, number in self._numbers.items()}
        self._asked = {self._number(name) for name in asked} - {0}
        passed_on = {name for name in self._numbers if hasattr(signal, name)} - _OWN_USE
        self._ignored = ignored & passed_on
        self._caught = caught & passed_on
        self._passed_on = passed_on
        shape = layout(arch, "sigaction")
        self._handler, self._flags = shape.fields["sa_handler"], shape.fields["sa_flags"]
        # QEMU has room for a restorer on some architectures whose kernel has none.
        self._sizes = {shape.size, shape.size + arch.word}
        known = sum((_FLAGS_MIPS if arch.name.startswith("mips") else _FLAGS).values()) | _UNNAMED_FLAGS
        self._impossible = ~known & ((1 << 8 * self._flags.size) - 1)
        self._word = arch.word
        # The compiler aligns an array of this length.
        self._alignment = 32 if os.uname().machine == "x86_64" else 8

    def _number(self, name: str) -> int:
        """Return the guest's number of a signal as the log names it, 0 where that is not known."""
        if name.isdigit():
            return int(name)
        # SIGIOT is another name of SIGABRT.
        same = getattr(signal, name, None)
        known = same.name if isinstance(same, signal.Signals) else name
        return self._numbers.get(known, 0)

    def candidates(self, data: bytes) -> Iterator[tuple[int, int]]:
        """Yield (offset, size of an entry) of what may be the table: it has an action that was asked for."""
        code = "I" if self._word == 4 else "Q"
        words = array(code)
        words.frombytes(data[: len(data) // self._word * self._word])
        wanted = {_IGNORE, *(word for word in set(words) if word > _IGNORE and self._is_code(word))}
        hits = [index * self._word for index, word in enumerate(words) if word in wanted]
        seen: set[tuple[int, int]] = set()
        for size in self._sizes:
            for hit in hits[:_MAX_HITS]:
                for number in self._asked:
                    at = hit - self._handler.offset - (number - 1) * size
                    fits = at >= 0 and at % self._alignment == 0 and at + self.count * size <= len(data)
                    if fits and (at, size) not in seen:
                        seen.add((at, size))
                        yield at, size

    def actions(self, data: bytes, at: int, size: int) -> list[Action] | None:
        """Return the actions of the table at offset `at` of `data`, None where there can be none."""
        handler_layout = "<I" if self._handler.size == 4 else "<Q"
        flags_layout = "<I" if self._flags.size == 4 else "<Q"
        found: list[Action] = []
        for number in range(1, self.count + 1):
            place = at + (number - 1) * size
            try:
                (handler,) = struct.unpack_from(handler_layout, data, place + self._handler.offset)
                (flags,) = struct.unpack_from(flags_layout, data, place + self._flags.offset)
            except struct.error:
                return None
            if flags & self._impossible or (handler > _IGNORE and not self._is_code(handler)):
                return None
            if not handler and number not in self._asked and any(data[place : place + size]):
                # Nobody ever set it.
                return None
            if handler:
                found.append(Action(self._names.get(number, f"SIG{number}"), handler, flags))
        handled = {action.signal for action in found if action.handler != _IGNORE}
        ignored = {action.signal for action in found if action.handler == _IGNORE}
        if ignored & self._passed_on != self._ignored or not self._caught <= handled:
            return None
        return found

    def agreement(self, actions: list[Action]) -> int:
        """Return how many actions the log shows to have been asked for, less those that it does not."""
        numbers = [self._numbers.get(action.signal) or int(action.signal[3:]) for action in actions]
        return sum(1 if number in self._asked else -1 for number in numbers)
