"""A field to type into, whose keys take effect in the order they were typed."""

from __future__ import annotations

from collections.abc import Callable

from textual.widgets import Input


class Field(Input):
    """An input that hears Enter at once.

    Textual's input tells of Enter by a message, which the keys typed behind it overtake.
    """

    def __init__(
        self, entered: Callable[[], None], text: str = "", *, hint: str, id: str, most: int = 0
    ) -> None:
        """`entered` is called at Enter; `most` bounds the characters, 0 does not."""
        super().__init__(text, placeholder=hint, compact=True, select_on_focus=False, max_length=most, id=id)
        self._entered = entered

    def take_text(self, text: str) -> None:
        """Put what was typed or pasted at the cursor: its first line, in place of what is selected."""
        if text:
            self._restart_blink()
            self.replace(text.splitlines()[0], *self.selection)

    def action_submit(self) -> None:  # type: ignore[override]  # Textual's is a coroutine; both are run alike.
        """Take what was typed."""
        self._entered()
