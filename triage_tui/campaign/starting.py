"""How a target of a campaign is started, and what its rounds may take."""

from __future__ import annotations

from triage_tui.campaign.model import Options, Target
from triage_tui.guest.freezing.triggers import TriggerLimits
from triage_tui.retry.rounds.policy import Limits
from triage_tui.retry.start import Start
from triage_tui.runs.limits import CaptureLimits

_PATH = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
_AT_ONCE_S = 0.001
"""How long a person is waited for whom nobody waits for: a campaign goes on without one."""


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
