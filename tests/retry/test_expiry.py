"""Rules whose evidence is gone are set aside before the next start, whatever happens; and are renewed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.killing import Kill, carried_out
from tests.retry.decisions import check_nothing_left, copied, memory_directory
from tests.runs.build import failed_open, write_run
from triage_tui.errors import Conflict, TriageError
from triage_tui.guest.spec import resolve_target
from triage_tui.retry.guests import launch_spec
from triage_tui.retry.pending import Step, no_step
from triage_tui.retry.rounds.loop import run_rounds
from triage_tui.retry.rounds.policy import Limits
from triage_tui.retry.rules.expiry import EXPIRE_STEPS, Ground, aside_now, expire
from triage_tui.retry.rules.renewal import renew
from triage_tui.retry.start import Start
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import generations, manifest, rulefile
from triage_tui.rulebook.audit.check import check
from triage_tui.rulebook.audit.log import read_log
from triage_tui.rulebook.check.explain import parse_match
from triage_tui.rulebook.evidence import (
    EVIDENCE,
    Evidence,
    Site,
    contradiction,
    evidence_text,
    parse_evidence,
    site_of,
)
from triage_tui.rulebook.generations import Generation, SetAside
from triage_tui.rulebook.targets import describe
from triage_tui.runs.model import Snapshot, Syscall, Target, Trigger
from triage_tui.runs.process_model import Mapping
from triage_tui.runs.reader import load_run

RULE = "syscall/openat@fix-1.lua"
BODY = b"function do_syscall() return 0, 0 end\n"
CONFIG = "/etc/app.conf"

Rootfs = Callable[[str], Path]


def rule(evidence: Evidence, name: str = "fix-1", path: str = CONFIG) -> bytes:
    extra = {EVIDENCE: evidence_text(evidence)}
    header = rulefile.RuleHeader(id=name, match=f"openat path={path}", hit_limit=2, risk="low", extra=extra)
    return rulefile.compose(header, BODY)


def start_of(root: Path) -> Start:
    return Start(program="/bin/busybox", argv=["busybox", "cat", CONFIG], rootfs=str(root), probing=False)


def target_of(start: Start) -> Target:
    return resolve_target(launch_spec(start))[0]


def write_run_of(start: Start, place: Path, call: Syscall) -> str:
    """Record a run of the program with one call."""
    run_dir = write_run(place / "ai_runs", [call])
    target = target_of(start)
    path = run_dir / "snapshot.json"
    snapshot = json.loads(path.read_text())
    snapshot["target"] |= {
        "target_id": target.target_id,
        "rootfs": target.rootfs,
        "program_sha256": target.program_sha256,
    }
    path.write_text(json.dumps(snapshot))
    return load_run(run_dir).run_id


@pytest.fixture(scope="module")
def root(rootfs: Rootfs) -> Iterator[Path]:
    with memory_directory() as place:
        (place / "fw/bin").mkdir(parents=True)
        shutil.copy2(rootfs("busybox-mipsel") / "bin/busybox", place / "fw/bin/busybox")
        yield place / "fw"


def with_rule(place: Path, start: Start, evidence: Evidence | None = None) -> Path:
    """A workspace with one active rule of the program as it is now."""
    target = target_of(start)
    text = rule(evidence or Evidence(binary=target.program_sha256, errno="ENOENT"))
    target_dir = Workspace(place).rulebook_dir(target.target_id)
    describe(target_dir, target)
    generations.activate(target_dir, add={RULE: text}, actor="ann", reason="approved")
    return target_dir


def active(target_dir: Path) -> Generation:
    found = generations.current(target_dir)
    assert found is not None
    assert generations.verify(found) == []
    return found


@pytest.mark.parametrize("name", ["busybox-mipsel", "busybox-s390x"])
def test_a_real_program_that_is_another_one_at_the_next_start(
    tmp_path: Path, rootfs: Rootfs, name: str
) -> None:
    fw = tmp_path / "fw"
    shutil.copytree(rootfs(name), fw, symlinks=True)
    program = next(path for path in ("/bin/busybox", "/usr/bin/busybox") if (fw / path[1:]).is_file())
    start = Start(program=program, argv=["busybox", "cat", CONFIG], rootfs=str(fw), probing=False)
    workspace = Workspace(tmp_path / "w")
    first = run_rounds(workspace, start, policy="auto", limits=Limits(rounds=2))
    assert first.exit_code == 0
    before = target_of(start)
    approved = active(workspace.rulebook_dir(before.target_id))
    (text,) = (manifest.read_file(approved, path) for path in approved.files)
    evidence = parse_evidence(rulefile.parse(text).header.extra[EVIDENCE])
    assert (evidence.binary, evidence.errno) == (before.program_sha256, "ENOENT")
    assert evidence.site is not None
    assert evidence.site.path == program

    with (fw / program[1:]).open("ab") as binary:
        binary.write(b"another build")
    told: list[str] = []
    second = run_rounds(workspace, start, policy="auto", limits=Limits(rounds=1), narrate=told.append)
    assert any(line.startswith(f"set aside: {next(iter(approved.files))}: the program is") for line in told)
    assert "started without rules" in told
    assert second.exit_code == 4
    now = target_of(start)
    said = renew(workspace, now.target_id, reason="the same code")
    assert said == "1 rule active again (generation 2)"
    third = run_rounds(workspace, start, policy="auto", limits=Limits(rounds=1), narrate=told.append)
    assert third.exit_code == 0
    assert sum(line.startswith(("set aside", "still")) for line in told) == 1
    # The program from before has its rules as they were.
    assert active(workspace.rulebook_dir(before.target_id)) == approved
    kinds = [line.entry.kind for line in read_log(workspace.rulebook)[0] if line.entry is not None]
    assert [kind for kind in kinds if kind in ("activated", "expired", "renewed")] == [
        "activated", "expired", "renewed",
    ]  # fmt: skip
    assert check(workspace.rulebook, workspace.runs_dir).problems == []


def test_nothing_expires_while_everything_is_as_it_was(tmp_path: Path, root: Path) -> None:
    start = start_of(root)
    target_dir = with_rule(tmp_path, start)
    told: list[str] = []
    assert expire(Workspace(tmp_path), start, told.append) is None
    assert (told, active(target_dir).number) == ([], 1)


def test_a_file_that_is_there_by_now_ends_the_rule_that_stood_in_for_it(tmp_path: Path, root: Path) -> None:
    fw = tmp_path / "fw"
    shutil.copytree(root, fw)
    start = start_of(fw)
    target_dir = with_rule(tmp_path / "w", start)
    (fw / "etc").mkdir()
    (fw / CONFIG[1:]).write_text("mode=router\n")
    told: list[str] = []
    made = expire(Workspace(tmp_path / "w"), start, told.append)
    assert made is not None
    assert (dict(made.files), made.set_aside[RULE].gone) == ({}, "errno")
    assert told[0].startswith(f"set aside: {RULE}: {CONFIG} is in the root file system now")
    told.clear()
    assert expire(Workspace(tmp_path / "w"), start, told.append) is None
    assert told == [f"still set aside: {RULE}: {made.set_aside[RULE].why}"]
    # A person wants it anyway, and it stays.
    renew(Workspace(tmp_path / "w"), target_dir.name, ["fix-1"])
    assert expire(Workspace(tmp_path / "w"), start, told.append) is None
    assert list(active(target_dir).files) == [RULE]


@pytest.mark.parametrize(
    ("syscall", "failed", "now", "gone"),
    [
        ("openat", "ENOENT", "file", True),
        ("openat", "ENOENT", "directory", True),
        ("openat", "ENOENT", "nothing", False),
        ("openat", "EISDIR", "file", True),
        ("openat", "EISDIR", "directory", False),
        ("openat", "EISDIR", "nothing", False),
        ("openat", "ENOTDIR", "directory", False),
        # The interpreter, or the directory of the new name, may be what is missing.
        ("execve", "ENOENT", "file", False),
        ("rename", "ENOENT", "file", False),
        ("rename", "EISDIR", "file", False),
    ],
)
def test_what_the_root_file_system_tells_of_a_failure(
    tmp_path: Path, syscall: str, failed: str, now: str, gone: bool
) -> None:
    place = tmp_path / "fw" / CONFIG[1:]
    place.parent.mkdir(parents=True)
    if now == "file":
        place.write_text("")
    elif now == "directory":
        place.mkdir()
    target = Target("/bin/x", ["x"], "arm", rootfs=str(tmp_path / "fw"))
    text = rule(Evidence(errno=failed)).replace(b"-- match: openat", b"-- match: " + syscall.encode())
    lost = Ground(Workspace(tmp_path), target).lost(text)
    assert (lost is not None) == gone
    if lost is not None:
        assert f"does not fail with {failed} any more" in lost.why


def test_a_rule_whose_evidence_is_so_again_says_how_to_renew_it(tmp_path: Path, root: Path) -> None:
    fw = tmp_path / "fw"
    shutil.copytree(root, fw)
    start, workspace = start_of(fw), Workspace(tmp_path / "w")
    target_dir = with_rule(tmp_path / "w", start)
    (fw / "etc").mkdir()
    (fw / CONFIG[1:]).write_text("mode=router\n")
    expire(workspace, start, print)
    # A run of the time in which the file was there.
    write_run_of(start, tmp_path / "w", called(1, None))
    (fw / CONFIG[1:]).unlink()
    told: list[str] = []
    assert expire(workspace, start, told.append) is None
    command = f"triage-tui rules renew -C {workspace.root} {target_dir.name} {RULE}"
    assert told == [f"set aside, but its evidence is so again: {RULE}: {command}"]
    assert aside_now(workspace, target_dir.name)[RULE].why.startswith("its evidence is so again; it was set")
    # The reason that is told is the one that is so now.
    moved = write_run_of(start, tmp_path / "w", failed_open(1, CONFIG, "EACCES", -13))
    told.clear()
    expire(workspace, start, told.append)
    why = f"in run {moved} openat ended with EACCES in call 1, not with ENOENT"
    assert told == [f"still set aside: {RULE}: {why}"]
    # Renewed while all of its evidence is so, it keeps it, and stays.
    write_run_of(start, tmp_path / "w", failed_open(1, CONFIG, "ENOENT", -2))
    renew(workspace, target_dir.name)
    header = rulefile.parse(manifest.read_file(active(target_dir), RULE)).header
    assert parse_evidence(header.extra[EVIDENCE]).errno == "ENOENT"
    assert expire(workspace, start, print) is None


def test_rules_that_went_with_their_program_stay_set_aside(tmp_path: Path, root: Path) -> None:
    fw = tmp_path / "fw"
    shutil.copytree(root, fw)
    start, workspace = start_of(fw), Workspace(tmp_path / "w")
    target_dir = with_rule(tmp_path / "w", start)
    plain = rulefile.compose(rulefile.RuleHeader(id="fix-2", hit_limit=2), BODY)
    generations.activate(target_dir, add={"syscall/openat@fix-2.lua": plain}, actor="ann", reason="r")
    with (fw / "bin/busybox").open("ab") as binary:
        binary.write(b"another build")
    told: list[str] = []
    expire(workspace, start, told.append)
    told.clear()
    expire(workspace, start, told.append)
    assert [line.partition(": the program is another one now")[0] for line in told] == [
        f"still set aside: {name}" for name in (RULE, "syscall/openat@fix-2.lua")
    ]


def test_a_module_that_is_another_file_or_gone_ends_the_rule(tmp_path: Path, root: Path) -> None:
    fw = tmp_path / "fw"
    shutil.copytree(root, fw)
    (fw / "lib").mkdir()
    (fw / "lib/libc.so").write_bytes(b"code")
    start = start_of(fw)
    binary = target_of(start).program_sha256
    digest = "5694d08a2e53ffcae0c3103e5ad6f6076abd960eb1f8a56577040bc1028f702b"
    evidence = Evidence(binary=binary, module=digest, site=Site("/lib/libc.so", 0x40))
    with_rule(tmp_path / "w", start, evidence)
    assert expire(Workspace(tmp_path / "w"), start, print) is None
    whys: list[tuple[str, str]] = []
    for change in (lambda path: path.write_bytes(b"edoc"), Path.unlink):
        place = copied(tmp_path / "w", tmp_path / f"w{len(whys)}")
        change(fw / "lib/libc.so")
        made = expire(Workspace(place), start, print)
        assert made is not None
        whys.append((made.set_aside[RULE].gone, made.set_aside[RULE].why))
    assert whys == [
        ("site", "/lib/libc.so, from which the call came, is another file now"),
        ("site", "/lib/libc.so, from which the call came, is gone"),
    ]


def test_the_newest_run_of_the_target_speaks_against_a_rule(tmp_path: Path, root: Path) -> None:
    start = start_of(root)
    with_rule(tmp_path, start)
    run = write_run_of(start, tmp_path, failed_open(1, CONFIG, "EACCES", -13))
    made = expire(Workspace(tmp_path), start, print)
    assert made is not None
    why = f"in run {run} openat ended with EACCES in call 1, not with ENOENT"
    assert made.set_aside[RULE].why == why


def test_what_no_approval_would_take_is_not_renewed(tmp_path: Path, root: Path) -> None:
    start = start_of(root)
    target_dir = with_rule(tmp_path, start, Evidence(binary="0" * 64))
    workspace, name = Workspace(tmp_path), target_dir.name
    second = "syscall/openat@fix-2.lua"
    broken = rule(Evidence(binary="0" * 64), "fix-2").replace(b"return 0, 0", b"return c_nothing()")
    generations.activate(target_dir, add={second: broken}, actor="ann", reason="r")
    expire(workspace, start, print)
    aside = active(target_dir)
    assert list(aside.set_aside) == [RULE, second]
    with pytest.raises(TriageError, match=r"openat@fix-2.lua has an error, line \d+, so nothing was"):
        renew(workspace, name)
    own = tmp_path / "rulebook/own/syscall/openat@fix-1.lua"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"function do_syscall() return 1, -2 end\n")
    with pytest.raises(Conflict, match=r"your own file own/syscall/openat@fix-1.lua hides"):
        renew(workspace, name, ["fix-1"])
    assert active(target_dir) == aside
    # Of one that acts on the same calls it is said, as before an approval.
    own.unlink()
    answers = rule(Evidence(), "fix-3").replace(b"return 0, 0", b"return 1, -2")
    generations.activate(target_dir, add={"syscall/openat@fix-3.lua": answers}, actor="ann", reason="r")
    kept = rule(Evidence(binary="0" * 64), "fix-4").replace(b"return 0, 0", b"return 1, -13")
    generations.activate(target_dir, add={"syscall/openat@fix-4.lua": kept}, actor="ann", reason="r")
    expire(workspace, start, print)
    said = renew(workspace, name, ["fix-4"])
    assert "openat@fix-4.lua: the active rule fix-3 (path=/etc/app.conf) is for the same calls" in said


MAPS = [Mapping(start=0x10000, end=0x20000, perms="r-xp", offset=0x1000, path="/bin/x")]


def called(seq: int, errno: str | None, pc: int = 0x10010, by: str | None = None) -> Syscall:
    return Syscall(
        seq=seq, name="openat", path=CONFIG, ret=-2 if errno else 3, errno=errno, pc=pc, rule=by, pid=2
    )


@pytest.mark.parametrize(
    ("calls", "part"),
    [
        ([], None),
        ([called(1, "ENOENT")], None),
        ([called(1, None)], "errno"),
        ([called(1, "EACCES"), called(2, "ENOENT")], None),
        # What follows the act of a rule is not as it was without.
        ([called(1, "ENOENT", by="fix-1"), called(2, None)], None),
        ([called(1, None, by="fix-1")], None),
        ([called(1, "ENOENT", pc=0x10020)], "site"),
        ([called(1, "ENOENT", pc=0x10020), called(2, "ENOENT")], None),
        ([called(1, "ENOENT", pc=0x90000)], None),
    ],
)
def test_what_a_run_says_against_evidence(calls: list[Syscall], part: str | None) -> None:
    evidence = Evidence(errno="ENOENT", site=Site("/bin/x", 0x1010))
    snapshot = Snapshot(
        run_id="r",
        reason="exit",
        created_at="",
        trigger=Trigger(seq=9, syscall_name="exit", pid=2),
        target=Target(program="/bin/x", argv=["x"], arch="arm"),
        maps=MAPS,
    )
    found = contradiction(evidence, parse_match(f"openat path={CONFIG}"), snapshot, calls)
    assert (found.part if found is not None else None) == part


def test_a_place_does_not_depend_on_where_a_file_is_loaded() -> None:
    moved = [Mapping(start=0x7F0000, end=0x800000, perms="r-xp", offset=0x1000, path="/bin/x")]
    assert site_of(called(1, None, pc=0x10010), MAPS) == site_of(called(1, None, pc=0x7F0010), moved)


@pytest.mark.parametrize(
    "evidence",
    [
        Evidence(),
        Evidence(binary="a" * 64, errno="ENOENT", module="b" * 64, site=Site("/lib/a b+0x2 c.so", 0xFFFF)),
        Evidence(site=Site("/x", 0)),
    ],
)
def test_evidence_is_read_as_it_was_written(evidence: Evidence) -> None:
    assert parse_evidence(evidence_text(evidence)) == evidence


@pytest.mark.parametrize(
    "text", ["binary=zz", "errno=enoent", "x" * 900, "site=relative+0x1", "site=/x+1", "errno=E1 binary="]
)
def test_evidence_without_its_form_says_nothing(text: str) -> None:
    assert parse_evidence(text) == Evidence()


# Crashes


def expiring(place: Path, start: Start, step: Step) -> object:
    return expire(Workspace.at(place), start, lambda _: None, step)


def renewing(place: Path, start: Start, step: Step) -> object:
    return renew(Workspace.at(place), target_of(start).target_id, actor="bob", step=step)


@pytest.mark.parametrize("decide", [expiring, renewing])
def test_a_kill_at_any_step_leaves_the_old_or_the_new_state(
    root: Path, decide: Callable[[Path, Start, Step], object]
) -> None:
    start = start_of(root)
    with memory_directory() as place:
        kept = place / "kept"
        target_dir = with_rule(kept, start, Evidence(binary="0" * 64))
        if decide is renewing:
            expiring(kept, start, no_step)
        name = target_dir.name
        old = active(target_dir)
        whole = copied(kept, place / "whole")
        reached: list[str] = []
        decide(whole, start, reached.append)
        assert tuple(reached) == EXPIRE_STEPS
        new = active(whole / "rulebook" / name)
        check_nothing_left(whole)
        numbers = []
        for step in EXPIRE_STEPS:
            killed = copied(kept, place / step)
            ended, _ = carried_out(partial(decide, killed, start), Kill(step=step))
            assert ended == "killed"
            Workspace.at(killed)
            found = active(killed / "rulebook" / name)
            expected = old if found.number == old.number else new
            assert (found.files, found.set_aside.keys()) == (expected.files, expected.set_aside.keys())
            check_nothing_left(killed)
            numbers.append(found.number)
            # Whatever was found, doing it again comes to the new state.
            if found.number == old.number:
                decide(killed, start, no_step)
            assert active(killed / "rulebook" / name).files == new.files
        assert numbers == sorted(numbers)
        assert {old.number, new.number} == set(numbers)


@pytest.mark.parametrize("target", ["..", "../..", "x/../..", "elsewhere"])
def test_a_planted_note_of_what_is_set_aside_does_nothing(tmp_path: Path, target: str) -> None:
    other = tmp_path / "elsewhere"
    generations.activate(other, add={RULE: rule(Evidence())}, actor="a", reason="r")
    workspace = Workspace(tmp_path / "w")
    target_dir = workspace.rulebook_dir("x-1")
    planted = SetAside(sha256=rule(Evidence()).hex()[:64], target=target, generation=1, why="")
    generations.activate(target_dir, add={}, actor="a", reason="r", set_aside={RULE: planted})
    with pytest.raises(TriageError):
        renew(workspace, "x-1")
    assert dict(active(target_dir).files) == {}


def test_of_two_changes_at_once_the_second_is_told(tmp_path: Path, root: Path) -> None:
    start = start_of(root)
    target_dir = with_rule(tmp_path, start, Evidence(binary="0" * 64))
    expire(Workspace(tmp_path), start, print)

    def between(step: str) -> None:
        if step == "begun":
            generations.rollback(target_dir, actor="ann")

    with pytest.raises(Conflict, match="generation 1 is active by now, not 2"):
        renew(Workspace(tmp_path), target_dir.name, step=between)
