"""What the terminal sends becomes keys and pasted text."""

from __future__ import annotations

import codecs
import signal
from types import ModuleType

import pytest
from textual import events

from triage_tui.ui.terminal_input import InputDecoder, InputParser, read_safely

KEY = "\x1b[A"
PASTE = "\x1b[200~{}\x1b[201~"


def told(parts: list[str]) -> list[str]:
    """Return the keys by name and the pasted texts in quotes, as the parser tells of them."""
    parser = InputParser()
    found: list[str] = []
    for part in [*parts, ""]:
        for message in parser.feed(part):
            if isinstance(message, events.Key):
                found.append(message.key)
            elif isinstance(message, events.Paste):
                found.append(repr(message.text))
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ab", ["a", "b"]),
        (KEY, ["up"]),
        (PASTE.format("x\ry"), ["'x\\ry'"]),
        (PASTE.format("\x1b aA"), ["'\u241b aA'"]),
        (PASTE.format("\x1b[A\x1b[20\x1b"), ["'\u241b[A\u241b[20\u241b'"]),
        (PASTE.format("\x1b[200~a") + "b", ["'\u241b[200~a'", "b"]),
        (PASTE.format("") + PASTE.format("\x1bq") + KEY, ["''", "'\u241bq'", "up"]),
        ("a" + PASTE.format("\x1b]52;c;eA==\x07") + "a", ["a", "'\u241b]52;c;eA==\\x07'", "a"]),
    ],
)
def test_pasted_text_is_never_keys_however_it_arrives(text: str, expected: list[str]) -> None:
    assert told([text]) == expected
    assert told(list(text)) == expected
    for cut in range(1, len(text)):
        assert told([text[:cut], text[cut:]]) == expected


def test_bytes_that_are_no_text_are_read() -> None:
    driver = ModuleType("driver")
    driver.getincrementaldecoder = codecs.getincrementaldecoder  # type: ignore[attr-defined]
    read_safely(driver)
    decode = driver.getincrementaldecoder("utf-8")().decode
    assert decode(b"a\xff\xe4") + decode(b"\xb8\xadb") == "a\ufffd\u4e2db"


def test_a_terminal_that_is_gone_hangs_up() -> None:
    told: list[signal.Signals] = []
    usual = signal.signal(signal.SIGHUP, lambda number, frame: told.append(signal.Signals(number)))
    try:
        decoder = InputDecoder()
        assert decoder.decode(b"a") == "a"
        assert told == []
        assert decoder.decode(b"") == ""
        assert told == [signal.SIGHUP]
    finally:
        signal.signal(signal.SIGHUP, usual)
