"""A text area for Lua: coloured, with the lines marked at which something is wrong.

Textual has no grammar for Lua, so Pygments colours the lines as they are drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.style import Style
from rich.text import Text
from textual.widgets import TextArea

from triage_tui.ui.highlight import lua_lines
from triage_tui.ui.roles import Roles, roles_of
from triage_tui.ui.rows import Part

if TYPE_CHECKING:
    from triage_tui.rulebook.check.lint import Severity

MAX_COLOURED = 24 << 10
"""Characters of a text that is coloured while it is typed: beyond that a key would take too long."""

_MARKS = {"error": Style(underline=True, bold=True), "warning": Style(underline=True)}


class LuaArea(TextArea):
    """An editor for a rule."""

    def __init__(self, text: str, *, id: str | None = None) -> None:
        super().__init__(text, show_line_numbers=True, tab_behavior="indent", soft_wrap=False, id=id)
        self._coloured: dict[int, tuple[Part, ...]] = {}
        self._roles: Roles | None = None
        self._marked: Mapping[int, Severity] = {}
        self._colour()

    def _colour(self) -> None:
        # Pieces are matched with the line before they are drawn: a text that is ahead of them is drawn plain.
        lines = [self.document.get_line(index) for index in range(self.document.line_count)]
        short = len(self.text) <= MAX_COLOURED
        self._coloured = dict(enumerate(lua_lines(lines))) if short else {}

    def on_text_area_changed(self) -> None:
        """Colour the text anew."""
        self._colour()
        self.notify_style_update()
        self.refresh()

    def notify_style_update(self) -> None:
        """Forget the colours of the theme before, and the lines that were drawn with them."""
        super().notify_style_update()
        self._roles = None

    def set_marks(self, marked: Mapping[int, Severity]) -> None:
        """Mark lines, counted from 1."""
        self._marked = dict(marked)
        self.notify_style_update()
        self.refresh()

    def get_line(self, line_index: int) -> Text:
        """Return a line in colours."""
        text = super().get_line(line_index)
        parts = self._coloured.get(line_index, ())
        if "".join(part for part, _ in parts) == text.plain:
            self._roles = self._roles or roles_of(self.app)
            start = 0
            for part, role in parts:
                if role:
                    text.stylize(self._roles.style(role), start, start + len(part))
                start += len(part)
        if (severity := self._marked.get(line_index + 1)) is not None:
            text.stylize(_MARKS[severity])
        return text
