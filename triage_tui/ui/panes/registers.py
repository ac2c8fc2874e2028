"""The registers pane: one thread's values in hex, what they point to, what changed; and all threads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import BindingType

from triage_tui.runs.evidence import Link
from triage_tui.runs.model import Register, Snapshot
from triage_tui.runs.process_model import Mapping
from triage_tui.text import safe_line
from triage_tui.ui.actions import bindings
from triage_tui.ui.loading import RunView
from triage_tui.ui.panes.base import Pane
from triage_tui.ui.rows import BLANK, ListRows, Part, Row, Rows, clip, fit, heading, short, wrapped
from triage_tui.ui.threads import ThreadView, threads_of, title_of
from triage_tui.ui.widgets.line_view import LineView
from triage_tui.ui.words import call_words

MAX_REGISTERS = 512


def register_value(register: Register) -> str:
    """Return the value as fixed-width hex, or the text that stands for a wide one."""
    value = register.value
    if isinstance(value, str):
        return short(value, 80)
    return f"0x{value:0{max(1, min(register.size, 16)) * 2}x}"


def points_to(snapshot: Snapshot, maps: Sequence[Mapping], value: int | str) -> Part | None:
    """Return what is at an address: a recorded string, a frame's symbol, or the mapping it lies in.

    `maps` are those of the register's process; strings and symbols are of the process that is looked at.
    """
    if not isinstance(value, int) or value < 0x1000:
        return None
    if maps is snapshot.maps:
        for entry in snapshot.memory:
            if entry.addr == value and entry.string:
                return (f'"{safe_line(entry.string, 120)}"', "string")
        for frame in snapshot.backtrace.frames:
            if frame.addr == value and frame.func_name:
                return (f"{short(frame.func_name, 60)}+{frame.func_offset or 0:#x}", "symbol")
    for mapping in maps:
        if mapping.start <= value < mapping.end:
            name = short(mapping.path.rsplit("/", 1)[-1] or mapping.name or "anonymous", 40)
            return (f"{name}+{value - mapping.start:#x} {short(mapping.perms, 6)}", "muted")
    return None


def register_rows(view: RunView, shown: ThreadView, width: int) -> list[Row]:
    """Return one row for each register; a star and a colour mark what changed."""
    snapshot = view.snapshot
    # The stop before was recorded of the frozen thread only.
    before = {one.name: one.value for one in snapshot.previous_regs} if shown.cause else {}
    registers = shown.registers[:MAX_REGISTERS]
    names = min(12, max((len(register.name) for register in registers), default=2))
    rows = []
    for register in registers:
        changed = register.name in before and before[register.name] != register.value
        parts: list[Part] = [
            (" * " if changed else "   ", "changed"),
            (fit(short(register.name, 12), names), "changed" if changed else "register"),
            ("  ", ""),
            (register_value(register), "number" if register.value else "faint"),
        ]
        if register.rc:
            parts.append(("  could not be read", "bad"))
        used = sum(len(text) for text, _ in parts)
        note = points_to(snapshot, shown.maps, register.value)
        if note is not None and width - used > 8:
            parts += [("  ", ""), (clip(note[0], width - used - 3), note[1])]
        if changed:
            used = sum(len(text) for text, _ in parts)
            old = before[register.name]
            text = f"  was {old if isinstance(old, str) else f'{old:#x}'}"
            if width - used > len(text):
                parts.append((short(text, 60), "muted"))
        rows.append(Row(tuple(parts), target=register.name, links=_memory_link(shown, register, note, names)))
    return rows


def _memory_link(
    shown: ThreadView, register: Register, note: Part | None, names: int
) -> tuple[tuple[int, int, str], ...]:
    """Return the link from a pointer's value to the memory there."""
    if note is None:
        return ()
    owner = "" if shown.process is None or shown.process.looked_at else f"{shown.process.pid}@"
    first = 3 + names + 2
    return ((first, first + len(register_value(register)), f"ev:mem/{owner}0x{register.value:x}"),)


def thread_rows(view: RunView, shown: ThreadView, width: int) -> list[Row]:
    """Return what the record holds of a thread besides its registers, and what it lacks."""
    thread = shown.thread
    if thread is None:
        return []
    rows: list[Row] = []
    call = view.run.syscall(thread.seq) if thread.seq is not None else None
    if call is not None:
        name, arguments, _ = call_words(call)
        text = clip(f"{name}({arguments})", max(10, width - 22))
        number = f"  syscall {call.seq}"
        link = (3, 3 + len(text) + len(number), f"ev:syscall/{call.seq}")
        rows.append(Row((("   ", ""), (text, "link"), (number, "muted")), links=(link,)))
    for what, names in (("blocks", thread.blocked_signals), ("pending", thread.pending_signals)):
        if names:
            rows += wrapped(f"{what} {safe_line(' '.join(names), 400)}", width, "muted", 3)
    if thread.why:
        rows += wrapped(f"No registers: {safe_line(thread.why, 200)}.", width, "warn", 3)
    elif not shown.registers:
        rows += wrapped("No registers were recorded of this thread.", width, "warn", 3)
    if not shown.cause:
        lacks = "Its registers at an earlier stop were not recorded."
        if not thread.frames:
            lacks = "Its frames were not recorded, nor its registers at an earlier stop."
        if shown.registers and thread.state == "computing":
            lacks = f"It was computing: these values are of a moment before. {lacks}"
        rows += wrapped(lacks, width, "muted", 3)
    return rows


