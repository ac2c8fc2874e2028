"""The lines in which a filter or a search is typed; the list follows every key."""

from __future__ import annotations

from textual.widgets import Input

from triage_tui.ui.calls_filter import HINT
from triage_tui.ui.panes.base import Pane
from triage_tui.ui.panes.runs import RunsPane
from triage_tui.ui.panes.syscalls import SyscallsPane
from triage_tui.ui.runs_filter import advice
from triage_tui.ui.widgets.typed_line import TypedLine

_RUNS = "text  reason:exit  cause:missing  state:waiting  arch:mips  target:udhcpc  since:1h  -state:ended"


class FilterLine(TypedLine):
    """Enter keeps the filter, Escape drops it."""

    KEYS = (("⏎", "keep the filter", "keep"), ("esc", "no filter", "drop"), ("↓", "to the rows", "keep"))

    def __init__(self, pane: RunsPane | SyscallsPane) -> None:
        super().__init__(pane, "/", _RUNS if isinstance(pane, RunsPane) else HINT, pane.filter_text)
        self._pane = pane
        if isinstance(pane, RunsPane):
            pane.begin_filter()
        self._show = pane.type_filter if isinstance(pane, RunsPane) else pane.set_filter

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter as it is typed."""
        event.stop()
        if self.ended:
            return
        self._show(self.typed)
        if isinstance(self._pane, SyscallsPane):
            self.tell(self._pane.filter_problem)
        elif self.typed:
            self.tell(*advice(self.typed, self._pane.list.values))
        else:
            self.tell("")
        self.main.refresh_bars()

    def action_keep(self) -> None:
        """Go to the list; what was typed at once with Enter has not been told yet."""
        if self.typed != self._pane.filter_text:
            self._show(self.typed)
        super().action_keep()

    def action_drop(self) -> None:
        """Go to the list without a filter."""
        self._show("")
        super().action_drop()


class SearchLine(TypedLine):
    """Enter keeps the search, so that its hits can be stepped through; Escape ends it."""

    KEYS = (("⏎", "keep, then n and N step", "keep"), ("esc", "back to where it began", "drop"))

    def __init__(self, pane: Pane) -> None:
        super().__init__(pane, "/", pane.SEARCH_HINT, pane.search_text)
        self._pane = pane

    def on_input_changed(self, event: Input.Changed) -> None:
        """Search as it is typed."""
        event.stop()
        if self.ended:
            return
        self._pane.set_search(self.typed)
        found = "" if not self.typed or "not found" not in self._pane.search_note else "Not found."
        self.tell(found)
        self.main.refresh_bars()

    def action_keep(self) -> None:
        """Go to the rows; what was typed at once with Enter has not been told yet."""
        if self.typed != self._pane.search_text:
            self._pane.set_search(self.typed)
        super().action_keep()

    def action_drop(self) -> None:
        """Go to where the search began."""
        self._pane.set_search("")
        self._pane.move_to(self._pane.search_began)
        super().action_drop()
