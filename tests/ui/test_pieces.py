"""Rows made of pieces: they are counted for a width, and made when they are drawn."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from rich.cells import cell_len

from triage_tui.ui.pieces import Piece, PieceRows, all_rows, blank, join
from triage_tui.ui.rows import Row, wrap_parts
from triage_tui.ui.wrapping import Breaking

TEXTS = ("short", "several words that do not fit into one line", "another", "a longer one than the others")


def pieces(made: list[str]) -> list[Piece]:
    """Return a piece for each text, which notes that it was made."""

    def piece(text: str) -> Piece:
        line = Breaking(text)

        def make(width: int) -> Sequence[Row]:
            made.append(text)
            return [Row(((part, ""),), text) for part in line.lines(width)]

        return Piece(make, line.count, text)

    return [piece(text) for text in TEXTS]


def test_nothing_is_made_to_count_to_find_and_to_lay_out_again() -> None:
    made: list[str] = []
    rows = PieceRows(pieces(made))
    rows.layout(20)
    assert len(rows) == 1 + 3 + 1 + 2
    assert rows.place("another") == 4
    assert rows.place("nothing") is None
    assert rows.relayout(10, 5, {}) == (7, {})
    assert made == []
    assert rows.row(2).text == "words that"
    assert made == [TEXTS[1]]
    rows.row(3)
    assert made == [TEXTS[1]]


def test_the_cursor_and_the_marks_stay_on_their_pieces() -> None:
    rows = PieceRows(pieces([]))
    rows.layout(20)
    cursor, marks = rows.relayout(12, 3, {1: None, 2: None, 3: None, 4: (0, 2)})
    assert rows.row(cursor).target == TEXTS[1]
    whole = {index for index, row in enumerate(all_rows(rows, 12)) if row.target == TEXTS[1]}
    assert len(whole) > 3
    another = rows.place("another")
    assert another is not None
    assert {index for index, span in marks.items() if span is None} == whole
    assert marks[another] == (0, 2)
    cursor, marks = rows.relayout(80, cursor, marks)
    assert (cursor, marks) == (1, {1: None, 2: (0, 2)})


def test_groups_without_rows_leave_no_blank_row() -> None:
    one = Piece(lambda width: [Row((("one", ""),))], 1)
    rows = all_rows(PieceRows(join([[], [one], [], [one, blank()]])), 20)
    assert [row.text for row in rows] == ["one", "", "one", ""]
    assert all_rows(PieceRows([]), 20) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "word",
        "two words and some more of them, to and fro",
        "awordthatislongerthanalineofthewidth and others",
        "ends in spaces   ",
        "many    spaces      between the words",
        "exactly8 exactly8 exactly8",
    ],
)
@pytest.mark.parametrize("width", [8, 9, 11, 16, 40])
def test_plain_text_is_broken_as_rows_are(text: str, width: int) -> None:
    line = Breaking(text)
    rows = ["".join(part for part, _ in parts) for parts in wrap_parts([(text, "")], width)]
    assert [one.rstrip() for one in line.lines(width)] == [one.rstrip() for one in rows]
    assert line.count(width) == len(rows)


@pytest.mark.parametrize(
    "text", ["漢字" * 30, "a 漢字 b 漢 字c" * 9, "e\u0301a\u0301 " * 20, "    indented " * 5]
)
@pytest.mark.parametrize("width", [8, 9, 13, 30])
def test_wide_and_joined_characters_stay_whole_within_the_width(text: str, width: int) -> None:
    lines = Breaking(text).lines(width)
    assert len(lines) == Breaking(text).count(width)
    assert all(cell_len(line) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_an_indent_stays() -> None:
    assert Breaking("    of code").lines(20) == ["    of code"]
    assert Breaking("    of code, which goes on").lines(12) == ["    of code,", "which goes", "on"]
