"""A campaign over real programs: whatever is killed on the way, nothing is lost, and nothing left running."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import wait_until
from triage_tui.campaign.record import campaign_dir, read_campaign
from triage_tui.cli.main import main
from triage_tui.runs.events import process_start
from triage_tui.runs.listing import list_runs

Processes = set[tuple[int, int]]


def children(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_bytes().rpartition(b")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == pid and fields[0] != b"Z":
                found.append(int(entry.name))
    return found


def below(pid: int) -> Processes:
    """All processes below one, each with its start: guests and their emulators are among them."""
    found: Processes = set()
    for child in children(pid):
        found |= {(child, process_start(child) or 0)} | below(child)
    return found


def gone(processes: Processes) -> bool:
    return all(process_start(pid) != start for pid, start in processes)


def events(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    assert process.stdout is not None
    for line in process.stdout:
        yield json.loads(line)


def started(told: Iterator[dict[str, Any]], target: str, attempt: int) -> None:
    """Wait until a target was begun for the `attempt`-th time."""
    for event in told:
        if (event.get("event"), event.get("target"), event.get("attempt")) == ("started", target, attempt):
            return
    raise AssertionError(f"{target} was not begun {attempt} times")


@pytest.fixture
def targets(tmp_path: Path, rootfs: Callable[[str], Path]) -> Path:
    file = tmp_path / "targets.yaml"
    file.write_text(
        f"""
schema: 1
targets:
  - name: shell
    root: {rootfs("busybox-armel")}
    program: /bin/busybox
    argv: [/bin/busybox, sh, -c, "exit 3"]
  - name: l2tp
    root: {rootfs("xl2tpd-arm64")}
    program: /usr/sbin/xl2tpd
    argv: [/usr/sbin/xl2tpd, -D]
"""
    )
    return file


def test_a_killed_worker_and_a_killed_campaign_lose_nothing(
    targets: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["campaign", "-C", str(tmp_path), str(targets), "--workers", "1", "--time-limit", "8", "--json"]
    command = [sys.executable, "-m", "triage_tui", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        told = events(process)
        first = next(event for event in told if event["event"] == "finished")
        state = read_campaign(campaign_dir(tmp_path, "last"))
        shell, l2tp = (one.target for one in state.targets)
        assert first["target"] == shell
        started(told, l2tp, 1)
        (zygote,) = children(process.pid)
        wait_until(lambda: len(below(zygote)) > 2)
        guests = below(zygote)
        os.kill(children(zygote)[0], signal.SIGKILL)
        wait_until(lambda: gone(guests))

        started(told, l2tp, 2)
        wait_until(lambda: len(below(zygote)) > 2)
        everything = below(process.pid)
        process.kill()
        process.wait()
        wait_until(lambda: gone(everything))
    finally:
        process.kill()
        process.communicate()

    assert main(words) == 0
    out, err = capfd.readouterr()
    lines = [json.loads(line) for line in out.splitlines()]
    assert "going on with campaign" in err
    assert {line.get("target") for line in lines[:-1]} == {l2tp}, "what was finished is not played again"
    assert lines[-1]["counts"] == {"finished": 2}
    outcome = next(line["outcome"] for line in lines if line.get("event") == "finished")
    assert (outcome["word"], outcome["cause"], outcome["rung"]) == ("resolved", "missing_dir", "listens")
    assert outcome["rules"][0]["helped"]
    state = read_campaign(campaign_dir(tmp_path, "last"))
    runs = [run for one in state.targets if (found := state.outcome(one.target)) for run in found.runs]
    assert sorted(runs) == sorted(run.run_id for run in list_runs(tmp_path / "ai_runs"))
    assert main(["audit", "-C", str(tmp_path), "verify"]) == 0
    # What a run made active can be taken back as if it had been run here.
    assert main(["rollback", "-C", str(tmp_path), outcome["runs"][0]]) == 0


def test_ctrl_c_stops_what_is_played_at_once(targets: Path, tmp_path: Path) -> None:
    words = ["campaign", "-C", str(tmp_path), str(targets), "--workers", "1", "--json"]
    command = [sys.executable, "-m", "triage_tui", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    told = events(process)
    assert next(told)["event"] == "started"
    everything = below(process.pid)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 128 + signal.SIGINT, err
    assert "SIGINT stopped it, 2 targets left; the same command goes on with them" in out
    wait_until(lambda: gone(everything))
    assert not any((campaign_dir(tmp_path, "last") / "work").glob("*/answer"))
