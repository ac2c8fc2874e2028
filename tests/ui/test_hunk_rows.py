"""Hunks as rows: every line is shown whole, with its sign, and the state of its hunk in words."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from rich.cells import cell_len

from triage_tui.rulebook.choices import State
from triage_tui.rulebook.hunks import compare
from triage_tui.rulebook.shown import caveats, line_text
from triage_tui.ui import hunk_rows
from triage_tui.ui.highlight import lua_lines
from triage_tui.ui.hunk_rows import (
    Place,
    counted,
    difference_pieces,
    fold_parts,
    summary_of,
)
from triage_tui.ui.pieces import BuiltRows, PieceRows, all_rows
from triage_tui.ui.rows import Part, Row
from triage_tui.ui.run_view import RuleText

OLD = b"".join(b"line %d\n" % number for number in range(30))
NEW = OLD.replace(b"line 10\n", b"line ten\nand a half\n").replace(b"line 20\n", b"")


def rule(old: bytes | None, new: bytes) -> RuleText:
    found = compare(old, new)
    parts = [
        tuple(lua_lines([line_text(line) for line in lines])) for lines in (found.old_lines, found.new_lines)
    ]
    return RuleText("x.lua", found, parts[0], parts[1], tuple(caveats(new)))


def rows(
    old: bytes | None, new: bytes, states: Sequence[State] = (), width: int = 60, **how: object
) -> list[Row]:
    one = rule(old, new)
    assert one.difference is not None
    states = states or ["undecided"] * len(one.difference.hunks)
    pieces = difference_pieces(one, states, Place(0, "x.lua"), width, **how)  # type: ignore[arg-type]
    return all_rows(PieceRows(pieces), width)


def texts(found: list[Row]) -> list[str]:
    return [row.text.rstrip() for row in found]


def test_hunks_stand_with_what_is_around_them() -> None:
    assert texts(rows(OLD, NEW, ["chosen", "dropped"])) == [
        "   ⋯ 7 unchanged lines, enter shows them",
        *(f" {number + 1:>4}   line {number}" for number in (7, 8, 9)),
        "   ✓ hunk 1 of 2  +2 -1  chosen",
        "✓  11 - line 10",
        "✓  11 + line ten",
        "✓  12 + and a half",
        *(f" {number + 2:>4}   line {number}" for number in (11, 12, 13)),
        "   ⋯ 3 unchanged lines, enter shows them",
        *(f" {number + 2:>4}   line {number}" for number in (17, 18, 19)),
        "   ✗ hunk 2 of 2  -1  dropped",
        "✗  21 - line 20",
        *(f" {number + 1:>4}   line {number}" for number in (21, 22, 23)),
        "   ⋯ 6 unchanged lines, enter shows them",
    ]


def test_what_is_folded_away_is_shown_when_asked_for() -> None:
    found = rows(OLD, NEW)
    folds = [row.target.fold for row in found if row.target.fold >= 0]
    everything = rows(OLD, NEW, unfolded=set(folds))
    assert len(folds) == 3
    assert not [row for row in everything if row.target.fold >= 0]
    assert len(everything) == 28 + 4 + 2


def test_texts_stand_side_by_side() -> None:
    found = rows(OLD, NEW, width=101, side=True)
    pair = next(row.text for row in found if "line ten" in row.text)
    assert pair.index("│") == 50
    assert "- line 10" in pair[:50]
    assert "+ line ten" in pair[50:]
    only = next(row.text for row in found if "and a half" in row.text)
    assert not only[:50].strip()
    same = next(row.text for row in found if "line 12" in row.text)
    assert same.count("line 12") == 2
    # The numbers are those of either text.
    assert "13" in same[:8]
    assert "14" in same[50:58]


def test_both_sides_have_the_background_that_they_have_in_one_text() -> None:
    found = rows(OLD, NEW, ["undecided", "dropped"], width=101, side=True)
    pair = next(row for row in found if "line ten" in row.text)
    assert pair.tints == ((0, 50, "removed-row"), (51, 101, "added-row"))
    only = next(row for row in found if "and a half" in row.text)
    assert only.tints == ((51, 101, "added-row"),)
    dropped = next(row for row in found if "line 20" in row.text)
    same = next(row for row in found if "line 12" in row.text)
    assert (dropped.tints, same.tints) == ((), ())


def test_a_new_rule_has_nothing_at_its_side() -> None:
    assert texts(rows(None, b"a\nb\n", width=120, side=True)) == [
        "   ○ hunk 1 of 1  +2  undecided",
        "    1 + a",
        "    2 + b",
    ]


def test_a_rule_that_is_active_is_folded_until_it_is_asked_for() -> None:
    assert texts(rows(OLD, OLD)) == ["   ⋯ 30 unchanged lines, enter shows them"]
    assert len(rows(OLD, OLD, unfolded={0})) == 30


@pytest.mark.parametrize("side", [False, True])
def test_long_lines_are_continued_and_never_cut(side: bool) -> None:
    old, new = b"x" * 500 + b"\n", "漢字".encode() * 200 + b"tail\n"
    found = rows(old, new, width=100, side=side)
    assert all(cell_len(row.text) <= 100 for row in found)
    shown = "".join(text for row in found[1:] for text, _ in row.parts)
    assert shown.count("x") == 500
    assert shown.count("漢") == 200
    assert shown.count("↪") >= 8


def test_what_cannot_be_shown_exactly_is_marked() -> None:
    found = rows(b"a\r\n", b"a\n\x1b[31m\xff" + "\u202e\tend".encode())
    text = "\n".join(texts(found))
    assert "- a␍" in text
    assert "   2!+ \\x1b[31m\\xff" in text
    assert "\\u202e    end  (no line end)" in text
    assert "\x1b" not in text
    assert caveats(b"a\r\nb\n\tc") == [
        "tabs are shown as four spaces",
        "1 lines end in CR LF",
        "the last line has no line end",
    ]
    assert caveats(b"plain\n") == caveats(b"") == []


def test_lines_of_errors_are_marked() -> None:
    assert "    2✗+ b" in texts(rows(None, b"a\nb\n", marked={2}))


def test_states_in_words() -> None:
    assert counted(["undecided"]) == "1 hunk"
    assert counted(["chosen", "dropped", "chosen"]) == "3 hunks: 2 chosen, 1 dropped"
    assert summary_of(["chosen", "dropped"]) == summary_of([]) == "undecided"
    assert summary_of(["dropped", "dropped"]) == "dropped"


def test_parts_are_broken_at_cells() -> None:
    assert fold_parts([("ab漢", "x"), ("字cdefgh", "y")], 8) == [
        (("ab漢", "x"), ("字cd", "y")),
        (("efgh", "y"),),
    ]


@pytest.mark.parametrize("width", [10, 40, 60, 61, 140])
@pytest.mark.parametrize("side", [False, True])
@pytest.mark.parametrize("state", ["undecided", "chosen", "dropped"])
def test_lines_take_as_many_rows_as_are_counted(width: int, side: bool, state: State) -> None:
    old = OLD + b"a long line of the old text, longer than half of the view is\r\n" + "漢字 ".encode() * 40
    new = NEW + b"x" * 300 + b"\n" + "漢字 ".encode() * 30 + b"\n\nwithout an end, but as long as it may be"
    one = rule(old, new)
    assert one.difference is not None
    states = [state] * len(one.difference.hunks)
    place = Place(0, "x.lua")
    for piece in difference_pieces(one, states, place, width, side=side, changes={11: 2}):
        made = piece.make(width)
        assert len(made) == piece.takes
        assert {row.target for row in made} == {piece.target}


def test_lines_of_a_long_rule_are_made_when_they_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    long = b"".join(b"local value_%d = call.arguments[%d]\n" % (n, n) for n in range(4000))
    one = rule(None, long)
    folded: list[int] = []
    fold = hunk_rows.fold_parts

    def counted_fold(parts: Sequence[Part], width: int) -> list[tuple[Part, ...]]:
        folded.append(width)
        return fold(parts, width)

    monkeypatch.setattr(hunk_rows, "fold_parts", counted_fold)
    lines = BuiltRows(lambda width: difference_pieces(one, ["undecided"], Place(0, "x.lua"), width))
    lines.layout(80)
    assert len(lines) == 4001
    assert lines.place(Place(0, "x.lua", 0, 3999)) == 4000
    cursor, _ = lines.relayout(30, 3000, {})
    assert lines.target(cursor) == Place(0, "x.lua", 0, 2999)
    assert folded == []
    assert "value_2999" in lines.row(cursor).text
    assert len(folded) == 1
