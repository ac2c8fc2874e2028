"""Choosing hunks: what is decided stays with what was shown, and nothing else."""

from __future__ import annotations

import msgspec

from triage_tui.rulebook.choices import Choices, Kept, State
from triage_tui.rulebook.hunks import compare, digest_of

OLD = b"1\n2\n3\n4\n5\n"
NEW = b"1\nx\n3\n4\ny\n"


def choices(old: bytes | None = OLD, new: bytes = NEW, kept: Kept | None = None) -> Choices:
    made = Choices(kept)
    made.show({"a.lua": compare(old, new), "b.lua": compare(None, b"new\n")})
    return made


def states(made: Choices, *files: str) -> list[State]:
    return made.states(files or ("a.lua", "b.lua"))


def test_a_hunk_is_chosen_dropped_and_open_again() -> None:
    made = choices()
    assert states(made) == ["undecided", "undecided", "undecided"]
    assert [made.toggle("a.lua", 1) for _ in range(3)] == ["chosen", "dropped", "undecided"]
    made.toggle("a.lua", 0)
    assert [(a.name, a.text) for a in made.chosen] == [("a.lua:1", b"1\nx\n3\n4\n5\n")]


def test_files_are_chosen_and_dropped_whole() -> None:
    made = choices()
    made.toggle("a.lua", 0)
    assert made.toggle_files(["a.lua", "b.lua"]) == "chosen"
    assert [(a.name, a.text) for a in made.chosen] == [("a.lua", NEW), ("b.lua", b"new\n")]
    assert made.toggle_files(["a.lua", "b.lua"]) == "dropped"
    assert made.chosen == []
    assert made.whole(["a.lua", "b.lua"]) == []
    assert made.toggle_files(["a.lua", "b.lua"]) == "undecided"


def test_a_whole_file_is_approved_without_what_was_dropped() -> None:
    made = choices()
    made.decide("a.lua", [0], "dropped")
    (approval,) = made.whole(["a.lua", "absent.lua"])
    assert (approval.text, approval.hunks) == (b"1\n2\n3\n4\ny\n", (2,))
    assert (approval.proposed, approval.active) == (digest_of(NEW), digest_of(OLD))
    assert choices().whole(["b.lua"])[0].active == ""


def test_decisions_outlive_the_app_and_not_a_change_of_the_hunk() -> None:
    made = choices()
    made.decide("a.lua", [0], "chosen")
    made.decide("a.lua", [1], "dropped")
    kept = msgspec.json.decode(msgspec.json.encode(made.kept), type=Kept)
    assert states(choices(kept=kept), "a.lua") == ["chosen", "dropped"]
    changed = choices(new=b"1\nx\n3\n4\nY\n", kept=kept)
    assert states(changed, "a.lua") == ["chosen", "undecided"]


def test_a_divided_hunk_keeps_its_state_and_so_do_the_others() -> None:
    made = choices(new=b"1\nx\n3\n4\na\n\nb\nc\n")
    made.decide("a.lua", [0], "dropped")
    made.decide("a.lua", [1], "chosen")
    assert made.divide("a.lua", 1, 0)
    assert states(made, "a.lua") == ["dropped", "chosen", "chosen"]
    assert made.divide("a.lua", 2, 1)
    assert states(made, "a.lua") == ["dropped", "chosen", "chosen", "chosen"]
    made.decide("a.lua", [3], "dropped")
    assert made.chosen[0].text == b"1\n2\n3\n4\na\n\nb\n"
    assert states(choices(new=b"1\nx\n3\n4\na\n\nb\nc\n", kept=made.kept), "a.lua")[1:] == [
        "chosen",
        "chosen",
        "dropped",
    ]


def test_what_has_one_line_is_not_divided() -> None:
    made = choices()
    assert not made.divide("b.lua", 0, 0)
    assert not made.divide("b.lua", 0, 1)


def test_equal_hunks_keep_their_own_states_when_one_is_divided() -> None:
    made = Choices()
    made.show({"a.lua": compare(b"-\n-\n-\n", b"-\nx\ny\n-\nx\n-\n")})
    made.decide("a.lua", [1], "dropped")
    assert made.divide("a.lua", 0, 1)
    assert made.states(["a.lua"]) == ["undecided", "undecided", "dropped"]
