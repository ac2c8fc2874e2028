"""Edit a rule inside the terminal."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static, TextArea

from triage_tui.text import safe_line


class EditorScreen(ModalScreen[str | None]):
    """A plain editor; dismissed with the new text, or None when nothing was to be saved.

    Only text for which `editing.editable_here` holds may be given: the widget draws it as it is.
    """

    CSS_PATH = "../styles/editor.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s,f2", "save", "save", show=False, priority=True),
        Binding("escape", "leave", "leave", show=False, priority=True),
    ]

    def __init__(self, text: str, name: str) -> None:
        super().__init__()
        self._text = text
        self._file = safe_line(name, 120)
        self._warned = False

    def compose(self) -> ComposeResult:
        """Show the editor in a frame."""
        with Vertical(id="editor") as frame:
            frame.border_title = Content(self._file)
            yield TextArea(
                self._text, show_line_numbers=True, tab_behavior="indent", soft_wrap=False, id="editor-text"
            )
            yield Static(Content("f2 or ctrl+s save   esc leave without saving"), id="editor-keys")

    def on_mount(self) -> None:
        """Start typing at once."""
        self.query_one(TextArea).focus()

    def action_save(self) -> None:
        """Leave with the text."""
        text = self.query_one(TextArea).text
        self.dismiss(text if text != self._text else None)

    def action_leave(self) -> None:
        """Leave; the first press warns when there are changes."""
        if self.query_one(TextArea).text != self._text and not self._warned:
            self._warned = True
            self.query_one("#editor-keys", Static).update(
                Content("Not saved. esc again throws the changes away, f2 saves them.")
            )
            return
        self.dismiss(None)
