"""Looking closer on the main screen: other threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual import on

from triage_tui.ui.panes.base import Pane
from triage_tui.ui.screens.links import LinkScreen

if TYPE_CHECKING:
    from triage_tui.ui.panes.registers import RegistersPane


class InspectScreen(LinkScreen):
    """The examining part of the main screen."""

    @property
    def registers(self) -> RegistersPane:
        """The registers pane."""
        return cast("RegistersPane", self.query_one("#pane-registers"))

    @on(Pane.Retitled)
    def pane_retitled(self) -> None:
        """Draw the titles and what stands around the panes again."""
        self.tile_titles()
        self.refresh_bars()

    def action_step_thread(self, step: int) -> None:
        """Show the registers of the next thread (1) or the one before (-1)."""
        if len(self.registers.threads) > 1:
            self.registers.step(step)
        elif self.view is not None:
            self.say("This run holds the registers of one thread only.")
