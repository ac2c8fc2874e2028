"""What is typed takes effect in the order in which it was typed, however fast it comes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from textual import events

from triage_tui.text import safe_block
from triage_tui.ui.base_app import BaseApp
from triage_tui.ui.widgets.line_view import LineView

_OPENING_S = 2.0
"""How long a key waits for a question that opens."""


class KeysInOrder(BaseApp):
    """The part of the app that gives keys and pasted text to what has the focus."""

    @property
    def is_main(self) -> bool:
        """Whether nothing lies over the main screen."""
        raise NotImplementedError

    async def typed_ahead(self, event: events.Key) -> bool:
        """Give a key to an open line to type into that has not the focus; return whether there is one."""
        raise NotImplementedError

    async def on_event(self, event: events.Event) -> None:
        """Make pasted text safe before any input sees it, and take keys in the order they were typed."""
        if isinstance(event, events.Paste):
            event.text = safe_block(event.text, max_lines=5000)
        if (
            isinstance(event, events.Key | events.Paste)
            and not event.is_forwarded
            and await self._taken_at_once(event)
        ):
            # The next key waits in the queue of the app, but what this one led to is drawn and read.
            await asyncio.sleep(0)
        else:
            await super().on_event(event)

    async def _taken_at_once(self, event: events.Key | events.Paste) -> bool:
        """Do what a key is for before the next one is looked at; return whether it is for something here.

        Textual passes a key through the queues of the focused widget and all around it. In a burst (typed
        ahead, pasted, on a slow line) the keys behind one that opens or ends a line to type into would go to
        where the focus was.
        """
        if not self.screen.is_mounted:
            # A question that was just opened: only then is known what in it has the focus.
            with contextlib.suppress(TimeoutError):
                # One that fails while it opens is taken away by this same queue.
                await asyncio.wait_for(self.screen._mounted_event.wait(), _OPENING_S)
        focused = self.focused
        take_text: Callable[[str], None] | None = getattr(focused, "take_text", None)
        if isinstance(event, events.Paste):
            if take_text is not None:
                take_text(event.text)
            return take_text is not None
        if take_text is None and not self.is_main and not isinstance(focused, LineView):
            return False
        if await self._check_bindings(event.key, priority=True):
            return True
        if take_text is not None and event.is_printable and event.character is not None:
            take_text(event.character)
            return True
        if await self.typed_ahead(event):
            return True
        return await self._check_bindings(event.key)
