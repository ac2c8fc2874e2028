"""A line at the foot of the main screen in which something is typed: a filter, an address."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Static

from triage_tui.text import safe_line
from triage_tui.ui.widgets.field import Field
from triage_tui.ui.widgets.line_view import LineView

if TYPE_CHECKING:
    from triage_tui.ui.screens.main import MainScreen


class TypedLine(Horizontal):
    """Enter accepts what was typed, Escape drops it, Down goes to the list that it is about."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "drop", "drop", show=False, priority=True),
        Binding("down", "keep", "list", show=False),
    ]

    KEYS: ClassVar[tuple[tuple[str, str, str], ...]] = (("⏎", "go there", "keep"), ("esc", "leave", "drop"))
    """What the footer says of the keys while the line is open: key, words, action."""

    def __init__(self, view: LineView, sign: str, hint: str, text: str = "") -> None:
        """`sign` stands in front of the field, `hint` in the field while it is empty."""
        super().__init__()
        self._view, self._sign = view, sign
        self.field = Field(self.action_keep, text, hint=hint, id="typed-input")
        self.ended = False
        """Whether it was left; what the field still tells then is out of date."""

    def compose(self) -> ComposeResult:
        """Show the sign and the field."""
        yield Static(Content(self._sign), id="typed-sign")
        yield self.field
        yield Static(id="typed-note")

    def tell(self, sentence: str, wrong: bool = True) -> None:
        """Say beside the field what is wrong with what was typed, or could be; "" takes it away."""
        note = self.query_one("#typed-note", Static)
        # Its width does not depend on the text, so that no key lays the whole screen out again.
        note.update(Content(safe_line(sentence, 200)), layout=False)
        note.set_class(not wrong, "-hint")
        note.display = bool(sentence)

    async def take(self, event: events.Key) -> bool:
        """Do with a key what the field would have done; True when it was for the field."""
        if event.is_printable and event.character is not None:
            self.field.take_text(event.character)
        elif event.key == "backspace":
            self.field.action_delete_left()
        elif event.key == "enter":
            self.action_keep()
        elif event.key == "escape":
            self.action_drop()
        else:
            return False
        return True

    @property
    def typed(self) -> str:
        """What was typed."""
        return self.field.value

    @property
    def main(self) -> MainScreen:
        """The screen below."""
        return cast("MainScreen", self.screen)

    def action_keep(self) -> None:
        """Accept what was typed, and go to the list."""
        self._end()

    def action_drop(self) -> None:
        """Go to the list as it was."""
        self._end()

    def _end(self) -> None:
        self.ended = True
        self.main.end_typing(self._view)
