"""Calls before the one at which a guest was frozen: whose memory is there to be read, and what is left of it.

The bytes that an earlier call pointed to are read at the freeze. They are that call's only in the process
that was frozen, as long as it executes the same program, and only while nobody wrote over them; the record
has some of what the call was given as text, and that is what can be compared.
"""

from __future__ import annotations

import sys
from collections.abc import Container, Sequence

from msgspec.structs import replace

from triage_tui.guest.arch import Arch
from triage_tui.guest.log.syscall_record import decode_address, to_text
from triage_tui.guest.state.memory import Memory
from triage_tui.guest.state.pointers import STRING_LIMIT, PointerArgument, pointer_arguments
from triage_tui.runs.model import Snapshot, Syscall

_RECEIVING = frozenset(("read", "recv", "recvfrom", "recvmsg"))
_EXECUTES = frozenset(("execve", "execveat"))
_ADDRESSED = frozenset(("connect", "bind", "sendto"))
_INTERFACE_NAME = 16
"""Bytes of ifr_name: netdevice(7)."""
_COMPARED = 200
"""Characters of a path that have to be the same; the record may hold no more of a long one."""


def calls_of_memory(snapshot: Snapshot) -> list[Syscall]:
    """Return the recent calls whose pointers lead into the memory of the frozen process, oldest first."""
    pid = snapshot.trigger.pid
    mine = [call for call in snapshot.recent_syscalls if not pid or not call.pid or call.pid == pid]
    for index in range(len(mine) - 1, -1, -1):
        if mine[index].name in _EXECUTES and mine[index].ret == 0:
            return mine[index + 1 :]
    return mine


def last_failed(calls: Sequence[Syscall], trigger: int) -> Syscall | None:
    """Return the newest failed call with known arguments, the call `trigger` left out."""
    for call in reversed(calls):
        if call.errno and call.args and call.seq != trigger:
            return call
    return None


def last_received(calls: Sequence[Syscall], trigger: int, sockets: Container[int]) -> Syscall | None:
    """Return the newest call that got bytes from one of `sockets`, the call `trigger` left out."""
    for call in reversed(calls):
        if call.name not in _RECEIVING or (call.ret or 0) <= 0 or call.seq == trigger:
            continue
        args = call.args or _numbers(call)
        if args and (args[0] in sockets or call.name != "read"):
            return replace(call, args=args)
    return None


def _numbers(call: Syscall) -> list[int]:
    """Return the arguments of a call of which only the log tells, [] unless the first three are numbers."""
    found: list[int] = []
    for text in call.arguments:
        try:
            found.append(int(text, 0))
        except ValueError:
            break
    return found if len(found) >= 3 else []


def overwritten(arch: Arch, memory: Memory, call: Syscall) -> dict[int, str]:
    """Return the arguments of `call` whose bytes are others by now -> what the call was given, as text."""
    found: dict[int, str] = {}
    arguments = list(pointer_arguments(arch, call.name, call.args))
    strings = [argument.index for argument in arguments if argument.size is None]
    for argument in arguments:
        given = _given(call, argument, is_path=argument.index == min(strings, default=-1))
        if given and not _is_there(arch, memory, call, argument, given):
            found[argument.index] = given
    return found


def _given(call: Syscall, argument: PointerArgument, *, is_path: bool) -> str:
    """Return what the record says that the argument held, "" where it says nothing."""
    if argument.size is None:
        return (call.path or "") if is_path else ""
    if argument.what == "socket address":
        return (call.peer or "") if call.name in _ADDRESSED else ""
    return (call.interface or "") if call.name == "ioctl" else ""


def _is_there(arch: Arch, memory: Memory, call: Syscall, argument: PointerArgument, given: str) -> bool:
    address = call.args[argument.index]
    if argument.size is None:
        text = memory.c_string(address, STRING_LIMIT)
        return text is not None and to_text(text)[:_COMPARED] == given[:_COMPARED]
    if argument.what == "socket address":
        data = memory.read(address, min(argument.size, 128))
        family = int.from_bytes(data[:2], arch.endian).to_bytes(2, sys.byteorder)
        now = decode_address(family + data[2:]) or ""
        if given.startswith(("unix:", "inet:")):
            return now == given
        # Of others the log may show less than the bytes do.
        return now.partition(":")[0] == given.partition(":")[0]
    name = memory.read(address, _INTERFACE_NAME).split(b"\0")[0]
    return to_text(name) == given
