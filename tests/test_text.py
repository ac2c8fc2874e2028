import unicodedata

import pytest

from triage_tui.text import number_of, safe_block, safe_line, safe_name, shown_block, shown_line

ATTACKS = [
    b"\x1b]52;c;ZXZpbA==\x07",
    b"\x1b]0;title\x1b\\",
    b"\x1b]8;;http://x\x07click\x1b]8;;\x07",
    b"\x1b]10;#000\x07\x1b]112\x07",
    b"\x1b]unterminated",
    b"\x1bc\x1b[6n\x1b[2J\x1b[?1049h",
    b"\x1bP+q\x1b\\\x1b_apc\x1b\\\x1b^pm\x1b\\",
    "\x9b31m\x9d52;c;x\x9c\x90\x98".encode(),
    b"\x9b31m\x9d\x90",
    "\u202e\u2066evil\u2069\u200f\u061c".encode(),
    ("a" + "\u0301" * 5000).encode(),
    ("\u200b\u200d\ufeff\u2060" * 1000).encode(),
    b"\x00\x07\x08\x0b\x0c\x0e\x7f",
    b"\xff\xfe\xc0\x80\xed\xa0\x80",
    "\U000e0041\ufe0f\ue000\uffff\u2028\u2029\u0378".encode(),
]


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("as_text", [False, True])
def test_nothing_unprintable_comes_through(attack: bytes, as_text: bool) -> None:
    data: bytes | str = attack.decode("utf-8", "surrogateescape") if as_text else attack
    for shown in (safe_line(data), safe_block(data)):
        for char in shown.replace("\n", ""):
            assert unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
        shown.encode("utf-8")


def test_escapes_are_visible() -> None:
    assert safe_line(b"a\x1b[0mb\n\tc\xff") == r"a\x1b[0mb\n\tc\xff"
    assert safe_line("x\u202ey") == r"x\u202ey"


def test_plain_text_is_untouched() -> None:
    for text in ("open(/etc/x) = -1", "Grüße, 世界", "e\u0301", "[@click=app.quit]x[/]", ""):
        assert safe_line(text) == text


def test_combining_floods_are_cut_short() -> None:
    shown = safe_line("a" + "\u0301" * 10)
    assert shown.startswith("a" + "\u0301" * 3 + r"\u0301")


def test_marks_of_other_scripts_are_counted_too() -> None:
    for mark in ("\u1161", "\u0903", "\u20dd", "\ud7b0"):
        assert safe_line("a" + mark * 50).count(mark) <= 3


@pytest.mark.parametrize("sign", "✓✔✗✘◉○●▶▸◆■☐☑•│╭─█⏎⌫√⬤﷽𒐫⸻🔘🔴🗹🟢🇩🏽⣿")
def test_the_signs_of_the_program_are_escapes_in_text_from_outside(sign: str) -> None:
    for shown in (safe_line(f"a{sign}b"), safe_block(f"a{sign}b".encode())):
        assert sign not in shown
        assert shown.isascii()
    assert shown_line(f"{sign} approved") == f"{sign} approved"
    assert shown_block(f"{sign} a\nb") == f"{sign} a\nb"
    assert shown_line("\x1b[31m\u202e") == r"\x1b[31m\u202e"


def test_other_scripts_and_pictures_stay() -> None:
    for text in ("Ἑλλάς → 世界", "שלום עולם", "नमस्ते", "👩 💻", "½ €"):
        assert safe_line(text) == text


def test_long_lines_are_bounded_and_say_so() -> None:
    for data in (b"x" * 1_000_000, "x" * 1_000_000, b"\x1b" * 1_000_000):
        shown = safe_line(data, 100)
        assert len(shown) <= 110
        assert "…(+" in shown


def test_blocks_keep_their_lines_and_bound_them() -> None:
    assert safe_block(b"a\r\nb\tc\n") == "a\nb    c\n"
    assert safe_block(b"x\n" * 100, max_lines=3) == "x\nx\nx\n…(+98 lines)"


@pytest.mark.parametrize(
    ("name", "safe"),
    [("../../etc/x", "_.._etc_x"), ("", "_"), ("...", "_"), ("a b\x1b", "a_b_"), ("ok-1.bin", "ok-1.bin")],
)
def test_names_are_safe_for_files(name: str, safe: str) -> None:
    assert safe_name(name) == safe


def test_a_number_is_followed_by_the_right_form() -> None:
    assert [number_of(count, "line") for count in (0, 1, 2)] == ["0 lines", "1 line", "2 lines"]
    assert number_of(1, "call is", "calls are") == "1 call is"
    assert number_of(7, "call is", "calls are") == "7 calls are"
