"""The link to what a row itself stands for: a register, a frame, a call, a line of code, bytes."""

from __future__ import annotations

from typing import Any

from triage_tui.ui.call_rows import OutputLine
from triage_tui.ui.hex_rows import bytes_per_row
from triage_tui.ui.memory_sections import At
from triage_tui.ui.rows import Row

_PROCESS = ("fd", "map", "log", "rule", "probe")


def own_link(pane: str, row: Row | None, width: int, shown: Any = None) -> str | None:
    """Return the link to what a row of a pane stands for, or None where it is no evidence.

    `shown` is what the pane shows of the run: of the code the frame, of the registers whether they are those
    of the frozen thread.
    """
    target = row.target if row is not None else None
    if target is None:
        return None
    match pane:
        case "syscalls":
            return f"ev:syscall/{target.seq if isinstance(target, OutputLine) else target}"
        case "backtrace":
            return f"ev:frame/{target}" if isinstance(target, int) else None
        case "registers":
            return f"ev:reg/{target}" if isinstance(target, str) and shown else None
        case "code":
            return f"ev:code/{shown}#L{target}" if isinstance(target, int) and shown is not None else None
        case "memory":
            return _memory(target, bytes_per_row(width))
        case "process":
            return _listed(target)
        case _:
            return None


def _memory(target: object, count: int) -> str | None:
    if isinstance(target, At):
        return f"ev:mem/{target.pid}@0x{target.address:x}+0:{count}"
    if isinstance(target, tuple) and len(target) == 2:
        entry, offset = target
        return f"ev:mem/{entry}" if offset is None else f"ev:mem/{entry}+{offset}:{count}"
    return None


def _listed(target: object) -> str | None:
    if not isinstance(target, tuple) or not target or target[0] not in _PROCESS:
        return None
    kind, *rest = target
    line = f"#L{rest[1]}" if kind == "log" and rest[1:] and rest[1] else ""
    return f"ev:{kind}/{rest[0]}{line}"
