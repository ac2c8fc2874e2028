"""A scripted peer at work: messages of the guest in, replies out, by the script that a rule gave.

The guest's words are never more than texts to compare with. What came is told in the rules' log, so that a
person learns the protocol that the program speaks.
"""

from __future__ import annotations

from collections.abc import Callable

from triage_tui.rulehost.peer_script import PeerScript, PeerStep, reply_to
from triage_tui.text import safe_line

_LONGEST = 1 << 16
"""Of a stream this much is kept while a message has not come to its end."""
_TOLD = 64
"""Messages of one connection that are told."""
_SHOWN = 160
"""Bytes of a message that are told."""


class Conversation:
    """One connection. Not thread-safe: the thread that reads the connection asks."""

    def __init__(self, script: PeerScript, is_stream: bool, say: Callable[[str], None]) -> None:
        """`is_stream`: messages have no borders of their own. `say` takes a line for the rules' log."""
        self._script = script
        self._name = safe_line(script.name, 120)
        self._is_stream = is_stream
        self._say = say
        self._unread = b""
        self._used: set[int] = set()
        self._next = 0
        self._told = 0

    def respond(self, data: bytes) -> tuple[bytes, bool]:
        """Return the answer to what has come, empty for none, and whether the peer hangs up behind it."""
        if not self._is_stream:
            return self._answer(data, data)
        self._unread += data
        answer, border = b"", self._script.border
        while self._unread:
            if border:
                message, found, rest = self._unread.partition(border)
                if not found and len(self._unread) < _LONGEST:
                    break
                said, ends = self._answer(message, message + found)
            else:
                if self._may_go_on(self._unread):
                    break
                message = self._first_of(self._unread)
                rest = self._unread[len(message) :]
                said, ends = self._answer(message, message)
            answer, self._unread = answer + said, rest
            if ends:
                return answer, True
        return answer, False

    def _live(self) -> list[tuple[int, PeerStep]]:
        """Return the steps that may answer now, with their places."""
        steps = list(enumerate(self._script.steps))
        if self._script.ordered:
            return steps[self._next : self._next + 1]
        return [(index, step) for index, step in steps if index not in self._used]

    def _may_go_on(self, data: bytes) -> bool:
        """Return whether what has come of a stream begins the text of a step, and fits none before that."""
        for _, step in self._live():
            if self._fits(step, data):
                return False
            if step.fit in ("equals", "starts") and len(step.text) > len(data) and step.text.startswith(data):
                return True
        return False

    def _first_of(self, data: bytes) -> bytes:
        """Return the first message of a stream: an awaited text that others may follow, or all of it."""
        for _, step in self._live():
            if step.fit == "equals" and step.text and data.startswith(step.text):
                return step.text
            if self._fits(step, data):
                return data
        return data

    def _fits(self, step: PeerStep, message: bytes) -> bool:
        text = step.text
        if self._script.border:
            text = text.removesuffix(self._script.border)
        if step.fit == "equals":
            return message == text
        if step.fit == "starts":
            return message.startswith(text)
        return step.fit == "any" or text in message

    def _answer(self, message: bytes, whole: bytes) -> tuple[bytes, bool]:
        for index, step in self._live():
            if self._fits(step, message):
                self._next = index + 1
                if step.once:
                    self._used.add(index)
                said = reply_to(step, whole)
                self._tell(whole, f"reply {index + 1}, {len(said)} bytes")
                return said, step.ends
        self._tell(whole, "no reply fits")
        return b"", False

    def _tell(self, message: bytes, what: str) -> None:
        self._told += 1
        if self._told > _TOLD:
            return
        shown = repr(message[:_SHOWN])[1:] + ("..." if len(message) > _SHOWN else "")
        self._say(f"{self._name} got {len(message)} bytes {shown}: {what}")
        if self._told == _TOLD:
            self._say(f"{self._name}: further messages are not told")
