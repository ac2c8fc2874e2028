"""Small questions: choose one of a few answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from triage_tui.text import recordable, safe_line
from triage_tui.ui.rows import ListRows, Row
from triage_tui.ui.widgets.line_view import LineView

MAX_TYPED = 200
"""Characters of an answer that is typed."""
_TYPED = "\0typed"


class Question(ModalScreen[str | None]):
    """Ask; dismissed with the chosen answer, or None when the person leaves."""

    CSS_PATH = "../styles/question.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "cancel", "leave", show=False)]

    def __init__(self, question: str, answers: Sequence[tuple[str, str]], other: str = "") -> None:
        """`answers` are (value, text) pairs; the first is under the cursor.

        `other` is the text of a further answer, which is typed.
        """
        super().__init__()
        self._other = other
        self._question = safe_line(question, 300)
        self._answers = [*answers, *([(_TYPED, f"{other} …")] if other else [])]

    def compose(self) -> ComposeResult:
        """Show the question above its answers."""
        with Vertical(id="question"):
            yield Static(Content(self._question), id="question-text")
            yield LineView(id="question-answers")
            yield Static(Content("⏎ choose   esc leave"), id="question-keys")

    def on_mount(self) -> None:
        """List the answers."""
        view = self.query_one(LineView)
        rows = [
            Row(((f" {n} ", "key"), (safe_line(text, 120), "")), value)
            for n, (value, text) in enumerate(self._answers, 1)
        ]
        view.styles.height = len(rows)
        view.set_rows(ListRows(lambda width: rows))
        view.focus()

    def on_line_view_opened(self, event: LineView.Opened) -> None:
        """Take the answer."""
        self._take(event.index)

    def on_key(self, event: events.Key) -> None:
        """Take the answer of a number. The key goes no further: below, numbers go to panes."""
        if event.character is not None and event.character in "123456789":
            event.stop()
            self._take(int(event.character) - 1)

    def _take(self, index: int) -> None:
        if index >= len(self._answers):
            return
        if self._answers[index][0] != _TYPED:
            self.dismiss(self._answers[index][0])
        elif not self.query(Input):
            line = Input(
                placeholder=f"{self._other}, in your words", max_length=MAX_TYPED, id="question-typed"
            )
            self.query_one("#question", Vertical).mount(line, after="#question-answers")
            line.focus()
        else:
            self.query_one(Input).focus()

    @on(Input.Submitted)
    def typed(self, event: Input.Submitted) -> None:
        """Take the typed answer; an empty one is none yet."""
        if text := recordable(event.value).strip():
            self.dismiss(text)

    def action_cancel(self) -> None:
        """Leave without an answer."""
        self.dismiss(None)
