"""The registers pane: one thread's values in hex, what they point to, what changed; and all threads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from rich.cells import cell_len
from textual.binding import BindingType
from textual.message import Message

from triage_tui.runs.evidence import Link
from triage_tui.runs.frame_model import Frame
from triage_tui.runs.model import Register
from triage_tui.runs.telescope import Chain
from triage_tui.text import safe_line
from triage_tui.ui.actions import bindings
from triage_tui.ui.panes.base import Pane
from triage_tui.ui.pointers import Pointers, chain_parts
from triage_tui.ui.rows import BLANK, ListRows, Part, Row, Rows, clip, fit, heading, short, wrapped
from triage_tui.ui.run_view import RunView
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


class ThreadPointers(NamedTuple):
    """Where the registers of a thread lead."""

    pointers: Pointers
    chains: dict[str, Chain | None]


def thread_pointers(view: RunView, shown: ThreadView, *, regions: bool = False) -> ThreadPointers:
    """Follow the registers of a thread; with `regions` through kept memory too, on the disk."""
    pointers = Pointers(view, shown.process, shown.maps)
    if regions:
        pointers.with_regions()
    chains = {one.name: pointers.follow(one.value) for one in shown.registers[:MAX_REGISTERS]}
    return ThreadPointers(pointers, chains)


def register_rows(
    view: RunView, shown: ThreadView, width: int, leads: ThreadPointers | None = None
) -> list[Row]:
    """Return one row for each register; a star and a colour mark what changed.

    `leads` says where the values lead, by default as far as the recorded objects tell.
    """
    pointers, chains = leads or thread_pointers(view, shown)
    # The stop before was recorded of the frozen thread only.
    before = {one.name: one.value for one in view.snapshot.previous_regs} if shown.cause else {}
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
        links: list[tuple[int, int, str]] = []
        chain = chains.get(register.name)
        used = sum(len(text) for text, _ in parts)
        if chain is not None:
            first = 3 + names + 2
            links.append((first, first + len(register_value(register)), pointers.link(chain.hops[0])))
            if width - used > 8:
                led = chain_parts(pointers, chain, width - used - 3)
                parts += [("  ", ""), *led.parts]
                links += [(used + 2 + a, used + 2 + b, link) for a, b, link in led.links]
        if changed:
            used = sum(cell_len(text) for text, _ in parts)
            old = before[register.name]
            text = f"  was {old if isinstance(old, str) else f'{old:#x}'}"
            if width - used > len(text):
                parts.append((short(text, 60), "muted"))
        rows.append(Row(tuple(parts), target=register.name, links=tuple(links)))
    return rows


def thread_rows(view: RunView, shown: ThreadView, width: int) -> list[Row]:
    """Return what the record holds of a thread besides its registers, and what it lacks."""
    thread = shown.thread
    if thread is None:
        return []
    rows: list[Row] = []
    call = view.run.syscall(thread.seq) if thread.seq is not None else None
    if call is not None:
        name, arguments, _ = call_words(call)
        whole = f"{name}({arguments})"
        text = clip(whole, max(10, width - 22))
        number = f"  syscall {call.seq}"
        link = (3, 3 + len(text) + len(number), f"ev:syscall/{call.seq}")
        rows.append(Row((("   ", ""), (text, "link"), (number, "muted")), links=(link,), whole=whole))
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
        whole = f"{shown.doing}  {safe_line(' '.join(argv), 400)}"
        rows.append(Row(tuple(parts), ("thread", index), "current" if here else "", whole=whole))
    return rows


def frame_registers(frame: Frame, width: int, code: str) -> list[Row]:
    """Return the registers of a calling frame, of which the unwinder knows two; `code` links to its code."""
    parts: list[Part] = [(f"   frame {frame.idx}: pc ", "muted")]
    links: list[tuple[int, int, str]] = []
    known = [(frame.addr, code)]
    if frame.sp is not None:
        known.append((frame.sp, f"ev:mem/0x{frame.sp:x}"))
    for number, (value, link) in enumerate(known):
        if number:
            parts.append((", sp ", "muted"))
        at = sum(len(text) for text, _ in parts)
        parts.append((f"0x{value:x}", "link"))
        links.append((at, at + len(parts[-1][0]), link))
    note = "No other register of it is known: those below are of frame 0."
    return [Row(tuple(parts), links=tuple(links)), *wrapped(note, width, "muted", 3), BLANK]


class RegistersPane(Pane):
    """Registers of one thread; the one that caused the freeze comes first."""

    NAME: ClassVar[str] = "registers"
    KINDS: ClassVar[tuple[str, ...]] = ("reg",)
    EMPTY: ClassVar[str] = "No registers were recorded."
    NOTE_CELLS: ClassVar[int] = 54
    BINDINGS: ClassVar[list[BindingType]] = bindings("threads")

    @dataclass
    class Followed(Message):
        """Registers were followed through kept memory."""

        view: RunView
        thread: int
        found: ThreadPointers

    def __init__(self) -> None:
        super().__init__()
        self._frame = 0
        self.threads: list[ThreadView] = []
        self.chosen = 0
        self._leads: dict[int, ThreadPointers] = {}

    @property
    def title_note(self) -> str:
        """The thread that is shown."""
        return title_of(self.threads, self.chosen)

    @property
    def own_choice(self) -> bool:
        """Whether these are the registers of the frozen thread, which evidence is about."""
        return bool(self.threads) and self.threads[self.chosen].cause

    def forget(self) -> None:
        """Go back to the thread that caused the freeze."""
        self._frame = 0
        self.threads, self.chosen = [], 0
        self._leads = {}

    def build(self, view: RunView) -> Rows:
        """Return the thread's registers, and all threads, as rows."""
        known = self.threads[self.chosen].key if self.threads else None
        self.threads = threads_of(view.snapshot)
        self.chosen = next(
            (n for n, one in enumerate(self.threads) if known is not None and one.key == known), 0
        )
        self._follow(view)
        return ListRows(lambda width: self._rows_of(view, width))

    def _follow(self, view: RunView) -> None:
        """Follow the registers of the thread that is shown: through the objects at once, then the regions."""
        if not self.threads or self.chosen in self._leads:
            return
        number, shown = self.chosen, self.threads[self.chosen]
        found = self._leads[number] = thread_pointers(view, shown)
        if not found.pointers.has_regions:
            return

        def work() -> None:
            more = thread_pointers(view, shown, regions=True)
            self.post_message(self.Followed(view, number, more))

        self.run_worker(work, thread=True, group="pointers", exit_on_error=False)

    def on_registers_pane_followed(self, event: Followed) -> None:
        """Show where the registers lead through kept memory."""
        event.stop()
        if event.view is self.view:
            self._leads[event.thread] = event.found
            if event.thread == self.chosen:
                place, link = self.cursor, self._link
                self.set_rows(ListRows(lambda width: self._rows_of(event.view, width)))
                self.move_to(place)
                self._link = link

    def _rows_of(self, view: RunView, width: int) -> list[Row]:
        if not self.threads:
            return []
        shown = self.threads[self.chosen]
        title = title_of(self.threads, self.chosen)
        rows = wrapped(title, width, "heading", 1) if title else []
        frame = view.frame(self._frame) if shown.cause and self._frame else None
        return [
            *rows,
            *(frame_registers(frame, width, self._code_of(view, frame)) if frame is not None else ()),
            *thread_rows(view, shown, width),
            *register_rows(view, shown, width, self._leads.get(self.chosen)),
            *chooser_rows(self.threads, self.chosen, width),
        ]

    @staticmethod
    def _code_of(view: RunView, frame: Frame) -> str:
        return f"ev:code/{frame.idx}" if frame.idx in view.code else f"ev:frame/{frame.idx}"

    def select_frame(self, index: int) -> None:
        """Show what is known of the registers of another frame; the cursor stays on its register."""
        if self.view is not None and index != self._frame:
            self._frame = index
            state = self.state()
            self.rebuild()
            self.restore(state)

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

    @property
    def opens(self) -> bool:
        """A value leads to what it points to, a thread in the list to its registers."""
        row = self.current
        threads = row is not None and isinstance(row.target, tuple) and row.target[1] != self.chosen
        return super().opens or threads

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
