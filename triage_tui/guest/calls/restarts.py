"""Have a process execute its own program again: the call of the guest's that does it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from triage_tui.errors import TriageError
from triage_tui.guest.processes.process_table import GuestProcess
from triage_tui.guest.state.initial_stack import read_initial_stack

if TYPE_CHECKING:
    from triage_tui.guest.state.views import FrozenViews

_FAR = 4096
"""Bytes below the stack pointer that are left alone: a red zone, and what a signal handler takes."""
_ALIGN = 16


def execution(
    guest: FrozenViews,
    known: GuestProcess,
    registers: Mapping[str, int],
    variables: Sequence[tuple[str, str]],
) -> tuple[int, tuple[int, ...]]:
    """Return number and arguments of an execve of the program that `known` executes, as it was started.

    What it points to is written below the stack of the held thread, whose registers are given. `variables`
    are set in the environment.

    Raises:
        TriageError: how it was started is not known any more, or there is no room.
    """
    arch = known.program.arch
    number = arch.syscall_nr("execve")
    if number is None:
        raise TriageError(f"{arch.name} has no execve")
    names = {name.encode("utf-8", "surrogateescape") for name, _ in variables}
    kept = [entry for entry in _environment(guest) if entry.partition(b"=")[0] not in names]
    added = [f"{name}={value}".encode("utf-8", "surrogateescape") for name, value in variables]
    strings = [_raw(known.program.path), *map(_raw, known.program.argv), *kept, *added]
    block = b"".join(text + b"\0" for text in strings)
    count = len(known.program.argv)
    size = len(block) + (len(strings) + 3) * arch.word
    start = (registers[arch.sp] - _FAR - size) & -_ALIGN & arch.word_mask
    places, at = [], start
    for text in strings:
        places.append(at)
        at += len(text) + 1
    vectors = (at + _ALIGN - 1) & -_ALIGN
    words = [*places[1 : 1 + count], 0, *places[1 + count :], 0]
    guest.write_memory(start, block.ljust(vectors - start, b"\0"))
    guest.write_memory(vectors, b"".join(word.to_bytes(arch.word, arch.endian) for word in words))
    return number, (start, vectors, vectors + (count + 1) * arch.word, 0, 0, 0, 0, 0)


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _environment(guest: FrozenViews) -> list[bytes]:
    """Return the environment that the program was started with, as it stands on its stack now."""
    found = read_initial_stack(guest.read_memory, guest.arch, guest.location.auxv)
    return found.env
