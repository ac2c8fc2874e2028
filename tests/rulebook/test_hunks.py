"""Hunks: every choice of them gives one exact text, whatever the two texts are."""

from __future__ import annotations

import itertools
import random

import pytest

from triage_tui.rulebook import hunks
from triage_tui.rulebook.hunks import Hunk, compare, result, split, walk

TEXTS = [
    (b"", b""),
    (b"", b"a\n"),
    (None, b"a\nb"),
    (b"a\n", b""),
    (b"a\nb\n", b""),
    (b"a", b"a\n"),
    (b"a\n", b"a"),
    (b"a\nb\nc\n", b"a\nB\nc\n"),
    (b"a\nb\nc\n", b"a\nb\nc\nd"),
    (b"a\nb", b"a\nb\nc\n"),
    (b"a\nb", b"x\na\nb\nc"),
    (b"a\r\nb\r\n", b"a\r\nB\r\nc\r\n"),
    (b"a\r\nb\r\n", b"a\nb\n"),
    (b"a\rb\rc", b"a\rB\rc"),
    (b"a\n\n\nb\n", b"\n\na\n\nb\n\n"),
    (b"a\na\na\na\n", b"a\na\n"),
    (b"1\n2\n3\n4\n5\n6\n", b"1\nx\n3\ny\n5\nz\n"),
    ("é\n漢字\n".encode(), "e\u0301\n漢字\n🙂\n".encode()),
    (b"\xff\xfe\n\x00\n", b"\xff\n\x00\n\x1b[31m\n"),
    (b"\x0b\x0c\x1c\xc2\x85\n", b"\x0b\x0c\x1d\xe2\x80\xa8\n"),
]


@pytest.mark.parametrize(("old", "new"), TEXTS)
def test_all_hunks_give_the_proposed_text_and_none_the_active_one(old: bytes | None, new: bytes) -> None:
    difference = compare(old, new)
    everything = range(len(difference.hunks))
    assert result(difference, everything) == new
    assert result(difference, ()) == (old or b"")
    assert bool(difference.hunks) == ((old or b"") != new)
    assert b"".join(difference.old_lines[line.old] for line in walk(difference) if line.old >= 0) == (
        old or b""
    )
    assert b"".join(difference.new_lines[line.new] for line in walk(difference) if line.new >= 0) == new


CHOICES = [
    (b"1\n2\n3\n4\n5\n", b"1\nx\n3\n4\ny\n", {0}, b"1\nx\n3\n4\n5\n"),
    (b"1\n2\n3\n4\n5\n", b"1\nx\n3\n4\ny\n", {1}, b"1\n2\n3\n4\ny\n"),
    (b"a\nb\nc\n", b"b\nc\nd\n", {0}, b"b\nc\n"),
    (b"a\nb\nc\n", b"b\nc\nd\n", {1}, b"a\nb\nc\nd\n"),
    (b"a\r\nb\r\nc\r\n", b"A\r\nb\r\nC\r\n", {1}, b"a\r\nb\r\nC\r\n"),
    (b"a\nb\nc", b"A\nb\nC", {0}, b"A\nb\nc"),
    (b"a\nb\nc", b"A\nb\nC", {1}, b"a\nb\nC"),
    (b"a\nkeep\n", b"keep\nb", {0}, b"keep\n"),
    (b"a\nkeep\n", b"keep\nb", {1}, b"a\nkeep\nb"),
    ("ä\nö\n".encode(), "Ä\nö\nü\n".encode(), {1}, "ä\nö\nü\n".encode()),
]


@pytest.mark.parametrize(("old", "new", "taken", "expected"), CHOICES)
def test_some_hunks_give_the_text_between(old: bytes, new: bytes, taken: set[int], expected: bytes) -> None:
    assert result(compare(old, new), taken) == expected


SPLITS = [
    # An added paragraph in two, before each of its lines.
    (b"", b"a\nb\nc\n", 1, {0}, b"a\n"),
    (b"", b"a\nb\nc\n", 1, {1}, b"b\nc\n"),
    (b"", b"a\nb\nc\n", 2, {0}, b"a\nb\n"),
    # What is taken away stands first: the second part may begin among it, or among what is added.
    (b"1\n2\n", b"x\ny\n", 1, {0}, b"2\n"),
    (b"1\n2\n", b"x\ny\n", 1, {1}, b"1\nx\ny\n"),
    (b"1\n2\n", b"x\ny\n", 2, {0}, b""),
    (b"1\n2\n", b"x\ny\n", 2, {1}, b"1\n2\nx\ny\n"),
    (b"1\n2\n", b"x\ny\n", 3, {0}, b"x\n"),
    (b"1\n2\n", b"x\ny\n", 3, {1}, b"1\n2\ny\n"),
    # A part that leaves a line without an end before others gets one, of the kind that the text has.
    (b"1", b"1\n2\n", 2, {1}, b"1\n2\n"),
    (b"0\r\n1", b"0\r\n1\r\n2\r\n", 2, {1}, b"0\r\n1\r\n2\r\n"),
    (b"1\n2", b"x", 2, {1}, b"1\n2\nx"),
]


