"""What changed in proposed rules since a person looked at them."""

from __future__ import annotations

from triage_tui.rulebook.looked import MAX_RUNS, Looked

TEXT = b"one\ntwo\nthree\nfour\n"


def test_a_text_that_is_another_one_is_told_once_and_stays_changed_until_it_is_accepted() -> None:
    looked = Looked()
    assert looked.take("run", {"a": TEXT, "b": TEXT}) == []
    other = TEXT.replace(b"two", b"2").replace(b"four\n", b"")
    assert looked.take("run", {"a": other, "b": TEXT}) == ["a"]
    assert looked.take("run", {"a": other, "b": TEXT}) == []
    assert looked.changes("run", "a") == {1: 1, 3: 0}
    assert looked.changes("run", "b") == {}
    # A file that is gone for a while is not another one for that.
    assert looked.take("run", {"b": TEXT}) == []
    assert looked.take("run", {"a": other + b"five\n", "b": TEXT}) == ["a"]
    looked.accept("run", ["a", "gone"])
    assert looked.changes("run", "a") == {}
    assert looked.take("run", {"a": TEXT}) == ["a"]


def test_what_the_person_wrote_and_what_is_as_it_was_need_no_second_look() -> None:
    looked = Looked()
    looked.take("run", {"a": TEXT})
    looked.write(TEXT + b"mine\n")
    assert looked.take("run", {"a": TEXT + b"mine\n"}) == []
    assert looked.take("run", {"a": TEXT + b"theirs\n"}) == ["a"]
    assert looked.take("run", {"a": TEXT + b"mine\n"}) == []
    assert looked.changes("run", "a") == {}


def test_only_so_many_runs_are_remembered() -> None:
    looked = Looked()
    for number in range(MAX_RUNS + 1):
        looked.take(str(number), {"a": TEXT})
    assert looked.take("0", {"a": b"another"}) == []
    assert looked.take("2", {"a": b"another"}) == ["a"]
