"""The memory pane: the recorded objects, each with its purpose, and whole regions where they were kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.binding import BindingType
from textual.message import Message
from textual.strip import Strip

from triage_tui.errors import TriageError
from triage_tui.runs.evidence import Link
from triage_tui.runs.memory_model import MemoryRegion
from triage_tui.runs.model import Snapshot
from triage_tui.text import safe_line
from triage_tui.ui.actions import bindings
from triage_tui.ui.kept_memory import MAX_REGIONS, MemoryPages, PageKey
from triage_tui.ui.memory_fields import explanations_of
from triage_tui.ui.memory_objects import ObjectSection
from triage_tui.ui.memory_rows import MemoryRows
from triage_tui.ui.memory_sections import At, RegionSection
from triage_tui.ui.panes.memory_search import SearchedMemory
from triage_tui.ui.region_meanings import give_meanings
from triage_tui.ui.rows import Rows
from triage_tui.ui.run_view import RunView
from triage_tui.ui.widgets.line_view import LineView


def _name_of(snapshot: Snapshot, region: MemoryRegion) -> str:
    """Return the name of the mapping that a region without a name was."""
    if region.name:
        return ""
    process = next((one for one in snapshot.processes if one.pid == region.pid), None)
    maps = snapshot.maps if process is None or process.looked_at else process.maps
    return next((one.name for one in maps if one.start <= region.start < one.end), "")


class MemoryPane(SearchedMemory):
    """Recorded memory."""

    NAME: ClassVar[str] = "memory"
    KINDS: ClassVar[tuple[str, ...]] = ("mem",)
    EMPTY: ClassVar[str] = "No memory was recorded."
    SEARCH_HINT: ClassVar[str] = "text, or bytes: de ad be ef; n and N go from hit to hit"
    NOTE_CELLS: ClassVar[int] = 44
    BINDINGS: ClassVar[list[BindingType]] = bindings("memory")

    @dataclass
    class PagesRead(Message):
        """Pages of kept memory came from the disk."""

        pages: MemoryPages
        found: dict[PageKey, bytes | str]

    def __init__(self) -> None:
        super().__init__()
        self._pages = MemoryPages([])
        self._regions: list[RegionSection] = []
        self._reading = False

    @property
    def title_note(self) -> str:
        """Where the cursor is."""
        row = self.current
        if row is None or not isinstance(row.target, At):
            return ""
        return f"{row.target.address:#x} · {row.target.name.rsplit('/', 1)[-1]}"

    def forget(self) -> None:
        """Drop the pages of the run shown before."""
        super().forget()
        self._regions = []

    def build(self, view: RunView) -> Rows:
        """Return the objects and the regions as rows; what was read of the same regions is kept."""
        regions = view.snapshot.memory_regions[:MAX_REGIONS]
        if [section.region for section in self._regions] != regions:
            self._pages = MemoryPages(view.run.region_readers())
            self._regions = [
                RegionSection(number, region, self._pages, _name_of(view.snapshot, region))
                for number, region in enumerate(regions)
            ]
        explained = view.explanations
        if len(explained) != len(view.memory):
            explained = explanations_of(view)
        give_meanings(view, self._regions, {at: one for told in explained for at, one in told.fields.items()})
        objects = [ObjectSection(item, told) for item, told in zip(view.memory, explained, strict=True)]
        return MemoryRows(objects, self._regions)

    # --- pages: asked for while rows are drawn, read in a thread -----------------------------------------

    def render_line(self, y: int) -> Strip:
        """Draw a row, and have read what it lacks."""
        strip = super().render_line(y)
        if self._pages.wanting and not self._reading:
            self._reading = True
            self.call_later(self._read)
        return strip

    def _read(self) -> None:
        pages, wanted = self._pages, self._pages.take_wanted()

        def work() -> None:
            self.post_message(self.PagesRead(pages, pages.read(wanted)))

        self.run_worker(work, thread=True, group="pages", exit_on_error=False)

    def on_memory_pane_pages_read(self, event: PagesRead) -> None:
        """Take what was read; rows drawn meanwhile may want more."""
        event.stop()
        self._reading = False
        event.pages.keep(event.found)
        self.refresh()

    def action_edge(self, last: int) -> None:
        """Go to the first (0) or last (1) row of the object or region; from there, to that of all."""
        rows = self.rows
        if isinstance(rows, MemoryRows) and (place := rows.ends(self.cursor)[last]) != self.cursor:
            self.move_to(place)
        else:
            super().action_edge(last)

    # --- places ------------------------------------------------------------------------------------------

    def on_line_view_moved(self, event: LineView.Moved) -> None:
        """Say in the title where the cursor is."""
        self.post_message(self.Retitled())

    def on_resize(self, event: events.Resize) -> None:
        """Say it again: the row of the cursor may begin at another address (`LineView` lays the rows out)."""
        self.post_message(self.Retitled())

    @property
    def opens(self) -> bool:
        """A field leads to its bytes, and a stretch of zeros can be shown."""
        if super().opens:
            return True
        row, rows = self.current, self.rows
        if row is None or not isinstance(row.target, At) or not isinstance(rows, MemoryRows):
            return False
        section = rows.region_at(row.target.pid, row.target.address)
        zeros = section.zeros_at(row.target.address) if section is not None else None
        return section is not None and zeros is not None and zeros not in section.opened

    def on_line_view_opened(self, event: LineView.Opened) -> None:
        """Show a stretch of zeros byte by byte."""
        row, rows = self.current, self.rows
        if row is None or not isinstance(row.target, At) or not isinstance(rows, MemoryRows):
            return
        section = rows.region_at(row.target.pid, row.target.address)
        if section is not None and rows.open_zeros(section, row.target.address):
            self.set_rows(rows)
            self.post_message(self.Retitled())

    def go_to(self, address: int, pid: int | None = None, length: int = 1) -> None:
        """Go to an address of a process (default: the one that is looked at) and highlight bytes there.

        Raises:
            TriageError: this memory was not kept; the text says why.
        """
        view, rows = self.view, self.rows
        if view is None or not isinstance(rows, MemoryRows):
            raise TriageError("no run is shown")
        looked_at = next((one.pid for one in view.snapshot.processes if one.looked_at), None)
        section = self._section(rows, address, looked_at if pid is None else pid, looked_at)
        if isinstance(section, RegionSection) and rows.open_zeros(section, address):
            self.set_rows(rows)
        spans = rows.spans(section, address, length)
        self.mark_spans(spans)
        self.post_message(self.Retitled())

    def _section(
        self, rows: MemoryRows, address: int, pid: int | None, looked_at: int | None
    ) -> ObjectSection | RegionSection:
        """Return what holds an address: a kept region before an object."""
        region = rows.region_at(pid if pid is not None else 0, address)
        why = region.missing(address) if region is not None else None
        if region is not None and why is None:
            return region
        if pid == looked_at:
            for section in rows.objects:
                if section.item.entry.addr <= address < section.end:
                    return section
        raise TriageError(self._not_kept(address, pid, looked_at, why))

    def _not_kept(self, address: int, pid: int | None, looked_at: int | None, why: str | None) -> str:
        """Return a sentence that says why there are no bytes of an address."""
        assert self.view is not None
        snapshot = self.view.snapshot
        whose = "" if pid is None or pid == looked_at else f" of process {pid}"
        if why is not None:
            return f"The memory at {address:#x}{whose} was not kept: {safe_line(why, 200)}."
        process = next((one for one in snapshot.processes if one.pid == pid), None)
        if pid is not None and pid != looked_at and process is None:
            return f"This run has no process {pid}."
        maps = process.maps if process is not None and pid != looked_at else snapshot.maps
        mapping = next((one for one in maps if one.start <= address < one.end), None)
        if mapping is None:
            return f"Nothing is mapped at {address:#x}{whose}."
        name = safe_line(mapping.path or mapping.name or "anonymous memory", 80)
        if snapshot.memory_regions:
            return f"The memory at {address:#x}{whose} ({name}) was not kept."
        return (
            f"The memory at {address:#x}{whose} ({name}) was not kept: only pieces were, and"
            " `triage-tui run --memory full` keeps all."
        )

    def reveal(self, link: Link) -> bool:
        """Go to an object, and to a range of its bytes when the link has one; or to an address."""
        rows = self.rows
        if not isinstance(rows, MemoryRows):
            return False
        section = next((one for one in rows.objects if one.item.entry.id == link.id), None)
        if section is None:
            return self._reveal_address(link)
        start = section.item.entry.addr
        if link.offset is None:
            self.mark(rows.start(section))
            return True
        spans = rows.spans(section, start + link.offset, link.length or 1)
        self.mark_spans(spans)
        return bool(spans)

    def _reveal_address(self, link: Link) -> bool:
        """Follow a link to kept memory, `[<pid>@]0x<address>`."""
        pid, _, text = link.id.rpartition("@")
        try:
            address = int(text, 16) + (link.offset or 0)
            owner = int(pid) if pid else None
        except ValueError:
            return False
        self.go_to(address, owner, link.length or 1)
        return True
