"""Searching in the memory pane: in a worker thread, with progress, and from hit to hit."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec
from textual.message import Message
from textual.timer import Timer

from triage_tui.errors import TriageError
from triage_tui.runs.memory_files import RegionReader
from triage_tui.runs.memory_search import MAX_HITS, Hit, pattern_of, search
from triage_tui.ui.kept_memory import MAX_REGIONS
from triage_tui.ui.memory_rows import MemoryRows
from triage_tui.ui.panes.base import Pane
from triage_tui.ui.rows import Rows, short
from triage_tui.ui.widgets.line_view import LineView

_TYPED_S = 0.15
"""Seconds without a key after which what was typed is searched."""
_TELL_S = 0.1
"""Seconds between two messages of a search."""


class Search(msgspec.Struct):
    """One search that runs or has ended."""

    pattern: bytes
    cancel: threading.Event = msgspec.field(default_factory=threading.Event)
    hits: list[Hit] = msgspec.field(default_factory=list)
    at: int = -1
    """The hit that is shown."""
    percent: int = 0
    running: bool = True
    problem: str = ""


class SearchedMemory(Pane):
    """A memory pane that can be searched."""

    @dataclass
    class Progressed(Message):
        """A search came further, or to its end."""

        search: Search
        hits: list[Hit]
        percent: int
        problem: str
        ended: bool

    def __init__(self) -> None:
        super().__init__()
        self._search: Search | None = None
        self._typed: Timer | None = None

    def set_rows(self, rows: Rows, *, cursor: int | None = None, empty: str | None = None) -> None:
        """Show other rows; they are too many to be searched as rows are elsewhere."""
        self._plain = rows
        LineView.set_rows(self, rows, cursor=cursor, empty=empty)

    def forget(self) -> None:
        """End the search in the run shown before."""
        self._stop()

    def on_unmount(self) -> None:
        """End the search: its thread would be waited for."""
        self._stop()

    def _stop(self) -> None:
        if self._typed is not None:
            self._typed.stop()
        if self._search is not None:
            self._search.cancel.set()
        self._search = self._typed = None

    @property
    def search_note(self) -> str:
        """What is searched for, which hit is shown, and how far the search is."""
        found = self._search
        if found is None:
            return f"/{short(self.search_text, 20)}" if self.search_text else ""
        if not found.hits:
            said = f"{found.percent} %" if found.running else found.problem or "not found"
        else:
            many = "+" if len(found.hits) >= MAX_HITS else ""
            said = f"{found.at + 1} of {len(found.hits)}{many}"
            said += f" · {found.percent} %" if found.running else ""
        return f"/{short(self.search_text, 20)} {said}"

    def set_search(self, text: str) -> None:
        """Search for text, or for bytes, once no key is pressed for a moment; "" ends it."""
        self._stop()
        self.search_text = text
        if text:
            self._typed = self.set_timer(_TYPED_S, self._begin)
        else:
            self._marks = {}
            self.refresh()
        self.post_message(self.Retitled())

    def _begin(self) -> None:
        view = self.view
        if view is None or not self.search_text:
            return
        try:
            found = Search(pattern_of(self.search_text))
        except TriageError as error:
            self._search = Search(b"", running=False, problem=str(error))
            self.post_message(self.Retitled())
            return
        self._search = found
        objects = [(item.entry.addr, item.data) for item in view.memory]
        root = Path(view.snapshot.target.rootfs or "/")
        kept = view.snapshot.memory_regions[:MAX_REGIONS]
        run_dir = view.run.dir

        def work() -> None:
            # Readers of its own: those of the pane are used by another thread.
            readers = [RegionReader(run_dir, region, root) for region in kept]
            hits: list[Hit] = []
            told, percent, problem = time.monotonic(), 0, ""
            for step in search(found.pattern, objects, readers, found.cancel.is_set):
                hits += step.hits
                percent = step.done * 100 // max(1, step.total)
                problem = step.problem or problem
                if time.monotonic() - told >= _TELL_S:
                    self.post_message(self.Progressed(found, hits, percent, problem, False))
                    hits, told = [], time.monotonic()
            self.post_message(self.Progressed(found, hits, 100, problem, True))

        self.run_worker(work, thread=True, group="memory search", exit_on_error=False)

    def on_searched_memory_progressed(self, event: Progressed) -> None:
        """Take what was found; the first hit is gone to."""
        event.stop()
        found = event.search
        if found is not self._search:
            return
        found.hits += event.hits
        found.percent, found.problem, found.running = event.percent, event.problem, not event.ended
        if found.at < 0 and found.hits:
            self._go_to_hit(0)
        self.post_message(self.Retitled())

    def _go_to_hit(self, number: int) -> None:
        found, rows = self._search, self.rows
        if found is None or not isinstance(rows, MemoryRows):
            return
        found.at = number
        hit = found.hits[number]
        sections = rows.objects if hit.kind == "object" else rows.regions
        if hit.number < len(sections):
            self.mark_spans(rows.spans(sections[hit.number], hit.address, len(found.pattern)))

    def action_step_hit(self, step: int) -> None:
        """Go to the next hit (1) or the one before (-1)."""
        found = self._search
        if found is not None and found.hits:
            self._go_to_hit((found.at + step) % len(found.hits))
        self.post_message(self.Retitled())
