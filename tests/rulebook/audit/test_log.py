"""The audit log: what was changed is found and named, what a killed program left is told apart from it."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from triage_tui.errors import TriageError
from triage_tui.rulebook import generations, rulefile
from triage_tui.rulebook.audit import log as audit_log
from triage_tui.rulebook.audit.check import check
from triage_tui.rulebook.audit.log import Entry, append
from triage_tui.rulebook.audit.select import selected
from triage_tui.runs.events import append_event, event_digests

RULE = rulefile.compose(rulefile.RuleHeader(id="a", hit_limit=2), b"function do_syscall() return 0, 0 end\n")


@pytest.fixture
def book(tmp_path: Path) -> Path:
    rulebook = tmp_path / "rulebook"
    rulebook.mkdir()
    for number in range(1, 6):
        append(rulebook, Entry(kind="edited", actor="ann", says=f"reason {number}", run=f"r{number}"))
    return rulebook


def lines(rulebook: Path) -> list[bytes]:
    return audit_log.log_path(rulebook).read_bytes().splitlines(keepends=True)


def write(rulebook: Path, *text: bytes) -> None:
    audit_log.log_path(rulebook).write_bytes(b"".join(text))


def rebuilt(found: list[bytes]) -> list[bytes]:
    """Forge a chain that holds in itself, as somebody does who knows how it is made."""
    prev, made = "", []
    for number, line in enumerate(found, 1):
        made.append(json.dumps({**json.loads(line), "number": number, "prev": prev}).encode() + b"\n")
        prev = audit_log.digest_of(made[-1][:-1])
    return made


def test_every_line_is_bound_to_the_one_before(book: Path) -> None:
    found = check(book)
    assert found.whole
    assert (found.lines, found.notes) == (5, [])
    read, rest = audit_log.read_log(book)
    entries = [line.entry for line in read if line.entry]
    assert [(one.number, one.says) for one in entries] == [(n, f"reason {n}") for n in range(1, 6)]
    assert [one.prev for one in entries[1:]] == [line.digest for line in read[:-1]]
    assert rest == b""
    assert found.head == read[-1].digest


@pytest.mark.parametrize(
    ("tamper", "told"),
    [
        (lambda x: [x[0], x[1].replace(b"reason 2", b"reason 9"), *x[2:]], "line 2 was changed after"),
        (lambda x: [*x[:4], x[4].replace(b"ann", b"bob")], "line 5, the last one, was changed"),
        (lambda x: [x[0], *x[2:]], "1 line was removed between line 1 and line 3"),
        (lambda x: x[2:], "2 lines were removed at the beginning"),
        (lambda x: [x[0], x[2], x[1], *x[3:]], "line 2 stands after line 3"),
        (lambda x: [*x, x[4]], "line 5 stands after line 5"),
        (lambda x: x[:3], "2 lines were cut off at the end of the audit log, which had 5"),
        (lambda x: [*x[:4], x[4][:20]], "1 line was cut off at the end"),
        (lambda x: [], "5 lines were cut off"),
        (lambda x: [x[0], b"\xff{]\n", *x[2:]], "line 2 of the audit log is damaged"),
        (lambda x: [x[0], bytes([x[1][0] ^ 1]) + x[1][1:], *x[2:]], "line 2 of the audit log is damaged"),
        (lambda x: rebuilt([x[0], *x[2:]]), "1 line was cut off"),
        (lambda x: rebuilt([x[0], x[1].replace(b"ann", b"bob"), *x[2:]]), "the last one, was changed"),
        (lambda x: rebuilt([*x, x[4], x[4]]), "2 lines at the end were not written by triage-tui"),
        (lambda x: [*x[:4], x[4].replace(b"\n", b" \n")], "line 5, the last one, was changed"),
    ],
)
def test_what_was_tampered_with_is_found(
    book: Path, tamper: Callable[[list[bytes]], list[bytes]], told: str
) -> None:
    write(book, *tamper(lines(book)))
    found = check(book)
    assert not found.whole
    assert told in "; ".join(found.problems)
    # A decision afterwards does not hide it.
    append(book, Entry(kind="edited", actor="ann"))
    assert not check(book).whole


def test_a_log_written_anew_with_its_head_is_found_by_a_noted_digest(book: Path) -> None:
    noted = check(book).head
    append(book, Entry(kind="edited", actor="ann"))
    assert check(book, noted_head=noted).whole
    assert check(book, noted_head=noted[:12]).whole
    forged = rebuilt([line.replace(b"ann", b"bob") for line in lines(book)])
    write(book, *forged)
    size = sum(map(len, forged))
    audit_log.write_head(
        book, audit_log.Head(lines=6, size=size, digest=audit_log.digest_of(forged[-1][:-1]))
    )
    assert check(book).whole
    assert "was noted: the log was written anew" in check(book, noted_head=noted).problems[0]


@pytest.mark.parametrize("kept", [b"", b"{", b'{"lines":2,"size":10,"digest":"00"}', None])
def test_a_head_that_is_damaged_or_gone_is_a_problem(book: Path, kept: bytes | None) -> None:
    path = book / audit_log.AUDIT_DIR / audit_log.HEAD_FILE
    path.unlink() if kept is None else path.write_bytes(kept)
    assert not check(book).whole


@pytest.mark.parametrize("cut", [1, 20, 100])
def test_half_a_line_of_a_killed_program_is_no_tampering(book: Path, cut: int) -> None:
    whole = lines(book)
    write(book, *whole, whole[-1][:cut])
    found = check(book)
    assert found.whole
    assert found.notes[0].startswith("a program was killed while it wrote: ")
    assert append(book, Entry(kind="edited", actor="ann")).mended == cut
    assert (check(book).whole, check(book).notes) == (True, [])
    assert lines(book)[:5] == whole


def killed_while(step: str, rulebook: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Append in a process that is killed before (a part of) the line, or before the head is written."""

    def die(*_args: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def half(handle: int, data: bytes) -> int:
        real(handle, data[:30])
        die()
        return 0

    real = os.write
    child = os.fork()
    if child == 0:
        try:
            if step == "line":
                os.write = half  # type: ignore[assignment]
            else:
                monkeypatch.setattr(audit_log, "write_head", die)
            append(rulebook, Entry(kind="edited", actor="bob"))
        finally:
            os._exit(1)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])


