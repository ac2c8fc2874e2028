"""What lies over the panes: questions, sheets, the palette."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textual.await_complete import AwaitComplete
from textual.screen import ModalScreen, ScreenResultType

if TYPE_CHECKING:
    from textual.screen import Screen

    _Base = Screen[Any]
else:
    # No widget: Textual inherits styles from the first base class that is one.
    _Base = object


class DismissedOnce(_Base):
    """A screen that can be told twice to go, as by two keys typed at once; only the first time counts.

    Textual takes away whatever is on top then, in the end the main screen.
    """

    def dismiss(self, result: Any = None) -> AwaitComplete:
        """Go, with a result; nothing when it went already or something lies over it."""
        if not self.is_active:
            return AwaitComplete()
        return super().dismiss(result)


class Modal(DismissedOnce, ModalScreen[ScreenResultType]):
    """A question or sheet over the panes, which takes all keys."""
