"""What a target needs next is read from its last run, in words that are the same on every target."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.ui.fixtures import EXIT_RUN, make_exit_run
from triage_tui.campaign.needs import needs_of, subject
from triage_tui.runs.diagnosis_model import Hypothesis
from triage_tui.runs.events import append_event
from triage_tui.runs.reader import Run, load_run


def hypothesis(cause: str, signature: str = "", **parameters: str) -> Hypothesis:
    return Hypothesis(
        cause=cause, proximate="x", confidence=0.9, title="x", signature=signature, parameters=parameters
    )


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (hypothesis("missing_file", path="a.conf", absolute="/etc/a.conf"), "file /etc/a.conf"),
        (hypothesis("missing_file", absolute="/proc/4711/x"), "file /proc/#/x"),
        (hypothesis("missing_file", absolute="/var/nvram/lan_ipaddr"), "NVRAM default lan_ipaddr"),
        (hypothesis("nvram_key", absolute="/dev/nvram"), "key store /dev/nvram"),
        (hypothesis("missing_dir", directory="/var/run", absolute="/var/run/x"), "directory /var/run"),
        (hypothesis("missing_peer", peer="inet:10.0.0.1:53"), "peer inet:10.0.0.1:53"),
        (hypothesis("missing_library", base="libz.so.1", resource="library"), "library libz.so.1"),
        (hypothesis("crash_signal", "crash_signal SIGSEGV a!b"), "crash signal SIGSEGV a!b"),
        (hypothesis("missing_interface", request="SIOCGIFINDEX", interface="lan0"), "network interface lan0"),
        (hypothesis("missing_device"), ""),
        (hypothesis("missing_file", absolute="/etc/\x1b]52;x"), "file /etc/\\x1b]52;x"),
    ],
)
def test_a_need_is_named_by_what_is_missing(found: Hypothesis, said: str) -> None:
    assert subject(found) == said


def exit_run(tmp_path: Path, change: dict[str, Any] | None = None) -> Run:
    directory = make_exit_run(tmp_path / "ai_runs", waiting=False)
    diagnosis = json.loads((directory / "diagnosis.json").read_text())
    first = diagnosis["hypotheses"][0]
    first |= {"parameters": {"interface": "eth0"}, "signature": "missing_interface ioctl(eth0) ENODEV"}
    diagnosis |= change or {}
    (directory / "diagnosis.json").write_text(json.dumps(diagnosis))
    return load_run(directory)


def test_what_nobody_decided_on_is_needed_next(tmp_path: Path) -> None:
    run = exit_run(tmp_path)
    (found,) = needs_of(run)
    assert (found.subject, found.template, found.run) == (
        "network interface eth0",
        "interface-index",
        EXIT_RUN,
    )
    assert (found.proposal, found.risk) == ("p1", "low")
    # Once its rule is active the cause is still there, and nothing more is proposed for it.
    append_event(run.dir, "approved", {"files": {"fix/syscall/ioctl.lua": "0" * 64}}, "ann")
    (found,) = needs_of(load_run(run.dir))
    assert (found.subject, found.template) == ("network interface eth0", "")


def test_a_program_that_is_well_needs_nothing(tmp_path: Path) -> None:
    assert needs_of(exit_run(tmp_path, {"healthy": True})) == []


def test_keys_that_a_store_did_not_have_are_needed(tmp_path: Path) -> None:
    run = exit_run(tmp_path)
    log = "nvram: asked for lan_ipaddr: not set, default given\nnvram: asked for wan: = dhcp\n"
    log += "nvram: asked for lan_ipaddr: not set, default given\nnvram: asked for \x1b[2J: not set\n"
    (run.dir / "logs" / "rules.log").write_text(log)
    assert [one.subject for one in needs_of(run)] == ["network interface eth0"]
    snapshot = json.loads((run.dir / "snapshot.json").read_text())
    snapshot["rule_hits"] = [{"rule": "nvram-store-1", "hits": 3}]
    (run.dir / "snapshot.json").write_text(json.dumps(snapshot))
    subjects = [one.subject for one in needs_of(load_run(run.dir))]
    assert subjects == ["network interface eth0", "NVRAM default lan_ipaddr", "NVRAM default \\x1b[2J"]
    # Where nothing is known of what ended it, a key that was asked for in vain comes first.
    diagnosis = json.loads((run.dir / "diagnosis.json").read_text())
    diagnosis["hypotheses"][0]["cause"] = "unknown"
    (run.dir / "diagnosis.json").write_text(json.dumps(diagnosis))
    assert needs_of(load_run(run.dir))[0].subject == "NVRAM default lan_ipaddr"
    # A store that gives nothing but empty values may make a program look well that is not.
    (run.dir / "diagnosis.json").write_text(json.dumps({**diagnosis, "healthy": True}))
    assert [one.template for one in needs_of(load_run(run.dir))] == ["nvram_store", "nvram_store"]


def test_a_failure_that_names_no_thing_is_not_taken_for_one(tmp_path: Path) -> None:
    cause = {"cause": "missing_file", "parameters": {}, "signature": "missing_file sleep_loop"}
    directory = exit_run(tmp_path).dir
    diagnosis = json.loads((directory / "diagnosis.json").read_text())
    diagnosis["hypotheses"][0] |= cause
    diagnosis["proposals"] = []
    (directory / "diagnosis.json").write_text(json.dumps(diagnosis))
    (found,) = needs_of(load_run(directory))
    assert (found.subject, found.kind) == ("missing file sleep_loop", "")
