"""Settings of a program's start as rules: real programs on an emulator that does what they say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.commands import best, triage_here, triage_json
from tests.programs import root_with
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import generations
from triage_tui.runs.reader import Run, load_run

Rootfs = Callable[[str], Path]
HEADER = "-- triage-rule: 1\n-- id: {id}\n-- risk: low\n\n"


def retried(workspace: Path, run_id: str) -> Run:
    return load_run(workspace / "ai_runs" / triage_json(workspace, "retry", run_id)["rounds"][0]["run_id"])


@pytest.mark.parametrize(
    ("arch", "old", "model"), [("armhf", "arm926", "max"), ("mips", "4Kc", "74Kf")], ids=["armhf", "mips"]
)
def test_a_too_old_processor_is_replaced_and_comes_back(
    arch: str, old: str, model: str, rootfs: Rootfs, tmp_path: Path
) -> None:
    """Little-endian and big-endian; byte for byte the old start after the roll back."""
    root = rootfs("busybox-armhf") if arch == "armhf" else root_with(tmp_path / "root", arch, "chain")
    argv = ["/bin/busybox", "echo", "hello"] if arch == "armhf" else ["/bin/chain"]
    words = [
        "--policy",
        "auto",
        "--rounds",
        "2",
        "--qemu-arg=-cpu",
        f"--qemu-arg={old}",
        "--rootfs",
        str(root),
    ]
    rounds = triage_json(tmp_path, "run", *words, *argv)["rounds"]
    first, second = (load_run(tmp_path / "ai_runs" / one["run_id"]) for one in rounds)
    assert first.snapshot.reason == "signal"
    assert best(rounds[0])["entry"] == "illegal-instruction"
    assert second.snapshot.reason == "exit"
    assert rounds[1]["verdict"]["word"] in ("progressed", "resolved")
    says = f"processor model {model}"
    assert f"it was started with {says}, by rule start-processor" in rounds[1]["verdict"]["reasons"]
    assert [one.says for one in second.snapshot.start_settings] == [says]
    assert second.snapshot.target == first.snapshot.target
    start = [(run.dir / "start.json").read_bytes() for run in (first, second)]
    assert start[0] == start[1], "what a person asked for stays as it is"

    assert triage_here(tmp_path, "rollback", first.run_id).returncode == 0
    again = retried(tmp_path, first.run_id)
    assert again.snapshot.trigger.detail == first.snapshot.trigger.detail
    assert (again.snapshot.start_settings, again.snapshot.rule_hits) == ([], [])


SHELL = """echo "user $(/bin/busybox id -u) in $PWD, HOME $HOME, OLD <$OLD>, LD_PRELOAD $LD_PRELOAD, $0 $1"
/bin/busybox ifconfig lan7
test -n "$1"
"""
SETTINGS = {
    "directory": '{ path = "/usr" }',
    "environment": '{ HOME = "/home/x y", OLD = false, LD_PRELOAD = "/lib/none.so" }',
    "user": "{ id = 1000 }",
    "interfaces": '{ "lan7" }',
    "helpers": "{ emulate = true }",
}


def test_every_setting_reaches_the_program_and_leaves_it_again(rootfs: Rootfs, tmp_path: Path) -> None:
    """The person's own start has programs refused, another variable, and no argument."""
    words = ["--policy", "auto", "--rounds", "1", "--exec", "refuse", "--env", "OLD=1"]
    root = str(rootfs("busybox-armhf"))
    argv = ["/bin/busybox", "sh", "-c", SHELL, "zero"]
    first = triage_json(tmp_path, "run", *words, "--rootfs", root, *argv)["rounds"][0]["run_id"]
    before = load_run(tmp_path / "ai_runs" / first)
    target = Workspace(tmp_path).rulebook_dir(before.snapshot.target.target_id)
    lists = ", ".join(f"[==[{word}]==]" for word in [*argv, "one"])
    bodies = {**SETTINGS, "arguments": f"{{ {lists} }}"}
    rules = {
        f"start/{name}@start-{name}.lua": f"{HEADER.format(id=f'start-{name}')}return {body}\n".encode()
        for name, body in bodies.items()
    }
    generations.activate(target, add=rules, actor="test", reason="test")

    after = retried(tmp_path, first)
    said = (after.dir / after.snapshot.guest_output).read_text()
    assert "user 1000 in /usr, HOME /home/x y, OLD <>, LD_PRELOAD /lib/none.so, zero one" in said
    assert "inet addr:192.168." in said
    assert after.snapshot.trigger.exit_code == 0
    assert after.snapshot.target.argv == [*argv, "one"]
    assert after.snapshot.target.cwd == "/usr"
    assert after.snapshot.target.target_id == before.snapshot.target.target_id
    told = {one.setting: one.says for one in after.snapshot.start_settings}
    assert told["environment"] == "environment HOME set, without OLD, LD_PRELOAD set", "no values"
    assert told.keys() == bodies.keys()
    shown = triage_here(tmp_path, "show", after.run_id).stdout
    assert "start-user: 1 hit on start" in shown

    generations.rollback(target, 0)
    back = retried(tmp_path, first)
    assert (back.dir / back.snapshot.guest_output).read_bytes() == (
        before.dir / before.snapshot.guest_output
    ).read_bytes()
    assert back.snapshot.target == before.snapshot.target


def test_a_start_that_cannot_be_is_refused_in_one_sentence(rootfs: Rootfs, tmp_path: Path) -> None:
    words = ["--policy", "auto", "--rounds", "1", "--rootfs", str(rootfs("busybox-armhf"))]
    first = triage_json(tmp_path, "run", *words, "/bin/busybox", "false")["rounds"][0]["run_id"]
    snapshot = load_run(tmp_path / "ai_runs" / first).snapshot
    target = Workspace(tmp_path).rulebook_dir(snapshot.target.target_id)
    for name, body, told in (
        ("processor", '{ model = "nothing-like-it" }', "unable to find CPU model 'nothing-like-it'"),
        ("directory", '{ path = "/nowhere" }', "working directory /nowhere: No such file or directory"),
        ("directory", '{ path = "/../etc" }', "line 5: '/../etc' is no absolute path"),
        ("environment", '{ QEMU_LOG = "exec" }', "line 5: QEMU_LOG would change the emulator"),
        ("environment", '{ LD_PRELOAD = "a,b" }', "LD_PRELOAD cannot have a comma"),
        ("user", "{ id = -1 }", "line 5: the user's id must be a whole number"),
    ):
        rule = f"{HEADER.format(id='start-x')}return {body}\n".encode()
        generations.activate(target, add={f"start/{name}@start-x.lua": rule}, actor="test", reason="test")
        done = triage_here(tmp_path, "retry", first)
        assert done.returncode != 0
        assert told in done.stderr
        assert "Traceback" not in done.stderr
        generations.rollback(target, 0)
    assert len(list((tmp_path / "ai_runs").iterdir())) == 1
