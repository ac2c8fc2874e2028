"""The line in which a filter is typed; the list follows every key."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Input, Static

from triage_tui.ui.panes.runs import RunsPane
from triage_tui.ui.panes.syscalls import SyscallsPane
from triage_tui.ui.screens.main import MainScreen
from triage_tui.ui.widgets.line_view import LineView


class FilterLine(Horizontal):
    """Enter keeps the filter, Escape drops it, Down goes to the list."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "drop", "drop", show=False, priority=True),
        Binding("down", "keep", "list", show=False),
    ]

    def __init__(self, pane: RunsPane | SyscallsPane) -> None:
        super().__init__()
        self._pane = pane

    def compose(self) -> ComposeResult:
        """Show a slash and the field."""
        hint = "text  reason:exit  cause:missing  state:waiting  arch:mips  since:1h"
        calls = "text, for example: open ENOENT"
        yield Static(Content("/"), id="filter-slash")
        yield Input(
            self._pane.filter_text,
            placeholder=hint if isinstance(self._pane, RunsPane) else calls,
            compact=True,
            id="filter-input",
        )

    def on_mount(self) -> None:
        """Type at once."""
        self.query_one(Input).focus()

    async def take(self, event: events.Key) -> bool:
        """Do with a key what the field would have done; True when it was for the field."""
        field = self.query_one(Input)
        if event.is_printable and event.character is not None:
            field.insert_text_at_cursor(event.character)
        elif event.key == "backspace":
            field.action_delete_left()
        elif event.key == "enter":
            self.action_keep()
        elif event.key == "escape":
            self.action_drop()
        else:
            return False
        return True

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter as it is typed."""
        event.stop()
        self._pane.set_filter(event.value)
        self._main.refresh_bars()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keep the filter."""
        event.stop()
        self.action_keep()

    @property
    def _main(self) -> MainScreen:
        screen = self.screen
        assert isinstance(screen, MainScreen)
        return screen

    def action_keep(self) -> None:
        """Go to the list with the filter in force."""
        pane: LineView = self._pane
        self._main.end_filter(self._pane)
        pane.focus()

    def action_drop(self) -> None:
        """Go to the list without a filter."""
        self._pane.set_filter("")
        self._main.end_filter(self._pane)
