"""Labels over everything that one can jump to: typing one goes there."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Static

from triage_tui.ui.jumping import Goal, goals, labels
from triage_tui.ui.screens.modal import Modal

if TYPE_CHECKING:
    from triage_tui.ui.screens.main import MainScreen


class _Label(Static):
    """A label at its place; a click is the same as typing it."""

    def __init__(self, text: str, goal: Goal) -> None:
        super().__init__(Content(text), classes="jump-label")
        self.text, self.goal = text, goal
        self.styles.offset = (goal.x, goal.y)

    def on_click(self) -> None:
        """Go there."""
        cast("Jump", self.screen).dismiss(self.goal)


class Jump(Modal[Goal | None]):
    """The labels. Dismissed with the goal, or None when the person leaves."""

    CSS_PATH = "../styles/jump.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "leave", show=False)]

    def __init__(self, main: MainScreen) -> None:
        super().__init__()
        self._main = main
        self._typed = ""

    def compose(self) -> ComposeResult:
        """Put a label on each goal, and say at the foot what to do."""
        found = goals(self._main)
        for text, goal in zip(labels(len(found)), found, strict=False):
            yield _Label(text, goal)
        yield Static(Content(" type a label to go there   esc leave "), id="jump-keys")

    async def on_resize(self, event: events.Resize) -> None:
        """Put the labels where the goals are now."""
        if self.is_mounted and self.query(_Label):
            self._typed = ""
            self._main.call_after_refresh(self.recompose)

    def on_key(self, event: events.Key) -> None:
        """Take a letter of a label."""
        if event.key == "backspace":
            self._typed = self._typed[:-1]
        elif event.character is not None and event.character.isalpha():
            self._typed += event.character.lower()
        else:
            return
        event.stop()
        left = [label for label in self.query(_Label) if label.text.startswith(self._typed)]
        if not left:
            self._typed, left = "", list(self.query(_Label))
        if len(left) == 1 and left[0].text == self._typed:
            self.dismiss(left[0].goal)
            return
        for label in self.query(_Label):
            label.display = label in left
