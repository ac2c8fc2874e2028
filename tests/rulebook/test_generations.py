"""Generations: exact bytes forth and back, survival of a kill at every step, one winner of two deciders."""

from __future__ import annotations

import os
import signal
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from triage_tui.errors import Conflict, TriageError
from triage_tui.rulebook import generations, rulefile
from triage_tui.rulebook.generation_list import listed
from triage_tui.rulebook.generations import ACTIVATE_STEPS, ROLLBACK_STEPS, activate, current, rollback
from triage_tui.rulebook.layers import rules_of, to_sources
from triage_tui.rulebook.lock import locked
from triage_tui.rulehost.sources import RuleSource

BODY = b"function do_syscall() return 0, 0 end\n"
A, B, PLAIN = "syscall/openat@a.lua", "syscall/openat@b.lua", "syscall/ioctl.lua"


def rule(name: str, body: bytes = BODY) -> bytes:
    return rulefile.compose(rulefile.RuleHeader(id=name, hit_limit=2, risk="low"), body)


def loaded(generation: generations.Generation) -> list[RuleSource]:
    """What the rule host gets of a generation."""
    return to_sources(rules_of("target", generation))


def tree(path: Path) -> dict[str, bytes]:
    """Every file and link below `path`, the lock aside."""
    found = {}
    for parent, directories, files in os.walk(path):
        for name in files + directories:
            place = Path(parent, name)
            key = str(place.relative_to(path))
            if place.is_symlink():
                found[key] = os.readlink(place).encode()
            elif place.is_file() and name != ".lock":
                found[key] = place.read_bytes()
    return found


@pytest.fixture
def book(tmp_path: Path) -> Path:
    return tmp_path / "rulebook" / "target"


def add(book: Path, **files: bytes) -> generations.Generation:
    names = {"a": A, "b": B, "plain": PLAIN}
    return activate(book, add={names[key]: data for key, data in files.items()}, actor="me", reason="test")


def test_a_generation_adds_to_the_one_before(book: Path) -> None:
    assert current(book) is None
    first = add(book, a=rule("a"))
    second = add(book, b=rule("b"), plain=BODY)
    assert (first.number, first.parent, second.number, second.parent) == (1, None, 2, 1)
    assert second.parent_digest == first.digest
    active = current(book)
    assert active is not None
    assert active == second
    assert sorted(active.files) == [PLAIN, A, B]
    assert (active.actor, active.reason) == ("me", "test")
    assert [r.id for r in loaded(active)][1:] == ["a", "b"]
    assert [r.syscall for r in loaded(active)] == ["ioctl", "openat", "openat"]
    assert loaded(active)[1].hit_limit == 2
    assert (book / "current" / A).read_bytes() == rule("a")
    assert [g.number for g in generations.history(book)] == [1, 2]


def test_files_cannot_be_written_by_accident(book: Path) -> None:
    generation = add(book, a=rule("a"))
    for path in (generation.directory / name for name in [*generation.files, "manifest.json"]):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o222


def test_rules_are_removed(book: Path) -> None:
    add(book, a=rule("a"), b=rule("b"))
    after = activate(book, add={}, remove={A}, actor="me", reason="no longer needed")
    assert sorted(after.files) == [B]
    with pytest.raises(Conflict):
        activate(book, add={}, remove={A}, actor="me", reason="again")


def test_rolling_back_brings_the_old_bytes_back(book: Path) -> None:
    first = add(book, a=rule("a"))
    before = {name: (book / "current" / name).read_bytes() for name in first.files}
    add(book, a=rule("a", b"-- other\n" + BODY), b=rule("b"))
    assert rollback(book) == first
    assert {name: (book / "current" / name).read_bytes() for name in first.files} == before
    assert generations.verify(first) == []
    third = add(book, b=rule("b"))
    assert (third.number, third.parent) == (3, 1)
    assert rollback(book, 2) is not None
    assert rollback(book, 0) is None
    assert current(book) is None
    assert not (book / "current").is_symlink()
    with pytest.raises(TriageError, match="nothing to roll back"):
        rollback(book)


