"""What the terminal sends: pasted text never acts as keys, and bytes that are no text never end the app.

Textual reads escape sequences also inside a bracketed paste and makes keys of those that it does not know, so
that a text from a hostile clipboard could approve a rule. Bytes that are not UTF-8 (a paste in Latin-1, a
meta key with the eighth bit, a mouse in the first protocol of xterm) raise an error in its reading thread.
Bracketed paste: xterm, "XTerm Control Sequences".
"""

from __future__ import annotations

import codecs
import os
import signal
import time
from collections.abc import Iterable
from types import ModuleType
from typing import TYPE_CHECKING

from textual._xterm_parser import XTermParser
from textual.message import Message

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_START, _END = "\x1b[200~", "\x1b[201~"
_HANG_UP_S = 0.5
_SHOWN_ESCAPE = "\N{SYMBOL FOR ESCAPE}"


class InputParser(XTermParser):
    """Textual's parser of what a terminal sends, given pasted text without escape characters."""

    def __init__(self, debug: bool = False) -> None:
        self._pasting = False
        self._held = ""
        """The end of what was pasted so far, when that may be the first part of the mark at its end."""
        self._before = ""
        """The end of what came outside a paste, which may be the first part of the mark that begins one."""
        super().__init__(debug)

    def feed(self, data: str) -> Iterable[Message]:
        """Parse a part of the input; an empty one ends it."""
        plain = self._plain(data)
        # Where all of it is held back there is nothing to parse yet, but it has not ended either.
        return super().feed(plain) if plain or not data else ()

    def _plain(self, data: str) -> str:
        parts: list[str] = []
        rest = self._held + data
        self._held = ""
        while rest:
            text, rest = self._pasted(rest) if self._pasting else self._typed(rest)
            parts.append(text)
        return "".join(parts)

    def _typed(self, text: str) -> tuple[str, str]:
        """Return what is given on as it is, and what follows it."""
        known = self._before + text
        begin = known.find(_START)
        if begin < 0:
            self._before = known[1 - len(_START) :]
            return text, ""
        end = begin + len(_START) - len(self._before)
        self._pasting, self._before = True, ""
        return text[:end], text[end:]

    def _pasted(self, text: str) -> tuple[str, str]:
        """Return what is given on without escape characters, and what follows the paste."""
        end = text.find(_END)
        if end >= 0:
            self._pasting = False
            return text[:end].replace("\x1b", _SHOWN_ESCAPE) + _END, text[end + len(_END) :]
        size = next(size for size in range(len(_END) - 1, -1, -1) if text.endswith(_END[:size]))
        end = len(text) - size
        self._held = text[end:]
        return text[:end].replace("\x1b", _SHOWN_ESCAPE), ""


def read_safely(driver: ModuleType) -> None:
    """Have a module of Textual's with a terminal driver parse and decode its input as described above."""
    for name, ours in (("XTermParser", InputParser), ("getincrementaldecoder", _decoder_for_terminals)):
        if hasattr(driver, name):
            setattr(driver, name, ours)


class InputDecoder(codecs.BufferedIncrementalDecoder):
    """UTF-8 from a terminal: what is none is replaced, and the end of it is a hang-up.

    Textual's reading thread would go on to read nothing, as fast as it can, from a terminal that is gone.
    """

    def __init__(self, errors: str = "replace") -> None:
        super().__init__("replace")

    def _buffer_decode(self, data: ReadableBuffer, errors: str, final: bool) -> tuple[str, int]:
        return codecs.utf_8_decode(data, errors, final)

    def decode(self, data: ReadableBuffer, final: bool = False) -> str:
        """Decode a part; an empty one has the app told that its terminal hung up."""
        if not data:
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(_HANG_UP_S)
        return super().decode(data, final)


def _decoder_for_terminals(encoding: str) -> type[InputDecoder]:
    return InputDecoder