@pytest.mark.parametrize(("old", "new", "row", "taken", "expected"), SPLITS)
def test_a_divided_hunk_is_taken_in_parts(
    old: bytes, new: bytes, row: int, taken: set[int], expected: bytes
) -> None:
    whole = compare(old, new)
    parts = compare(old, new, [split(whole.hunks[0], row)])
    assert len(parts.hunks) == 2
    assert result(parts, taken) == expected
    assert result(parts, {0, 1}) == new
    assert result(parts, ()) == old


def test_a_hunk_is_divided_between_lines_only() -> None:
    hunk = Hunk(0, 1, 0, 2)
    for row in (-1, 0, 3):
        with pytest.raises(ValueError, match="cannot be divided"):
            split(hunk, row)
    # A place that is no longer in a hunk divides nothing.
    assert compare(b"a\n", b"b\n", [(7, 7), (0, 0), (1, 1)]).hunks == compare(b"a\n", b"b\n").hunks


def test_paragraphs_of_a_new_rule() -> None:
    difference = compare(None, b"-- head\n\nlocal x\n\n\nfunction f()\n\nend\n")
    points = hunks.paragraphs(difference, 0)
    assert [point[1] for point in points] == [2, 5, 7]
    assert len(compare(None, difference.new, points).hunks) == 4


def test_a_change_keeps_its_key_where_it_moves_and_loses_it_where_it_changes() -> None:
    first = compare(b"a\nb\nc\n", b"a\nB\nc\n")
    moved = compare(b"0\na\nb\nc\n", b"0\na\nB\nc\n")
    other = compare(b"a\nb\nc\n", b"a\nBB\nc\n")
    assert first.keys == moved.keys
    assert first.keys != other.keys
    twice = compare(b"-\n-\n-\n", b"-\nx\n-\nx\n-\n")
    assert len(set(twice.keys)) == len(twice.keys) == 2
    # Lengths are part of it: other borders between lines are another change.
    assert compare(b"", b"ab\nc\n").keys != compare(b"ab\n", b"c\n").keys


def test_texts_too_long_to_compare_are_one_exact_hunk() -> None:
    old = b"same\n" + b"a\n" * (hunks.MAX_LINES + 1) + b"end\n"
    new = b"same\n" + b"b\n" * 3 + b"end\n"
    difference = compare(old, new)
    assert len(difference.hunks) == 1
    assert result(difference, {0}) == new
    many = compare(b"x\n" + b"a\nb\n" * 1000 + b"y\n", b"z\n" + b"b\na\n\n" * 1000 + b"q\n")
    assert len(many.hunks) == 1
    assert result(many, {0}) == many.new


def test_lines_that_stand_once_hold_the_texts_together() -> None:
    old = b"f()\nend\n\ng()\nend\n\nh()\nend\n"
    new = b"f()\nend\n\nnew()\nend\n\ng()\nend\n\nh()\nend\n"
    (hunk,) = compare(old, new).hunks
    assert compare(old, new).new_lines[hunk.new_start : hunk.new_end] == (b"new()\n", b"end\n", b"\n")
    swapped = compare(b"one\ntwo\nthree\n", b"three\none\ntwo\n")
    assert [(h.removed, h.added) for h in swapped.hunks] == [(0, 1), (1, 0)]


def test_any_choice_of_any_texts_keeps_every_line_whole() -> None:
    chance = random.Random(7)
    for _ in range(300):
        alphabet = [b"a\n", b"b\r\n", b"\n", b"c\n", "ü\n".encode()]
        old = b"".join(chance.choices(alphabet, k=chance.randrange(9))) + chance.choice([b"", b"end"])
        new = b"".join(chance.choices(alphabet, k=chance.randrange(9))) + chance.choice([b"", b"end"])
        difference = compare(old, new)
        points = [split(h, chance.randrange(1, h.rows)) for h in difference.hunks if h.rows > 1]
        difference = compare(old, new, points)
        known = {line.rstrip(b"\r\n") for line in (*difference.old_lines, *difference.new_lines)}
        for size in range(len(difference.hunks) + 1):
            for taken in itertools.islice(itertools.combinations(range(len(difference.hunks)), size), 8):
                text = result(difference, taken)
                assert {line.rstrip(b"\r\n") for line in hunks.lines_of(text)} <= known
        assert result(difference, range(len(difference.hunks))) == new
        assert result(difference, ()) == old