def test_the_first_generation_rolls_back_to_no_rules(book: Path) -> None:
    with pytest.raises(TriageError, match="nothing to roll back"):
        rollback(book)
    add(book, a=rule("a"))
    assert rollback(book) is None
    assert current(book) is None
    with pytest.raises(TriageError, match="no generation 7"):
        rollback(book, 7)


def damage_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)


def damage_cut(path: Path) -> None:
    path.chmod(0o644)
    with open(path, "r+b") as stream:
        stream.truncate(path.stat().st_size // 2)


def damage_remove(path: Path) -> None:
    path.unlink()


def damage_link(path: Path) -> None:
    damage_remove(path)
    path.symlink_to("/etc/passwd")


def damage_add(path: Path) -> None:
    (path.parent / "close.lua").write_bytes(BODY)


@pytest.mark.parametrize("name", [A, "manifest.json"])
@pytest.mark.parametrize("damage", [damage_bit, damage_cut, damage_remove, damage_link, damage_add])
def test_damage_is_found_and_nothing_damaged_is_used(
    book: Path, damage: Callable[[Path], None], name: str
) -> None:
    first = add(book, a=rule("a"))
    second = add(book, b=rule("b"))
    damage(first.directory / name)
    assert generations.verify(first)
    before = tree(book)
    with pytest.raises(TriageError):
        rollback(book)
    assert tree(book) == before
    assert current(book) == second
    damage(second.directory / name)
    with pytest.raises(TriageError):
        loaded(second)
    with pytest.raises(TriageError):
        add(book, a=rule("a"))


@pytest.mark.parametrize("to", [0, 1])
@pytest.mark.parametrize("damage", [damage_cut, damage_remove])
def test_a_damaged_generation_can_be_left(book: Path, damage: Callable[[Path], None], to: int) -> None:
    first = add(book, a=rule("a"))
    second = add(book, b=rule("b"))
    damage(second.directory / "manifest.json")
    with pytest.raises(TriageError, match=r"manifest\.json"):
        rollback(book)
    assert rollback(book, to, expect=2) == (first if to else None)
    assert current(book) == (first if to else None)
    assert add(book, b=rule("b")).number == 3


def test_an_active_generation_that_is_gone_is_listed_as_such(book: Path, tmp_path: Path) -> None:
    add(book, a=rule("a"))
    os.rename(add(book, b=rule("b")).directory, tmp_path / "away")
    first, gone = listed(book)
    assert (first.active, first.problem) == (False, "")
    assert (gone.made.number, gone.active) == (2, True)
    assert "No such file" in gone.problem


def test_an_old_generation_cannot_be_replaced_together_with_its_manifest(book: Path, tmp_path: Path) -> None:
    add(book, a=rule("a"))
    add(book, b=rule("b"))
    forged = add(tmp_path / "other", a=rule("a", b"-- evil\n" + BODY))
    old = book / "generations" / "0001"
    os.rename(old, tmp_path / "old")
    os.rename(forged.directory, old)
    with pytest.raises(TriageError, match="not the one that generation 2 was made of"):
        rollback(book)


def test_a_persons_file_is_never_replaced(book: Path) -> None:
    add(book, plain=BODY)
    before = tree(book)
    with pytest.raises(Conflict, match="written by a person"):
        add(book, plain=rule("x"))
    assert tree(book) == before
    assert add(book, plain=BODY, a=rule("a")).number == 2


def test_a_pointer_of_a_persons_own_is_left_alone(book: Path) -> None:
    (book / "current" / "syscall").mkdir(parents=True)
    (book / "current" / "syscall" / "open.lua").write_text("mine")
    with pytest.raises(Conflict, match="move it away"):
        add(book, a=rule("a"))
    with pytest.raises(Conflict, match="move it away"):
        rollback(book)
    with pytest.raises(Conflict, match="move it away"):
        current(book)
    assert (book / "current" / "syscall" / "open.lua").read_text() == "mine"
    os.rename(book / "current", book / "own")
    (book / "current").symlink_to("../../etc")
    with pytest.raises(Conflict, match="move it away"):
        current(book)


@pytest.mark.parametrize(
    "name",
    [
        "../x.lua",
        "/etc/x.lua",
        "x.lua",
        "syscall/../x.lua",
        "syscall/x",
        "syscall/a/b.lua",
        "syscall/X.lua",
        "",
    ],
)
def test_nothing_is_written_outside(book: Path, name: str) -> None:
    with pytest.raises(TriageError, match="no place for a rule"):
        activate(book, add={name: BODY}, actor="me", reason="x")
    assert not book.exists()


def test_a_broken_rule_changes_nothing(book: Path) -> None:
    add(book, a=rule("a"))
    before = tree(book)
    with pytest.raises(TriageError, match="no id"):
        add(book, b=b"-- triage-rule: 1\n")
    assert tree(book) == before


def killed_at(name: str, change: Callable[[generations.Step], object]) -> None:
    """Run `change` in a process that is killed right after the step `name`."""

    def step(reached: str) -> None:
        if reached == name:
            os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        try:
            change(step)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), f"step {name} was never reached"


