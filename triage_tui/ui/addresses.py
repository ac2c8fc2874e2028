"""Addresses as a person types them: hex, a register, a symbol, module+offset, the name of a mapping."""

from __future__ import annotations

import re
from typing import NamedTuple

from triage_tui.errors import TriageError
from triage_tui.runs.model import Snapshot
from triage_tui.runs.place_names import module_bias
from triage_tui.text import safe_line
from triage_tui.ui.threads import ThreadView

HINT = "40800000  sp  sp+20  main  libc.so.6+1c40  [heap]  7@40800000 of process 7; numbers are hex"

_HEX = re.compile(r"(?:0x)?([0-9a-f]{1,16})\Z", re.IGNORECASE)
_SUM = re.compile(r"(.+?)\s*([+-])\s*((?:0x)?[0-9a-f]{1,16})\Z", re.IGNORECASE)
_OWNED = re.compile(r"(\d{1,9})@(.+)\Z")


class Place(NamedTuple):
    """An address of a process; None is the process that is looked at."""

    pid: int | None
    address: int


def find_place(snapshot: Snapshot, text: str, thread: ThreadView | None = None) -> Place:
    """Return the place that `text` names. Registers are those of `thread`, and so is their process.

    A name wins over a number that is spelled in the same way (`a0`, `fp`): `0x` makes it a number.

    Raises:
        TriageError: it names nothing that the record knows.
    """
    text = text.strip()
    owned = _OWNED.match(text)
    pid = int(owned[1]) if owned else None
    term = owned[2].strip() if owned else text
    if not term:
        raise TriageError(f"Type an address, for example: {HINT}.")
    found = _whole(snapshot, term, pid, thread)
    # Names of modules hold signs themselves ("ld-2.36.so"), so the whole comes first.
    if found is None and (parts := _SUM.match(term)) is not None:
        base = _whole(snapshot, parts[1].strip(), pid, thread)
        if base is not None:
            offset = int(parts[3], 16)
            found = base._replace(address=base.address + (offset if parts[2] == "+" else -offset))
    if found is None:
        raise TriageError(
            f"Nothing in this record is called {safe_line(term, 60)}: type hex, a register, a symbol of a"
            " frame, module+offset, or the name of a mapping."
        )
    if not 0 <= found.address < 1 << 64:
        raise TriageError(f"{safe_line(term, 60)} is no address.")
    return found


def _whole(snapshot: Snapshot, term: str, pid: int | None, thread: ThreadView | None) -> Place | None:
    if not term.lower().startswith("0x"):
        named = _register(term, pid, thread) or _name(snapshot, term, pid)
        if named is not None:
            return named
    number = _HEX.match(term)
    return Place(pid, int(number[1], 16)) if number else None


def _register(term: str, pid: int | None, thread: ThreadView | None) -> Place | None:
    if thread is None:
        return None
    process = thread.process
    own = None if process is None or process.looked_at else process.pid
    if pid is not None and (process is None or process.pid != pid):
        return None
    for register in thread.registers:
        if register.name.lower() == term.lower() and isinstance(register.value, int):
            return Place(own if pid is None else pid, register.value)
    return None


def _name(snapshot: Snapshot, term: str, pid: int | None) -> Place | None:
    process = next((one for one in snapshot.processes if one.pid == pid), None)
    looked_at = pid is None or process is None or process.looked_at
    if looked_at:
        for frame in snapshot.backtrace.frames:
            if frame.func_name == term:
                return Place(pid, frame.addr - (frame.func_offset or 0))
        for entry in snapshot.memory:
            if term in (entry.id, entry.tag):
                return Place(pid, entry.addr)
    maps = snapshot.maps if looked_at or process is None else process.maps
    frames = snapshot.backtrace.frames if maps is snapshot.maps else ()
    for mapping in maps:
        if mapping.name == term or (mapping.path and term in (mapping.path, mapping.path.rsplit("/", 1)[-1])):
            return Place(pid, module_bias(maps, mapping.path, frames) if mapping.path else mapping.start)
    return None
