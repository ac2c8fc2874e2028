"""The line in which an address is typed; the memory pane goes there."""

from __future__ import annotations

from collections.abc import Callable

from triage_tui.errors import TriageError
from triage_tui.ui.addresses import HINT
from triage_tui.ui.widgets.line_view import LineView
from triage_tui.ui.widgets.typed_line import TypedLine


class AddressLine(TypedLine):
    """Enter goes to the address; the line stays while it cannot, so that a slip is mended and not retyped."""

    def __init__(self, view: LineView, go_to: Callable[[str], None]) -> None:
        """`go_to` is called with what was typed, and raises TriageError when there is no going there."""
        super().__init__(view, "go to", HINT)
        self._go_to = go_to

    def action_keep(self) -> None:
        """Go to the address."""
        if self.typed.strip():
            try:
                self._go_to(self.typed)
            except TriageError as error:
                self.main.say(str(error), "warning")
                return
        super().action_keep()
