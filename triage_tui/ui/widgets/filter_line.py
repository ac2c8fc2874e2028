"""The line in which a filter is typed; the list follows every key."""

from __future__ import annotations

from textual.widgets import Input

from triage_tui.ui.calls_filter import HINT
from triage_tui.ui.panes.runs import RunsPane
from triage_tui.ui.panes.syscalls import SyscallsPane
from triage_tui.ui.widgets.typed_line import TypedLine

_RUNS = "text  reason:exit  cause:missing  state:waiting  arch:mips  since:1h"


class FilterLine(TypedLine):
    """Enter keeps the filter, Escape drops it."""

    def __init__(self, pane: RunsPane | SyscallsPane) -> None:
        super().__init__(pane, "/", _RUNS if isinstance(pane, RunsPane) else HINT, pane.filter_text)
        self._pane = pane

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter as it is typed."""
        event.stop()
        self._pane.set_filter(event.value)
        if isinstance(self._pane, SyscallsPane):
            self.tell(self._pane.filter_problem)
        self.main.refresh_bars()

    def action_drop(self) -> None:
        """Go to the list without a filter."""
        self._pane.set_filter("")
        super().action_drop()
