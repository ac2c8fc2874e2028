"""Real programs get the rules of all layers: a person's own before what is active for them or for all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from triage_tui.guest.spec import resolve_target
from triage_tui.retry.guests import launch_spec
from triage_tui.retry.rounds.loop import run_rounds
from triage_tui.retry.start import Start
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import generations, statistics
from triage_tui.rulebook.audit.check import check

NAME = "syscall/openat@x.lua"


def refusing(errno: str) -> bytes:
    return (
        f"-- triage-rule: 1\n-- id: x\n-- hit-limit: 3\n-- risk: low\n\nfunction do_syscall(num, a1, a2)\n"
        f'  if c_read_string(a2) ~= "/missing" then return 0, 0 end\n  return 1, -c_errno("{errno}")\nend\n'
    ).encode()


def test_of_own_files_of_the_same_text_each_is_told_of_once(
    rootfs: Callable[[str], Path], tmp_path: Path
) -> None:
    own = tmp_path / "rulebook" / "own" / "syscall"
    own.mkdir(parents=True)
    for name in ("openat.lua", "openat@b.lua", "read.lua", "no rule.lua"):
        (own / name).write_bytes(b"")
    (own / "openat@x.lua").write_bytes(refusing("EIO"))
    told: list[str] = []
    argv = ["busybox", "cat", "/missing"]
    start = Start(program="/bin/busybox", argv=argv, rootfs=str(rootfs("busybox-armhf")), env={})
    run_rounds(Workspace(tmp_path), start, hold=False, narrate=told.append)
    assert "started with your own files: x" in told
    broken = [line.partition(": ")[0::2] for line in told if "does not act" in line]
    nothing = "it defines neither do_syscall nor after_syscall"
    assert sorted(place.removeprefix("own/syscall/") for place, _ in broken) == [
        *("no rule.lua does not act", "openat.lua does not act"),
        *("openat@b.lua does not act", "read.lua does not act"),
    ]
    assert sum(nothing in why for _, why in broken) == 3


def test_a_rule_that_has_made_all_its_hits_is_told_of(rootfs: Callable[[str], Path], tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    generations.activate(workspace.shared_dir, add={NAME: refusing("EIO")}, actor="t", reason="t")
    for count in (2, 3):
        told: list[str] = []
        argv = ["busybox", "cat", *["/missing"] * count]
        start = Start(program="/bin/busybox", argv=argv, rootfs=str(rootfs("busybox-armhf")), env={})
        run_rounds(workspace, start, hold=False, narrate=told.append)
        assert ("rule x was switched off: hit limit of 3 reached" in told) == (count == 3)


@pytest.mark.parametrize("program", ["busybox-armhf", "busybox-s390x"])
def test_a_persons_own_file_comes_before_what_is_active(
    rootfs: Callable[[str], Path], tmp_path: Path, program: str
) -> None:
    workspace = Workspace(tmp_path)
    argv = ["busybox", "cat", "/missing"]
    start = Start(program="/bin/busybox", argv=argv, rootfs=str(rootfs(program)), env={})
    target = resolve_target(launch_spec(start))[0].target_id
    generations.activate(workspace.shared_dir, add={NAME: refusing("EIO")}, actor="t", reason="t")

    def printed() -> tuple[str, list[str], str]:
        told: list[str] = []
        run = run_rounds(workspace, start, hold=False, narrate=told.append).rounds[0].run
        layers = [hit.layer for hit in run.snapshot.rule_hits if hit.hits]
        return run.text_file(run.snapshot.guest_output), layers, "\n".join(told)

    output, layers, told = printed()
    assert "Input/output error" in output
    assert layers == ["shared"]
    assert "started with generation 1 of the shared rules: x" in told

    own = workspace.rulebook / "own" / target / NAME
    own.parent.mkdir(parents=True)
    own.write_bytes(refusing("EACCES"))
    output, layers, told = printed()
    assert "Permission denied" in output
    assert layers == ["own"]
    assert f"{NAME} of shared generation 1 is hidden by own/{target}/{NAME}" in told
    assert own.read_bytes() == refusing("EACCES")
    assert check(workspace.rulebook, workspace.runs_dir).whole
    counted = statistics.totals(statistics.uses(workspace.rulebook))
    assert sorted((one.layers, one.hits) for one in counted.values()) == [(["own"], 1), (["shared"], 1)]
