"""The options that say when a guest is frozen and how its service is asked, at the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.commands import triage_here, triage_json
from tests.programs import root_with
from triage_tui.retry.start import read_start
from triage_tui.runs.listing import run_dirs
from triage_tui.runs.reader import load_run

Rootfs = Callable[[str], Path]


def test_a_chosen_failure_is_the_trigger_and_is_kept_for_retries(tmp_path: Path) -> None:
    root = root_with(tmp_path / "root", "mipsel", "calls")
    options = ("--wait", "0.1", "--stop-on", "open:ENOENT:/etc/*", "--grace", "0.5", "--rootfs", str(root))
    story = triage_json(tmp_path, "run", *options, "/bin/calls")
    (entry,) = story["rounds"]
    assert entry["reason"] == "syscall"
    assert entry["diagnosis"]["hypotheses"][0]["cause"] == "missing_file"
    (directory,) = run_dirs(tmp_path / "ai_runs")
    start = read_start(directory)
    assert [str(call) for call in start.triggers.calls] == ["open:ENOENT:/etc/*"]
    assert start.triggers.grace_s == 0.5


def test_a_service_that_answers_is_well_at_the_command_line(tmp_path: Path) -> None:
    root = root_with(tmp_path / "root", "aarch64", "serves")
    done = triage_here(tmp_path, "run", "--idle", "0.5", "--rootfs", str(root), "/bin/serves")
    assert done.returncode == 0
    assert "This looks healthy" in done.stderr + done.stdout
    (directory,) = run_dirs(tmp_path / "ai_runs")
    run = load_run(directory)
    assert [probe.outcome for probe in run.snapshot.probes] == ["answered"]
    # It echoes what it gets.
    assert run.snapshot.probes[0].reply.startswith("GET / HTTP/1.0")


def test_a_service_that_a_person_s_probe_finds_wrong_is_not_well(tmp_path: Path) -> None:
    root = root_with(tmp_path / "root", "arm", "serves")
    options = ("--idle", "0.5", "--wait", "0.1", "--probe", "http:8080/", "--rootfs", str(root))
    done = triage_here(tmp_path, "run", *options, "/bin/serves")
    assert done.returncode == 4
    (directory,) = run_dirs(tmp_path / "ai_runs")
    assert [probe.outcome for probe in load_run(directory).snapshot.probes] == ["wrong"]


def test_nothing_is_asked_where_that_is_not_wanted(tmp_path: Path) -> None:
    root = root_with(tmp_path / "root", "arm", "serves")
    options = ("--idle", "0.5", "--no-probe", "--rootfs", str(root))
    assert triage_here(tmp_path, "run", *options, "/bin/serves").returncode == 0
    (directory,) = run_dirs(tmp_path / "ai_runs")
    assert load_run(directory).snapshot.probes == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--stop-on", "open close"), "names no call"),
        (("--stop-on", "frobnicate"), "no syscall 'frobnicate'"),
        (("--stop-on", "open:ENOTHING"), "no error 'ENOTHING'"),
        (("--probe", "ftp:21"), "is no probe"),
        (("--probe", "tcp:80", "--no-probe"), "contradict"),
        (("--loop-period", "65"), "1 to 64 calls"),
        (("--sleep-repeats", "1"), "at least 2 rounds"),
        (("--loop-span", "0"), "above 0"),
        (("--grace", "nan"), "0 or more seconds"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(
    tmp_path: Path, rootfs: Rootfs, options: tuple[str, ...], words: str
) -> None:
    root = str(rootfs("busybox-armhf"))
    done = triage_here(tmp_path, "run", *options, "--rootfs", root, "/bin/busybox", "true")
    assert done.returncode != 0
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr
