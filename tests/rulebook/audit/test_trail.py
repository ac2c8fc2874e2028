"""The audit trail: who decided what on which bytes, and which approvals no longer hold."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from triage_tui.rulebook import generations, patches
from triage_tui.rulebook.audit.trail import AuditEntry, audit
from triage_tui.rulebook.rulefile import RuleHeader, compose
from triage_tui.runs.events import append_event, read_events

FILE = "fix/syscall/openat@a.lua"
ACTIVE = "syscall/openat@a.lua"
TEXT = compose(RuleHeader(id="a", hit_limit=2, risk="low"), b"function do_syscall(ctx) return nil end\n")
FIRST, SECOND = "20251118_140000_00000001", "20251118_150000_00000002"


def make_run(runs: Path, name: str, *events: tuple[str, str, dict[str, Any]]) -> Path:
    """Make a run that holds one rule file and these (kind, actor, payload) events."""
    run_dir = runs / name
    (run_dir / "rules_patch/fix/syscall").mkdir(parents=True)
    patches.write_rule(run_dir, FILE, TEXT)
    for kind, actor, payload in events:
        append_event(run_dir, kind, payload, actor)
    return run_dir


def entries(*runs: Path, book: Path | None = None) -> list[AuditEntry]:
    return list(audit([(run, read_events(run)[0]) for run in runs], book, runs[0].name).entries)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_persons_policies_and_the_program_are_told_apart(tmp_path: Path) -> None:
    run = make_run(
        tmp_path,
        FIRST,
        ("captured", "root", {"reason": "exit"}),
        ("approved", "policy:auto", {"files": {FILE: digest(TEXT)}, "proposals": ["p1"]}),
        ("rejected", "analyst", {"reason": "too broad"}),
        ("rolled_back", "analyst", {"from": 2, "to": 0}),
    )
    found = entries(run)
    assert [(one.kind, one.by, one.says) for one in found] == [
        ("captured", "program", "exit"),
        ("approved", "policy", "p1"),
        ("rejected", "person", "too broad"),
        ("rolled_back", "person", ""),
    ]
    assert (found[3].before, found[3].after) == (2, 0)
    assert [file.sha256 for file in found[1].files] == [digest(TEXT)]


def test_an_approval_is_stale_once_its_file_is_another_or_gone(tmp_path: Path) -> None:
    run = make_run(tmp_path, FIRST, ("approved", "analyst", {"files": {FILE: digest(TEXT)}}))
    assert not entries(run)[0].stale
    patches.write_rule(run, FILE, TEXT + b"\n")
    assert entries(run)[0].stale
    (run / "rules_patch" / FILE).unlink()
    assert entries(run)[0].stale


def test_an_approval_of_some_hunks_says_how_many_and_is_stale_once_the_file_is_gone(tmp_path: Path) -> None:
    payload = {"files": {FILE: "0" * 64}, "hunks": {FILE: ["h1", "h2"]}}
    run = make_run(tmp_path, FIRST, ("approved", "analyst", payload))
    (approval,) = entries(run)
    assert (approval.files[0].hunks, approval.stale) == (2, False)
    (run / "rules_patch" / FILE).unlink()
    assert entries(run)[0].stale


def test_of_other_runs_only_decisions_are_told(tmp_path: Path) -> None:
    first = make_run(tmp_path, FIRST, ("captured", "root", {}))
    second = make_run(tmp_path, SECOND, ("captured", "root", {}), ("rejected", "analyst", {"reason": "no"}))
    assert [(one.run_id, one.kind) for one in entries(first, second)] == [
        (FIRST, "captured"),
        (SECOND, "rejected"),
    ]


def test_generations_are_told_with_digests_even_when_their_run_is_gone(tmp_path: Path) -> None:
    book = tmp_path / "rulebook" / "target"
    generations.activate(book, add={ACTIVE: TEXT}, actor="analyst", reason=f"approved from run {SECOND}")
    run = make_run(tmp_path, FIRST, ("captured", "root", {}))
    (made,) = [one for one in entries(run, book=book) if one.kind == "activated"]
    assert (made.run_id, made.before, made.after, made.actor) == (SECOND, 0, 1, "analyst")
    assert made.files[0].sha256 == digest(TEXT)
    run = make_run(tmp_path / "more", SECOND, ("activated", "analyst", {"generation": 1, "files": [ACTIVE]}))
    (noted,) = entries(run, book=book)
    assert noted.files[0].sha256 == digest(TEXT), "told once, with the digest of the manifest"


def test_a_generation_that_was_changed_by_hand_is_told(tmp_path: Path) -> None:
    book = tmp_path / "rulebook" / "target"
    generation = generations.activate(book, add={ACTIVE: TEXT}, actor="analyst", reason="test")
    file = generation.directory / ACTIVE
    file.parent.chmod(0o755)
    file.chmod(0o644)
    file.write_bytes(TEXT + b"-- more\n")
    run = make_run(tmp_path, FIRST)
    (made,) = entries(run, book=book)
    assert "was changed after it was written" in made.problem


def test_hostile_payloads_are_no_error(tmp_path: Path) -> None:
    hostile: tuple[Any, ...] = (
        None,
        7,
        ["x", 3],
        {"../../etc/passwd": 5, "a\x1b[2J": "b" * 64},
        True,
        "x" * 5000,
    )
    run = make_run(tmp_path, FIRST)
    for kind in ("approved", "activated", "rolled_back", "edited", "rejected", "retry_finished", "decision"):
        for value in hostile:
            keys = ("files", "file", "generation", "parent", "from", "to", "reason", "verdict", "proposals")
            append_event(run, kind, dict.fromkeys(keys, value), "e\x1b]0;x\x07vil")
    found = entries(run, book=tmp_path / "no rulebook")
    assert len(found) == 7 * len(hostile)
    assert all(len(file.name) <= 1000 for one in found for file in one.files)
