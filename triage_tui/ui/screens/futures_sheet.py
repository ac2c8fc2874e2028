"""Both futures of a rule, and the keys that approve it on what was seen, or look again."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content

from triage_tui.runs.trials_model import Counterfactual
from triage_tui.ui.futures_rows import futures_rows
from triage_tui.ui.screens.help import Sheet


class FuturesSheet(Sheet):
    """What was seen of rules with and without them."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "approve", "approve", show=False),
        Binding("b", "again", "run both again", show=False),
    ]

    def __init__(
        self, found: Counterfactual, title: str, approve: Callable[[], None], again: Callable[[], None]
    ) -> None:
        super().__init__(title, partial(futures_rows, found), wide=True)
        self._approve, self._again = approve, again

    def on_mount(self) -> None:
        """Say what can be done."""
        keys = "a approve on this   b run both again   / find   esc leave"
        self.query_one("#help", Vertical).border_subtitle = Content(keys)

    def action_approve(self) -> None:
        """Approve the rules that were seen."""
        self.dismiss(None)
        self._approve()

    def action_again(self) -> None:
        """Run both futures again."""
        self.dismiss(None)
        self._again()
