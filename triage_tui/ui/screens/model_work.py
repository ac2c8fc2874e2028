"""The sheet that shows what the model is doing, while it works in the background."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content

from triage_tui.ui.asked import AskedModel, asked_rows
from triage_tui.ui.rows import ListRows
from triage_tui.ui.screens.help import Sheet
from triage_tui.ui.widgets.field import Field
from triage_tui.ui.widgets.line_view import LineView

_EVERY_S = 1.0


class ModelWork(Sheet):
    """Step, characters, time, budget left, and every line that it told; the work goes on below."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("x", "stop", "stop", show=False)]

    def __init__(self, asked: AskedModel) -> None:
        super().__init__("The model at work", partial(asked_rows, asked), wide=True)
        self.asked = asked

    def on_mount(self) -> None:
        """Follow the work."""
        self.query_one("#help", Vertical).border_subtitle = Content(
            "x stop it   / find   esc leave: it goes on"
        )
        self.set_interval(_EVERY_S, self.show_now)

    def show_now(self) -> None:
        """Show how far it is now; the cursor stays, or stays at the end."""
        view = self.query_one(LineView)
        words = self.query_one("#help-find", Field).value.lower().split()
        at_end = view.cursor >= len(view.rows) - 1
        view.set_rows(ListRows(lambda width: self.found(width, words)))
        if at_end and len(view.rows):
            view.move_to(len(view.rows) - 1)

    def action_stop(self) -> None:
        """Ask the model to stop."""
        self.asked.cancel.set()
        self.show_now()
