"""What is typed takes effect in the order in which it was typed, however fast it comes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from textual import events
from textual.widget import Widget

from triage_tui.text import safe_block
from triage_tui.ui.base_app import BaseApp
from triage_tui.ui.widgets.line_view import LineView

_OPENING_S = 2.0
"""How long a key waits for a question that opens."""
_HEARING_S = 1.0
"""How long a key waits until the one before was heard."""


class KeysInOrder(BaseApp):
    """The part of the app that gives keys and pasted text to what has the focus."""

    @property
    def is_main(self) -> bool:
        """Whether nothing lies over the main screen."""
        raise NotImplementedError

    async def typed_ahead(self, event: events.Key) -> bool:
        """Give a key to an open line to type into that has not the focus; return whether there is one."""
        raise NotImplementedError

    async def ready_for(self, event: events.Key | events.Paste) -> bool:
        """Wait for what keys before this one led to; return False when that makes this one void."""
        raise NotImplementedError

    async def on_event(self, event: events.Event) -> None:
        """Make pasted text safe before any input sees it, and take keys in the order they were typed.

        Textual passes a key through the queues of the focused widget and all around it, and only then looks
        for a binding. In a burst (typed ahead, pasted, on a slow line) keys would overtake each other, and
        one that a question does not know would be done by what is shown when the question is gone.
        """
        if not isinstance(event, events.Key | events.Paste):
            await super().on_event(event)
            return
        if event.is_forwarded:
            # It came back through the queues: what it is bound to was done when it was heard.
            event.stop()
            return
        if isinstance(event, events.Paste):
            event.text = safe_block(event.text, max_lines=5000)
        if not self.screen.is_mounted:
            # A question that was just opened: only then is known what in it has the focus.
            with contextlib.suppress(TimeoutError):
                # One that fails while it opens is taken away by this same queue.
                await asyncio.wait_for(self.screen._mounted_event.wait(), _OPENING_S)
        if not await self.ready_for(event):
            return
        around = self._around()
        if isinstance(event, events.Paste):
            await self._paste(event, around)
        else:
            await self._press(event, around)
        await self._heard(around)

    def _around(self) -> list[Widget]:
        """Return what hears a key: the widget with the focus and what it is in, the screen at the end."""
        focused = self.focused or self.screen
        return [node for node in focused.ancestors_with_self if isinstance(node, Widget)]

    async def _paste(self, event: events.Paste, around: list[Widget]) -> None:
        take_text: Callable[[str], None] | None = getattr(around[0], "take_text", None)
        if take_text is not None:
            take_text(event.text)
        else:
            around[0]._forward_event(event)

    async def _press(self, event: events.Key, around: list[Widget]) -> None:
        if await self._check_bindings(event.key, priority=True):
            return
        focused = around[0]
        take_text: Callable[[str], None] | None = getattr(focused, "take_text", None)
        if take_text is not None and event.is_printable and event.character is not None:
            take_text(event.character)
            return
        if await self.typed_ahead(event):
            return
        screen = self.screen
        if take_text is None and not isinstance(focused, LineView):
            # With the app as its sender it would count as taken when it comes back to the screen.
            event._sender = None
            focused._forward_event(event)
            await self._heard(around)
            if event._stop_propagation or self.screen is not screen:
                return
        await self._check_bindings(event.key)

    async def _heard(self, around: list[Widget]) -> None:
        """Return when a key, and what it set off around it, was taken out of the queues."""
        for node in around:
            heard = asyncio.Event()
            if not node.is_attached or not node.call_later(heard.set):
                continue
            waiting = asyncio.ensure_future(heard.wait())
            # The loop of one that failed has ended.
            ends = [waiting] if node._task is None else [waiting, node._task]
            await asyncio.wait(ends, timeout=_HEARING_S, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                waiting.cancel()
                return
