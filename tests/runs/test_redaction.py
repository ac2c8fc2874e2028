"""What is masked in a report or a bundle, and what is left as it is."""

from __future__ import annotations

import msgspec
import pytest

from triage_tui.runs.redaction import Redaction
from triage_tui.runs.secrets import MASK


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("API_KEY=abc123 PATH=/bin", f"API_KEY={MASK} PATH=/bin"),
        ('password="abc def"', f'password="{MASK} def"'),
        ("prog --password hunter2 -v", f"prog --password {MASK} -v"),
        ("prog --wifi-psk=secretword", f"prog --wifi-psk={MASK}"),
        ("Authorization: Basic dXNlcjpwdw==", f"Authorization: {MASK}"),
        ("GET http://me:pw@host/x", f"GET http://{MASK}@host/x"),
        ("the word is correct-horse, twice correct-horse", f"the word is {MASK}, twice {MASK}"),
        ("openat(AT_FDCWD, x) = -1 ENOENT", "openat(AT_FDCWD, x) = -1 ENOENT"),
        ("--verbose yes KEYMAP=us", "--verbose yes KEYMAP=us"),
        ("local token = next()", "local token = next()"),
    ],
)
def test_texts(text: str, shown: str) -> None:
    redaction = Redaction(["correct-horse", "1"])
    assert redaction.text(text) == shown
    assert redaction.found_in(text) == (text != shown)
    assert (redaction.count > 0) == (text != shown)


def test_values_in_json() -> None:
    redaction = Redaction(['quo"ted\\value'])
    value = {"argv": ["x", "--password", "abc", "--token"], "said": 'it was quo"ted\\value', "n": 5}
    assert redaction.found_in(msgspec.json.encode(value).decode())
    assert redaction.value(value) == {
        "argv": ["x", "--password", MASK, "--token"],
        "said": f"it was {MASK}",
        "n": 5,
    }
    assert redaction.count == 2


def test_switched_off_nothing_is_masked() -> None:
    redaction = Redaction(["correct-horse"], off=True)
    assert redaction.text("PASSWORD=correct-horse") == "PASSWORD=correct-horse"
    assert redaction.value(["--password", "correct-horse"]) == ["--password", "correct-horse"]
    assert not redaction.found_in_bytes(b"PASSWORD=correct-horse")