def chooser_rows(threads: Sequence[ThreadView], chosen: int, width: int) -> list[Row]:
    """Return one row for each thread, the chosen one marked."""
    if len(threads) < 2:
        return []
    rows = [BLANK, heading("All threads", width, "[ ] step")]
    digits, ids = len(str(len(threads))), max(len(shown.ids) for shown in threads)
    for index, shown in enumerate(threads):
        here = index == chosen
        argv = shown.process.argv if shown.process is not None else []
        parts: list[Part] = [
            (" ▶ " if shown.cause else "   ", "wait"),
            (f"{index + 1:>{digits}}  ", "muted"),
            (fit(shown.ids, ids), "strong" if here else ""),
        ]
        lacking = "" if shown.registers else "  no registers"
        used = sum(len(text) for text, _ in parts)
        parts.append(
            (clip(f"  {shown.doing}", max(0, width - used - len(lacking))), "strong" if here else "")
        )
        parts.append((lacking, "warn"))
        used = sum(len(text) for text, _ in parts)
        if argv and width - used > 12:
            parts += [("  ", ""), (clip(safe_line(" ".join(argv), 120), width - used - 3), "muted")]
        rows.append(Row(tuple(parts), target=("thread", index), fill="current" if here else ""))
    return rows


class RegistersPane(Pane):
    """Registers of one thread; the one that caused the freeze comes first."""

    NAME: ClassVar[str] = "registers"
    KINDS: ClassVar[tuple[str, ...]] = ("reg",)
    EMPTY: ClassVar[str] = "No registers were recorded."
    NOTE_CELLS: ClassVar[int] = 54
    BINDINGS: ClassVar[list[BindingType]] = bindings("threads")

    def __init__(self) -> None:
        super().__init__()
        self.threads: list[ThreadView] = []
        self.chosen = 0

    @property
    def title_note(self) -> str:
        """The thread that is shown."""
        return title_of(self.threads, self.chosen)

    def forget(self) -> None:
        """Go back to the thread that caused the freeze."""
        self.threads, self.chosen = [], 0

    def build(self, view: RunView) -> Rows:
        """Return the thread's registers, and all threads, as rows."""
        known = self.threads[self.chosen].key if self.threads else None
        self.threads = threads_of(view.snapshot)
        self.chosen = next(
            (n for n, one in enumerate(self.threads) if known is not None and one.key == known), 0
        )
        return ListRows(lambda width: self._rows_of(view, width))

    def _rows_of(self, view: RunView, width: int) -> list[Row]:
        if not self.threads:
            return []
        shown = self.threads[self.chosen]
        title = title_of(self.threads, self.chosen)
        rows = wrapped(title, width, "heading", 1) if title else []
        return [
            *rows,
            *thread_rows(view, shown, width),
            *register_rows(view, shown, width),
            *chooser_rows(self.threads, self.chosen, width),
        ]

    def first(self, rows: Rows) -> int:
        """Start at the first register."""
        return rows.find(lambda row: isinstance(row.target, str)) or 0

    def choose(self, index: int) -> None:
        """Show another thread, the cursor on the register where it was."""
        if self.view is None or not 0 <= index < len(self.threads) or index == self.chosen:
            return
        row = self.current
        name = row.target if row is not None and isinstance(row.target, str) else None
        self.chosen = index
        rows = self.build(self.view)
        self.set_rows(rows)
        place = rows.find(lambda row: row.target == name) if name is not None else None
        self.move_to(self.first(rows) if place is None else place)
        self.post_message(self.Retitled())

    def step(self, by: int) -> None:
        """Go to the next thread (1) or the one before (-1), from the last to the first and back."""
        if len(self.threads) > 1:
            self.choose((self.chosen + by) % len(self.threads))

    def on_line_view_opened(self, event: LineView.Opened) -> None:
        """Show the thread that was opened in the list."""
        row = self.current
        if event.link is None and row is not None and isinstance(row.target, tuple):
            self.choose(row.target[1])

    def reveal(self, link: Link) -> bool:
        """Go to a register of the frozen thread by name."""
        self.choose(0)
        index = self.rows.find(lambda row: row.target == link.id)
        if index is None:
            return False
        self.mark(index)
        return True
