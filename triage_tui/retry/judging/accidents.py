"""What happened to a round from outside, so that it says nothing of its rules.

The emulator was killed by somebody else (a person, the kernel that was out of memory), or the program was
replaced by another file.
"""

from __future__ import annotations

from triage_tui.runs.reader import Run
from triage_tui.runs.writer import SUPERVISOR_LOG


def killed_from_outside(run: Run) -> str:
    """Say that the emulator of a run was killed, and by nobody in the guest; "" where it was not.

    SIGKILL is the guest's own where one of its processes sent it (the call is recorded), and the
    supervisor's where it says so in its log.
    """
    snapshot = run.snapshot
    gone = snapshot.reason == "unknown" and not snapshot.backtrace.frames
    killed = snapshot.reason == "signal" and snapshot.trigger.signal == "SIGKILL"
    if not (gone or killed) or snapshot.trigger.sender or (run.dir / "logs" / SUPERVISOR_LOG).exists():
        return ""
    how = "SIGKILL, which no process of the guest sent" if killed else "it is gone without a trace"
    return f"the emulator was killed from outside ({how})"


def replaced(before: Run, after: Run) -> str:
    """Say that the runs are of different programs, which cannot be compared; "" when they are of the same."""
    first, second = before.snapshot.target, after.snapshot.target
    if "" in (first.program_sha256, second.program_sha256) or first.program_sha256 == second.program_sha256:
        return ""
    arches = "" if first.arch == second.arch else f" (it was for {first.arch} and is for {second.arch})"
    return f"{second.program} is another file than in the run before{arches}: the two runs do not compare"
