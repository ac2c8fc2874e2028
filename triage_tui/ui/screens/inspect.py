"""Looking closer on the main screen: other threads, any address."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual import on

from triage_tui.errors import TriageError
from triage_tui.ui.panes.base import Pane
from triage_tui.ui.screens.links import LinkScreen

if TYPE_CHECKING:
    from triage_tui.ui.panes.memory import MemoryPane
    from triage_tui.ui.panes.registers import RegistersPane
    from triage_tui.ui.widgets.typed_line import TypedLine


class InspectScreen(LinkScreen):
    """The examining part of the main screen."""

    @property
    def registers(self) -> RegistersPane:
        """The registers pane."""
        return cast("RegistersPane", self.query_one("#pane-registers"))

    @property
    def memory(self) -> MemoryPane:
        """The memory pane."""
        return cast("MemoryPane", self.query_one("#pane-memory"))

    async def type_into(self, line: TypedLine) -> None:
        """Show a line to type into."""
        raise NotImplementedError

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

    async def action_go_to_address(self) -> None:
        """Ask for an address, and go there in the memory pane."""
        if self.view is None:
            self.say("Select a run first.", "warning")
            return
        from triage_tui.ui.widgets.address_line import AddressLine

        self.show_pane("memory")
        await self.type_into(AddressLine(self.memory, self._go_to_address))

    def _go_to_address(self, text: str) -> None:
        """Go to what a person typed.

        Raises:
            TriageError: it names no address, or what is there was not kept.
        """
        from triage_tui.ui.addresses import find_place

        if self.view is None:
            return
        registers = self.registers
        thread = registers.threads[registers.chosen] if registers.threads else None
        place = find_place(self.view.snapshot, text, thread)
        self._remember()
        try:
            self.memory.go_to(place.address, place.pid)
        except TriageError:
            self.trail.pop()
            raise
