"""What the engine's containment refuses is told as its answer, not as the device's."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runs.build import write_run
from triage_tui.diagnosis.containment import refusal_of
from triage_tui.diagnosis.report import diagnose
from triage_tui.errors import TriageError
from triage_tui.guest.cell.policy import ContainmentPolicy
from triage_tui.proposals.build import propose
from triage_tui.runs.model import Syscall
from triage_tui.runs.reader import load_run

LOG = "the host's kernel log"
OWN = "a descriptor of the emulator"


def refused(name: str, note: str | None, errno: str = "EPERM", host: str | None = None) -> Syscall:
    return Syscall(seq=2, name=name, pid=2, ret=-1, errno=errno, note=note, host=host or name)


def lets_through(name: str) -> bool:
    try:
        ContainmentPolicy.allowing([name])
    except TriageError:
        return False
    return True


@pytest.mark.parametrize(
    ("call", "what", "lifted_by"),
    [
        (refused("syslog", f"refused by containment: {LOG}"), LOG, "syslog"),
        (
            refused("clock_settime64", "refused by containment: setting the clock", host="clock_settime"),
            "setting the clock",
            "clock_settime",
        ),
        (
            refused("ioctl", "refused by containment: network configuration (SIOCSIFADDR)"),
            "network configuration (SIOCSIFADDR)",
            "SIOCSIFADDR",
        ),
        (refused("kill", "refused by containment: a signal"), "a signal", ""),
        (refused("read", f"refused by containment: {OWN}"), OWN, ""),
        (refused("openat", "refused by the cell: /proc is read-only"), "/proc is read-only", ""),
        (refused("open", None), "", ""),
        (refused("open", "the limit of 3 files of this run"), "", ""),
    ],
)
def test_the_note_says_what_was_refused_and_which_option_lifts_it(
    call: Syscall, what: str, lifted_by: str
) -> None:
    assert refusal_of(call) == (what, lifted_by)
    assert not lifted_by or lets_through(lifted_by)


@pytest.mark.parametrize("host", ["kill", "tkill", "tgkill", "prctl", "prlimit64", "execve", "ioctl"])
def test_an_option_is_named_only_where_there_is_one(host: str) -> None:
    assert not lets_through(host)
    assert refusal_of(refused(host, "refused by containment: something"))[1] == ""


def test_a_refusal_of_ours_is_not_told_as_want_of_permission(tmp_path: Path) -> None:
    run = load_run(write_run(tmp_path, [refused("syslog", "refused by containment: the host's kernel log")]))
    diagnosis = diagnose(run)
    best = diagnosis.hypotheses[0]
    assert (best.entry, best.cause) == ("refused-by-engine", "permission")
    assert all(one.entry != "permission-refused" for one in diagnosis.hypotheses)
    assert "The engine itself answered" in best.explanation
    assert "the host's kernel log. It says nothing about the device" in best.explanation
    assert "Started with --allow syslog" in best.explanation
    assert "No option" not in best.explanation
    lifting = next(one for one in propose(run, diagnosis) if one.template == "lift_containment")
    assert lifting.needs_input is not None
    assert "--allow syslog" in lifting.needs_input


def test_what_no_option_lifts_is_said_so(tmp_path: Path) -> None:
    note = "refused by containment: a signal to the cell's own first process"
    run = load_run(write_run(tmp_path, [refused("kill", note)]))
    diagnosis = diagnose(run)
    assert "No option of the run lets" in diagnosis.hypotheses[0].explanation
    assert all(one.template != "lift_containment" for one in propose(run, diagnosis))


def test_a_restart_and_a_socket_that_we_refuse_are_said_to_be_ours(tmp_path: Path) -> None:
    for name, errno, entry in (("reboot", "EPERM", "reboot"), ("socket", "EAFNOSUPPORT", "unsupported-call")):
        call = refused(name, "refused by containment: restarting or so", errno)
        best = diagnose(load_run(write_run(tmp_path / name, [call]))).hypotheses[0]
        assert best.entry == entry
        assert "The engine itself answered" in best.explanation