@pytest.mark.parametrize("name", ACTIVATE_STEPS)
@pytest.mark.parametrize("first", [True, False], ids=["first", "second"])
def test_a_kill_during_activation_leaves_the_old_or_the_new_state(book: Path, name: str, first: bool) -> None:
    before = None if first else add(book, a=rule("a"))
    files = {B: rule("b")}
    killed_at(name, lambda step: activate(book, add=files, actor="me", reason="x", step=step))
    done = ACTIVATE_STEPS.index(name) >= ACTIVATE_STEPS.index("pointed")
    active = current(book)
    if not done:
        assert active == before
    else:
        assert active is not None
        assert active.files.keys() == ({B} if first else {A, B})
        assert generations.verify(active) == []
    # The next change finds no leftovers, and numbers go on as if nothing had happened.
    after = activate(book, add={PLAIN: BODY}, actor="me", reason="next")
    assert after.number == (0 if before is None else 1) + done + 1
    assert after.parent == (active.number if active else None)
    left = set(os.listdir(book)) | set(os.listdir(book / "generations"))
    assert left == {".lock", "current", "generations", *(f"{n + 1:04}" for n in range(after.number))}
    assert all(generations.verify(g) == [] for g in generations.history(book))


@pytest.mark.parametrize("name", ROLLBACK_STEPS)
def test_a_kill_during_rollback_leaves_the_old_or_the_new_state(book: Path, name: str) -> None:
    first = add(book, a=rule("a"))
    second = add(book, b=rule("b"))
    killed_at(name, lambda step: rollback(book, step=step))
    assert current(book) == (first if name in ("pointed", "cleared") else second)
    assert rollback(book, 1) == first
    assert set(os.listdir(book)) == {".lock", "current", "generations"}


@pytest.mark.parametrize("name", [s for s in ROLLBACK_STEPS if s != "linked"])
def test_a_kill_during_rollback_to_nothing(book: Path, name: str) -> None:
    first = add(book, a=rule("a"))
    killed_at(name, lambda step: rollback(book, step=step))
    assert current(book) == (None if name in ("pointed", "cleared") else first)


def test_of_two_deciders_one_wins_and_the_other_is_told(book: Path) -> None:
    add(book, a=rule("a"))
    start = threading.Barrier(2)
    results: list[object] = []

    def decide(body: bytes) -> None:
        start.wait()
        try:
            files = {B: rule("b", body)}
            results.append(activate(book, add=files, actor="me", reason="x", expect=1))
        except Conflict as conflict:
            results.append(conflict)

    threads = [threading.Thread(target=decide, args=(body,)) for body in (BODY, b"--\n" + BODY)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lost = [result for result in results if isinstance(result, Conflict)]
    won = [result for result in results if isinstance(result, generations.Generation)]
    assert len(lost) == len(won) == 1
    assert "generation 2 is active by now, not 1" in str(lost[0])
    assert current(book) == won[0]


def test_two_programs_that_add_different_rules_lose_none(book: Path) -> None:
    children = []
    for index in range(4):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                name = f"r{index}"
                activate(book, add={f"syscall/open@{name}.lua": rule(name)}, actor="me", reason="x")
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    active = current(book)
    assert active is not None
    assert active.number == 4
    assert len(active.files) == 4


def test_who_cannot_get_the_lock_is_told(book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(book, a=rule("a"))
    monkeypatch.setattr(generations, "locked", lambda directory: locked(directory, 0.0))
    with locked(book), pytest.raises(Conflict, match="somebody else"):
        rollback(book)
