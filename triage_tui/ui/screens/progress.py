"""What a long action is doing, over everything else; escape stops it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from triage_tui.text import safe_line
from triage_tui.ui.screens.modal import Modal

if TYPE_CHECKING:
    from triage_tui.ui.app import TriageApp


class Progress(Modal[None]):
    """A line that says how far an action is, from the first `tell` on."""

    CSS_PATH = "../styles/question.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "cancel", "stop", show=False)]

    def __init__(self, doing: str) -> None:
        """`doing` is a word for the action: "Copying"."""
        super().__init__()
        self._doing = safe_line(doing, 120)
        self._far = ""
        self._shown = False
        self._ready = False
        self._ended = False
        self.cancel = threading.Event()
        """Set when the person wants it to stop."""

    def compose(self) -> ComposeResult:
        """Show the action, how far it is, and the key that stops it."""
        with Vertical(id="question"):
            yield Static(Content(self._words), id="question-text")
            yield Static(Content("esc stops it"), id="question-keys")

    def on_mount(self) -> None:
        """Leave at once when the action ended before this came up."""
        self._ready = True
        # What was told since it was composed.
        self.query_one("#question-text", Static).update(Content(self._words))
        if self._ended:
            self.call_after_refresh(self._leave)

    def _leave(self) -> None:
        self.dismiss(None)

    @property
    def _words(self) -> str:
        return f"{self._doing}: {self._far}" if self._far else f"{self._doing} …"

    def tell(self, app: TriageApp, far: str) -> None:
        """Say how far it is; the first time brings it up."""
        self._far = safe_line(far, 120)
        if self._ended:
            return
        if not self._shown:
            self._shown = True
            app.push_screen(self)
        elif self.is_mounted:
            self.query_one("#question-text", Static).update(Content(self._words))

    def action_cancel(self) -> None:
        """Ask the action to stop."""
        self.cancel.set()

    def close(self) -> None:
        """Take it away when the action has ended."""
        self._ended = True
        # Before it is mounted it cannot be taken away: it would be drawn all the same, and stay.
        if self._ready and self.is_attached:
            self.dismiss(None)
