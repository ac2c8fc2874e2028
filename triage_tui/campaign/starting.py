"""How a target of a campaign is started, and what its rounds may take."""

from __future__ import annotations

from pathlib import Path

from triage_tui.campaign.model import Options, Target
from triage_tui.campaign.order import GivenFile
from triage_tui.guest.freezing.triggers import TriggerLimits
from triage_tui.retry.rounds.policy import Limits
from triage_tui.retry.start import Start
from triage_tui.runs.files import read_bounded
from triage_tui.runs.limits import CaptureLimits

MAX_GIVEN_BYTES = 16 << 20
"""Of a file that travels with an order."""

_PATH = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
_AT_ONCE_S = 0.001
"""How long a person is waited for whom nobody waits for: a campaign goes on without one."""


def given_files(target: Target, options: Options) -> dict[GivenFile, bytes]:
    """Return the files of this machine that a worker elsewhere needs for a target.

    Raises:
        TriageError: one cannot be read, or is too large to travel.
    """
    found: dict[GivenFile, bytes] = {}
    if target.stdin not in ("null", "open"):
        found["stdin"] = read_bounded(Path(target.stdin), MAX_GIVEN_BYTES, whole=True)
    if options.policy_file:
        found["policy"] = read_bounded(Path(options.policy_file), MAX_GIVEN_BYTES, whole=True)
    return found


def start_of(target: Target, options: Options) -> Start:
    """Return how a target is started."""
    return Start(
        program=target.program,
        argv=list(target.argv) or [target.program],
        rootfs=target.root,
        cwd=target.cwd,
        env=_PATH | target.env,
        stdin=target.stdin,
        user=target.user,
        interfaces=list(target.interfaces),
        qemu_args=list(target.qemu_args),
        probes=list(target.probes),
        triggers=TriggerLimits(time_limit_s=target.time_limit_s or options.time_limit_s or 60.0),
    )


def limits_of(options: Options) -> Limits:
    """Return the limits of the rounds of one target."""
    return Limits(
        rounds=options.rounds,
        total_s=options.target_s,
        captures=options.captures,
        decision_s=_AT_ONCE_S,
        capture=CaptureLimits(per_minute=0, disk_bytes=options.disk_bytes),
    )
