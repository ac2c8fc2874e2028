"""Small questions: choose one of a few answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from triage_tui.text import recordable, safe_line
from triage_tui.ui.rows import ListRows, Row
from triage_tui.ui.screens.modal import Modal
from triage_tui.ui.widgets.field import Field
from triage_tui.ui.widgets.line_view import LineView

MAX_TYPED = 200
"""Characters of an answer that is typed."""
_TYPED = "\0typed"


class Question(Modal[str | None]):
    """Ask; dismissed with the chosen answer, or None when the person leaves."""

    ESCAPE: ClassVar[str] = "leave"
    """What escape is called: it decides nothing."""
    CSS_PATH = "../styles/question.tcss"
    # Numbers go no further: below, they go to panes.
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "cancel", "leave", show=False),
        *(Binding(str(n), f"answer({n - 1})", "answer", show=False) for n in range(1, 10)),
    ]

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
            yield Static(Content(f"⏎ choose   esc {self.ESCAPE}"), id="question-keys")

    def on_mount(self) -> None:
        """List the answers."""
        view = self.query_one(LineView)
        rows = [
            Row(((f" {n} ", "key"), (safe_line(text, 120), "")), value)
            for n, (value, text) in enumerate(self._answers, 1)
        ]
        view.styles.height = len(rows)
        view.one_click = True
        view.set_rows(ListRows(lambda width: rows))
        self.set_focus(view)

    async def on_line_view_opened(self, event: LineView.Opened) -> None:
        """Take the answer."""
        await self.action_answer(event.index)

    async def action_answer(self, index: int) -> None:
        """Take an answer, or let one be typed."""
        if index >= len(self._answers):
            return
        if self._answers[index][0] != _TYPED:
            self.dismiss(self._answers[index][0])
            return
        if not self.query(Field):
            hint = f"{self._other}, in your words"
            line = Field(self._typed, hint=hint, id="question-typed", most=MAX_TYPED)
            await self.query_one("#question", Vertical).mount(line, after="#question-answers")
        # At once: what is typed next would be taken for the numbers and keys of the answers.
        self.set_focus(self.query_one(Field))

    def _typed(self) -> None:
        """Take the typed answer; an empty one is none yet."""
        if text := recordable(self.query_one(Field).value).strip():
            self.dismiss(text)

    def action_cancel(self) -> None:
        """Leave without an answer."""
        self.dismiss(None)
