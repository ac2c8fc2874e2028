"""The registers pane: values in hex, what they point to, and what changed since the previous stop."""

from __future__ import annotations

from typing import ClassVar

from triage_tui.runs.evidence import Link
from triage_tui.runs.model import Register, Snapshot, Thread
from triage_tui.text import safe_line
from triage_tui.ui.loading import RunView
from triage_tui.ui.panes.base import Pane
from triage_tui.ui.rows import BLANK, ListRows, Part, Row, Rows, clip, fit, heading, short, wrapped

MAX_THREADS = 256
"""Threads whose registers are laid out."""


def register_value(register: Register) -> str:
    """Return the value as fixed-width hex, or the text that stands for a wide one."""
    value = register.value
    if isinstance(value, str):
        return short(value, 80)
    return f"0x{value:0{max(1, min(register.size, 16)) * 2}x}"


def points_to(snapshot: Snapshot, value: int | str) -> Part | None:
    """Return what is at an address: a recorded string, a frame's symbol, or the mapping it lies in."""
    if not isinstance(value, int) or value < 0x1000:
        return None
    for entry in snapshot.memory:
        if entry.addr == value and entry.string:
            return (f'"{safe_line(entry.string, 120)}"', "string")
    for frame in snapshot.backtrace.frames:
        if frame.addr == value and frame.func_name:
            return (f"{short(frame.func_name, 60)}+{frame.func_offset or 0:#x}", "symbol")
    for mapping in snapshot.maps:
        if mapping.start <= value < mapping.end:
            name = short(mapping.path.rsplit("/", 1)[-1] or "anonymous", 40)
            return (f"{name}+{value - mapping.start:#x} {short(mapping.perms, 6)}", "muted")
    return None


def register_rows(view: RunView, width: int) -> list[Row]:
    """Return one row for each register; a star and a colour mark what changed."""
    snapshot = view.snapshot
    before = {register.name: register.value for register in snapshot.previous_regs}
    names = max((len(register.name) for register in snapshot.regs), default=2)
    rows = []
    for register in snapshot.regs[:512]:
        changed = register.name in before and before[register.name] != register.value
        parts: list[Part] = [
            (" * " if changed else "   ", "changed"),
            (fit(short(register.name, 12), min(names, 12)), "changed" if changed else "register"),
            ("  ", ""),
            (register_value(register), "number" if register.value else "faint"),
        ]
        if register.rc:
            parts.append(("  could not be read", "bad"))
        used = sum(len(text) for text, _ in parts)
        note = points_to(snapshot, register.value)
        if note is not None and width - used > 8:
            parts += [("  ", ""), (clip(note[0], width - used - 3), note[1])]
        if changed:
            used = sum(len(text) for text, _ in parts)
            old = before[register.name]
            text = f"  was {old if isinstance(old, str) else f'{old:#x}'}"
            if width - used > len(text):
                parts.append((short(text, 60), "muted"))
        rows.append(Row(tuple(parts), target=register.name))
    return rows


def thread_rows(view: RunView, width: int) -> list[Row]:
    """Return the registers of all other threads, several on a line."""
    rows: list[Row] = []
    for process in view.snapshot.processes[:MAX_THREADS]:
        for thread in process.threads[:MAX_THREADS]:
            if thread.looked_at or len(rows) > MAX_THREADS * 16:
                continue
            doing = f"in {short(thread.call, 30)}" if thread.call else thread.state
            title = f"Thread {thread.tid} of process {process.pid}"
            rows += [BLANK, heading(title, width, doing, target=("thread", thread.tid))]
            if thread.why:
                rows += wrapped(safe_line(thread.why, 200), width, "warn", 3)
            rows += _packed(thread, width)
    return rows


def _packed(thread: Thread, width: int) -> list[Row]:
    """Return the registers of a thread in columns; values as wide as the widest."""
    values = list(thread.registers.items())[:512]
    digits = 8 if all(value < 1 << 32 for _, value in values) else 16
    column = 2 + 6 + 1 + digits
    count = max(1, (width - 1) // column)
    rows = []
    for start in range(0, len(values), count):
        parts: list[Part] = [(" ", "")]
        for name, value in values[start : start + count]:
            parts += [
                (fit(short(name, 6), 6, "right"), "register"),
                (f" {value:0{digits}x}  ", "number" if value else "faint"),
            ]
        rows.append(Row(tuple(parts), target=("thread", thread.tid)))
    return rows


class RegistersPane(Pane):
    """Registers of the frozen thread, then those of all others."""

    NAME: ClassVar[str] = "registers"
    KINDS: ClassVar[tuple[str, ...]] = ("reg",)
    EMPTY: ClassVar[str] = "No registers were recorded."

    def build(self, view: RunView) -> Rows:
        """Return the registers as rows."""
        return ListRows(lambda width: register_rows(view, width) + thread_rows(view, width))

    def reveal(self, link: Link) -> bool:
        """Go to a register by name."""
        index = self.rows.find(lambda row: row.target == link.id)
        if index is None:
            return False
        self.mark(index)
        return True
