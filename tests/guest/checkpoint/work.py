"""Take checkpoints of real guests in tests, and let others go on from them."""

from __future__ import annotations

from pathlib import Path

import msgspec

from tests.guest.helpers import QUICK
from triage_tui.guest.checkpoint.fitting import check_fits
from triage_tui.guest.checkpoint.guest_side import GoesOn
from triage_tui.guest.checkpoint.model import Checkpoint
from triage_tui.guest.checkpoint.reading import read_checkpoint
from triage_tui.guest.checkpoint.taking import take_checkpoint
from triage_tui.guest.freezing.triggers import parse_call_trigger
from triage_tui.guest.spec import LaunchSpec
from triage_tui.guest.supervisor import Guest


class Course(msgspec.Struct):
    """How a program ended: what it printed, its exit code, how many calls it made."""

    output: bytes
    exit_code: int | None
    calls: int


def end_of(guest: Guest) -> Course:
    """Let a guest run to its end."""
    while (stop := guest.run_until_stop()).reason == "syscall":
        pass
    assert stop.reason == "exit", stop
    return Course(guest.output(), stop.exit_code, guest.trace.count)


def frozen_at(spec: LaunchSpec, call: str) -> LaunchSpec:
    """Return a start that is frozen in front of its first `call`, and fit for checkpoints."""
    triggers = msgspec.structs.replace(QUICK, calls=[parse_call_trigger(call)])
    return msgspec.structs.replace(spec, checkpoint=True, triggers=triggers, seed=1)


def both_ends(spec: LaunchSpec, call: str, directory: Path) -> tuple[Course, Course, Checkpoint]:
    """Freeze a program at `call` and take a checkpoint of it; return how it ended, and how another guest did
    that went on from there."""
    start = frozen_at(spec, call)
    with Guest.start(start) as guest:
        assert guest.run_until_stop().reason == "syscall"
        take_checkpoint(guest, directory)
        calls, output = guest.full_trace(), guest.output()
        streams = {name: kept for name, (kept, _total) in guest.streams().items()}
        uninterrupted = end_of(guest)
    checkpoint = read_checkpoint(directory)
    with Guest.start(start, goes_on=GoesOn(directory, checkpoint, calls, streams, output)) as guest:
        check_fits(checkpoint, start, guest.target)
        # It is made once more, and is what the guest is frozen at.
        assert guest.run_until_stop().trigger.syscall_name == checkpoint.facts.call
        return uninterrupted, end_of(guest), checkpoint
