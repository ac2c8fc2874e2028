"""What detect-secrets is asked for: keys of services and random words are masked, our own hashes are not."""

from __future__ import annotations

import hashlib
import string

import pytest

from triage_tui.runs.redaction import Redaction
from triage_tui.runs.secret_scan import is_random_word, keys_in
from triage_tui.runs.secrets import MASK

# None of these is or was a key: they are put together here, so that nobody who searches finds one.
_LETTERS = "q7Zx2LmP9sVt4KcW8hYb3NgR6dFj1TuA5oQe"
_JWT = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0." + _LETTERS + "r8U"


@pytest.mark.parametrize(
    ("before", "secret", "behind"),
    [
        ("found ", "AKIA" + "Q7ZX2LMP9SVT4KCW", " here"),
        ("push with ", "ghp_" + _LETTERS, "\n"),
        ("x ", "glpat-" + _LETTERS[:20], " y"),
        ("Sent ", _JWT, " to h"),
        ("post https://", "hooks.slack.com/services/T0ABCDEF/B0ABCDEF/" + _LETTERS[:24], " x"),
        ("use ", "sk_live_" + _LETTERS[:24], ". "),
        ("bot ", "123456789:" + _LETTERS[:35], " "),
        ("AccountName=x;", "AccountKey=" + (_LETTERS * 3)[:86] + "==", ";"),
        ("twilio ", "SK" + "q7zx2lmp9svt4kcw8hyb3ngr6dfj1tua", " "),
        # A random word in quotes, and one that is all of a text.
        ('seed "', _LETTERS, '"'),
    ],
)
def test_keys_and_random_words_are_masked(before: str, secret: str, behind: str) -> None:
    redaction = Redaction()
    # What is around it, far before and behind, in any script, does not matter.
    for around in ("", "x" * 5000 + "\n", "中文\n" * 3000):
        shown = redaction.text(around + before + secret + behind + around)
        assert secret not in shown
        assert secret[-12:] not in shown, "a part of it is left"
        assert MASK in shown
        assert shown.startswith(around + before[:3])
        assert shown.endswith(around)
    assert redaction.found_in_bytes(b"\0\xff\0" + (before + secret + behind).encode() + b"\0")


@pytest.mark.parametrize(
    "text",
    [
        # Hashes, addresses, run ids, links and the like of a record.
        f'"sha256":"{hashlib.sha256(b"x").hexdigest()}", "prev": "{hashlib.sha1(b"y").hexdigest()}"',
        f"SHA-256: {hashlib.sha256(b'x').hexdigest()}",
        "[open(x) = ENOENT](ev:syscall/34~45af90200418) 20261121_042339_00000001",
        '"file": "memory/trigger_reg_sp_0x407fe3b8.bin", "0x00000000407fe3b8"',
        '"fix/syscall/openat@fix-openat-2a06ace7.lua" "fixopenat2a06ace7fixopenat2a06ace7"',
        "build id 0a1b2c3d4e5f60718293a4b5c6d7e8f901234567",
        # Names that only look random.
        '"_ZNSt8ios_base4InitC1EvE1xYz9AbC" "_RNvCs1234_7mycrate3FooBar9xQz8"',
        '"/usr/lib/arm-linux-gnueabihf/libQt5Core" "CONFIG_USB_SERIAL_FTDI_SIO"',
        '"123e4567-E89b-12d3-a456-426614174000"',
        f'"{string.ascii_uppercase}{string.ascii_lowercase}{string.digits}+/"',
        '"O_RDONLY|O_CLOEXEC|O_LARGEFILE" "SIOCGIFADDR_EADDRNOTAVAIL"',
        "AKIA is a prefix, eyJ begins a token, xox- is none, APPLICATION APACHE2SERVER",
        "",
    ],
)
def test_what_a_record_is_made_of_stays(text: str) -> None:
    redaction = Redaction()
    assert redaction.text(text) == text
    assert redaction.count == 0


def test_values_of_a_record() -> None:
    redaction = Redaction(public=["t" + _LETTERS])
    digest = hashlib.sha256(b"x").hexdigest()
    value = {"sha256": digest, "hashes": [digest], "run_id": "20261121_042339_00000001", "n": 3}
    assert redaction.value(value) == value
    assert redaction.value({"string": _LETTERS, "id": "t" + _LETTERS}) == {
        "string": MASK,
        "id": "t" + _LETTERS,
    }
    # Our own names of fields do not carry a secret past it.
    assert redaction.value({"id": _LETTERS, "hash": "AKIA" + "Q7ZX2LMP9SVT4KCW"}) == {
        "id": MASK,
        "hash": MASK,
    }
    assert redaction.count == 3
    assert not is_random_word("short1A")


def test_a_flood_of_hints_hides_no_key() -> None:
    flood = "eyJAAAAAAAAA." * 20_000
    key = "AKIA" + "Q7ZX2LMP9SVT4KCW"
    assert keys_in(f"{flood} {key} x") == [(len(flood) + 1, len(flood) + 1 + len(key))]
