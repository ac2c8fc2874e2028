"""From a real program's failure to a verdict, and back: real QEMU, real programs, the real commands."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.commands import (
    Watcher,
    best,
    last_json,
    processes_with,
    read_when_there,
    start_in_background,
    triage,
    triage_here,
    triage_json,
    triage_lines,
    wait_until_gone,
)
from tests.ui.terminal import Terminal
from tests.waiting import PATIENCE_S
from triage_tui.retry.actions import LocalActions
from triage_tui.retry.workspace import Workspace
from triage_tui.setup import known_programs

Rootfs = Callable[[str], Path]


@pytest.fixture
def watcher(tmp_path: Path) -> Watcher:
    return Watcher(tmp_path)


QUICKER = {
    "udhcpc-mipsel": (("--idle", "2"), ("-t", "1", "-T", "1")),
    "haveged-armhf": (("--grace", "0.2", "--no-probe"), ()),
}
"""Options and further arguments with which a story is the same one and has less of waiting in it."""


def run_auto(workspace: Path, rootfs: Rootfs, name: str) -> list[dict]:  # type: ignore[type-arg]
    options, more = QUICKER.get(name, ((), ()))
    argv = (*known_programs()[name].argv, *more)
    words = ("--json", "--policy", "auto", *options, "--rootfs", str(rootfs(name)))
    return last_json(triage(workspace, "run", *words, *argv))["rounds"]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("name", "reason", "cause"),
    [
        ("udhcpc-mipsel", "exit", "missing_interface"),
        ("xl2tpd-arm64", "exit", "missing_dir"),
        ("haveged-armhf", "exit", "missing_file"),
        ("tail-armel", "sleep_loop", "missing_file"),
    ],
)
def test_from_the_failure_to_progress_and_back(
    tmp_path: Path, rootfs: Rootfs, name: str, reason: str, cause: str
) -> None:
    rounds = run_auto(tmp_path, rootfs, name)
    assert rounds[0]["reason"] == reason
    assert best(rounds[0])["cause"] == cause
    assert rounds[0]["approved"]
    assert rounds[1]["verdict"]["word"] in ("progressed", "resolved")
    assert rounds[1]["verdict"]["masked"], "what a rule supplied must be said"
    first = rounds[0]["run_id"]
    counted = last_json(triage_here(tmp_path, "rules", "stats", "--json"))["rules"]
    assert any(rule["helped"] and rule["hits"] and rule["matches"] >= rule["hits"] for rule in counted)
    assert not any(rule["hurt"] for rule in counted)

    for entry in reversed(rounds):
        if entry["approved"]:
            done = triage_here(tmp_path, "rollback", entry["run_id"])
            assert done.returncode == 0, done.stderr
    again = triage_json(tmp_path, "retry", first)["rounds"][0]
    assert again["reason"] == reason
    assert best(again)["cause"] == cause
    assert triage_json(tmp_path, "show", first)["state"] in ("sideways", "regressed", "inconclusive")


def test_a_frozen_loop_goes_on_where_it_stopped(tmp_path: Path, rootfs: Rootfs, watcher: Watcher) -> None:
    argv = known_programs()["tail-armel"].argv
    process = start_in_background(tmp_path, rootfs("tail-armel"), argv, "--sleep-repeats", "2")
    try:
        waiting = watcher.until_waiting(state="proposed")
        shown = triage_json(tmp_path, "show", waiting.run_id)
        assert shown["snapshot"]["loop"]["sleeps"]
        done = triage(tmp_path, "approve", waiting.run_id, "--then", "resume")
        assert done.returncode == 0, done.stderr
        after = watcher.until_waiting(round=1)
        # A guest waits as soon as it is recorded; it is judged right after.
        verdict = read_when_there(tmp_path / "ai_runs" / after.run_id / "verdict.json")
        assert verdict["how"] == "resume"
        assert verdict["word"] in ("progressed", "resolved")
        assert any(text.startswith("read") for text in verdict["novel"]) or verdict["novel"]
        assert triage_here(tmp_path, "decide", after.run_id, "end").returncode == 0
        process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()


def test_two_deciders_on_one_frozen_guest(tmp_path: Path, rootfs: Rootfs, watcher: Watcher) -> None:
    process = start_in_background(tmp_path, rootfs("udhcpc-mipsel"), known_programs()["udhcpc-mipsel"].argv)
    try:
        waiting = watcher.until_waiting(state="proposed")
        refused = triage_here(tmp_path, "retry", waiting.run_id)
        assert refused.returncode == 3
        assert "is frozen and waits" in refused.stderr
        first = triage_here(tmp_path, "decide", waiting.run_id, "end")
        second = triage_here(tmp_path, "decide", waiting.run_id, "retry")
        assert first.returncode == 0
        assert second.returncode == 3
        assert "triage-tui: " in second.stderr
        process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
        process.communicate()


def test_a_run_whose_holder_is_gone_starts_again_in_the_background(
    tmp_path: Path, rootfs: Rootfs, watcher: Watcher
) -> None:
    rounds = triage_json(
        tmp_path, "run", "--policy", "auto", "--rounds", "1",
        "--rootfs", str(rootfs("busybox-arm64")), "/bin/busybox", "cat", "/no/such/file",
    )["rounds"]  # fmt: skip
    said = LocalActions(Workspace(tmp_path), "ann").retry(rounds[0]["run_id"])
    assert "in the background" in said
    again = watcher.until_waiting(round=1, state="proposed")
    assert again.parent_run == rounds[0]["run_id"]
    assert triage_json(tmp_path, "show", rounds[0]["run_id"])["state"] == "sideways"
    assert triage_here(tmp_path, "decide", again.run_id, "end").returncode == 0
    watcher.until("ended", run_id=again.run_id)
    wait_until_gone(f"retry -C {tmp_path} ")


APPLETS = [
    ("busybox-mipsel", ["cat", "/no/such/file"], "/no/such/file"),
    ("busybox-armhf", ["md5sum", "/opt/firmware.bin"], "/opt/firmware.bin"),
    ("busybox-arm64", ["sh", "/etc/init.d/rcS"], "/etc/init.d/rcS"),
    ("busybox-armel", ["head", "-n1", "etc/version"], "etc/version"),
    ("busybox-mipsel", ["wc", "/mnt/a b/c.txt"], "/mnt/a b/c.txt"),
]


@pytest.mark.parametrize(("name", "applet", "path"), APPLETS, ids=lambda value: str(value))
def test_any_applet_that_lacks_a_file_is_explained(
    tmp_path: Path, rootfs: Rootfs, name: str, applet: list[str], path: str
) -> None:
    words = ("--policy", "auto", "--rounds", "1", "--rootfs", str(rootfs(name)))
    first = triage_json(tmp_path, "run", *words, "/bin/busybox", *applet)["rounds"][0]
    hypothesis = best(first)
    assert hypothesis["cause"] == "missing_file"
    shown = triage_here(tmp_path, "show", first["run_id"], "--section", "evidence").stdout
    assert re.search(rf'^ok .*{re.escape(path)}" *.*= -1 ENOENT', shown, re.M), shown
    assert f'"{path}"' in first["diagnosis"]["headline"] or path in first["diagnosis"]["headline"]
    assert "ENOENT" in first["diagnosis"]["headline"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_survives_the_supervisor(
    tmp_path: Path, rootfs: Rootfs, watcher: Watcher, number: signal.Signals
) -> None:
    marker = f"/var/log/{tmp_path.name}"
    argv = ["/bin/busybox", "tail", "-F", marker]
    process = start_in_background(tmp_path, rootfs("busybox-armel"), argv, "--sleep-repeats", "2")
    watcher.until_waiting(state="proposed")
    assert any("qemu" in line or "busybox" in line for line in processes_with(marker))
    process.send_signal(number)
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode != 0
    wait_until_gone(marker)
    runs = triage_json(tmp_path, "list")
    assert runs["waiting"] is False
    assert runs["problem"] is None


def test_the_guests_of_a_demo_end_with_it_however_it_ends(
    tmp_path: Path, qemu_dir: Path, watcher: Watcher
) -> None:
    workspace = tmp_path
    with Terminal(workspace, 24, 80, ("demo",)) as terminal:
        watcher.until_waiting(state="proposed")
        os.kill(terminal.pid, signal.SIGKILL)
    wait_until_gone(f"run -C {workspace} ")
    assert not any(entry["waiting"] for entry in triage_lines(workspace, "list"))