@pytest.mark.parametrize(("step", "count"), [("line", 5), ("head", 6)])
def test_a_kill_leaves_the_old_or_the_new_log(
    book: Path, step: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_while(step, book, monkeypatch)
    found = check(book)
    assert (found.whole, found.lines) == (True, count)
    assert "killed" in found.notes[0]
    assert append(book, Entry(kind="edited", actor="ann")).number == count + 1
    assert (check(book).whole, check(book).notes) == (True, [])


def test_two_programs_at_once_each_get_their_lines(book: Path) -> None:
    children = []
    for name in ("ann", "bob", "eve"):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                for _ in range(10):
                    append(book, Entry(kind="edited", actor=name))
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 3
    assert (check(book).whole, check(book).lines) == (True, 35)


def test_no_line_is_left_where_the_disk_is_full(book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = audit_log.log_path(book).read_bytes()

    def full(*_args: object) -> int:
        raise OSError(28, "No space left on device")

    for place in ("log.write_atomic", "log.os.fsync"):
        with monkeypatch.context() as patch:
            patch.setattr(f"triage_tui.rulebook.audit.{place}", full)
            with pytest.raises(TriageError, match="cannot be written: No space left on device"):
                append(book, Entry(kind="edited", actor="ann"))
        assert audit_log.log_path(book).read_bytes() == before
    assert check(book).whole


def test_a_log_that_is_no_file_is_refused_and_never_waited_for(tmp_path: Path) -> None:
    (tmp_path / audit_log.AUDIT_DIR).mkdir()
    os.mkfifo(audit_log.log_path(tmp_path))
    with pytest.raises(TriageError, match="no regular file"):
        append(tmp_path, Entry(kind="edited", actor="ann"))
    assert "not a regular file" in check(tmp_path).problems[0]
    audit_log.log_path(tmp_path).unlink()
    audit_log.log_path(tmp_path).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(TriageError, match="cannot be written"):
        append(tmp_path, Entry(kind="edited", actor="ann"))
    assert not (tmp_path / "elsewhere").exists()


def test_entries_are_chosen_by_run_target_actor_and_rule() -> None:
    entries = [
        Entry(
            kind="edited",
            actor="ann",
            run="r_00000001",
            target="t1",
            rules={"fix/syscall/a@one.lua": "ab" * 32},
        ),
        Entry(kind="activated", actor="bob", run="r_00000002", target="t2", digest="cd" * 32),
    ]
    assert selected(entries) == entries
    assert selected(entries, run="1") == selected(entries, target="t1") == selected(entries, actor="ann")
    assert selected(entries, rule="one") == selected(entries, rule="abab" * 3) == entries[:1]
    assert selected(entries, rule="cdcdcd") == entries[1:]
    assert selected(entries, actor="bob", target="t1") == []


# The rulebook and the runs


def activate(rulebook: Path, name: str = "openat", target: str = "t") -> generations.Generation:
    files = {f"syscall/{name}.lua": RULE}
    return generations.activate(rulebook / target, add=files, actor="ann", reason="try", run="r1")


def test_what_becomes_active_is_in_the_log_first(tmp_path: Path) -> None:
    made = activate(tmp_path)
    generations.rollback(tmp_path / "t", actor="bob", reason="worse", run="r1")
    entries = [line.entry for line in audit_log.read_log(tmp_path)[0] if line.entry]
    assert [(e.kind, e.actor, e.says, e.run, e.target, e.before, e.after) for e in entries] == [
        ("activated", "ann", "try", "r1", "t", 0, 1),
        ("rolled_back", "bob", "worse", "r1", "t", 1, 0),
    ]
    assert entries[0].rules == made.files
    assert entries[0].digest == made.digest
    assert (check(tmp_path).problems, check(tmp_path).notes) == ([], [])


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda t: (t / "current").unlink(), "no generation is active, but generation 2 is by line 2"),
        (
            lambda t: os.rename(t / "generations/0001", t / "x"),
            "generation 1 of target t, of line 1, is not in",
        ),
        (lambda t: (t / "generations/0001/syscall/x.lua").write_text("x"), "x.lua was added to generation 1"),
        (lambda t: os.rename(t, t.parent / "u"), "the rulebook of target t is not there any more"),
    ],
)
def test_a_rulebook_that_does_not_agree_is_a_problem(
    tmp_path: Path, damage: Callable[[Path], object], told: str
) -> None:
    activate(tmp_path)
    activate(tmp_path, "close")
    damage(tmp_path / "t")
    assert told in "; ".join(check(tmp_path).problems)


def test_a_generation_that_nobody_decided_on_is_a_problem(tmp_path: Path) -> None:
    other = activate(tmp_path / "other")
    activate(tmp_path)
    os.rename(other.directory, tmp_path / "t/generations/0002")
    assert check(tmp_path).problems[0] == "target t: generation 1 lies in a directory of another number"


def test_rules_that_are_older_than_the_log_are_noted(tmp_path: Path) -> None:
    activate(tmp_path)
    os.rename(tmp_path / audit_log.AUDIT_DIR, tmp_path.parent / "away")
    found = check(tmp_path)
    assert found.notes == ["generation 1 of target t is older than the audit log"]
    assert found.problems == ["there is no audit log, though rules were made active: it was removed"]
    activate(tmp_path, "close")
    assert check(tmp_path).notes == found.notes


def test_an_event_log_that_was_changed_is_found(tmp_path: Path) -> None:
    run = tmp_path / "ai_runs/r1"
    run.mkdir(parents=True)
    append_event(run, "rejected", {"reason": "no"}, "ann")
    (source,) = event_digests(run)
    rulebook = tmp_path / "rulebook"
    append(rulebook, Entry(kind="rejected", actor="ann", run="r1", source=source))
    assert check(rulebook, run.parent).whole
    log = run / "events.jsonl"
    log.write_bytes(log.read_bytes().replace(b'"no"', b'"ok"'))
    assert "the event log of run r1 does not have" in check(rulebook, run.parent).problems[0]
