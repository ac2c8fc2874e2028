"""The values that labels may have: fixed sets, so that no record makes an unforeseen time series."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import get_args

from triage_tui.analyst.rules import TEMPLATE as OF_MODEL
from triage_tui.diagnosis.knowledge_base.entries import CAUSES
from triage_tui.guest.cell.policy import HOOKABLE
from triage_tui.proposals.templates import load_library
from triage_tui.runs.events import VERDICTS, State
from triage_tui.runs.model import AT_START, Reason

OTHER = "other"
TRIGGERS = frozenset(get_args(Reason))
RUN_VERDICTS = VERDICTS | {"first", "experiment", "unjudged"}
"""`first`: it retries no run; `experiment`: it is one; `unjudged`: it was left before it was judged."""
RETRY_OUTCOMES = VERDICTS | {"failed"}
"""`failed`: the retry came to nothing."""
SOURCES = frozenset(("heuristic", "knowledge_base", "model"))
"""Of a diagnosis. `heuristic`: no entry of the knowledge base knows the cause, so only the kind of the end is
told."""
STATES = frozenset(get_args(State))
NO_TEMPLATE = "none"
"""Of a rule that a person wrote, or whose record does not say what it was made from."""
LAYERS = frozenset(("own", "target", "shared", "sfemu"))
DECISIONS = frozenset(("approved", "rejected", "edited", "dropped", "rolled_back", "reconsidered"))
ACTORS = frozenset(("person", "policy"))
TARGET_STATES = frozenset(("waiting", "started", "finished", "refused", "lost", "cancelled"))
"""Those of a campaign (`campaign.model.EventName`), and of a target that was not begun."""
_OFTEN_HOOKED = """
open openat access faccessat faccessat2 stat stat64 lstat lstat64 fstat fstat64 fstatat64 newfstatat
statx statfs statfs64 readlink readlinkat read readv pread64 write writev close ioctl fcntl fcntl64
select _newselect pselect6 poll ppoll epoll_wait epoll_pwait recv recvfrom recvmsg send sendto sendmsg
accept accept4 wait4 waitid futex mmap mmap2 mount umount2 reboot clock_gettime clock_settime
gettimeofday settimeofday time exit exit_group kill clone fork vfork shutdown getdents getdents64
mprotect prctl ptrace pause rt_sigsuspend sched_yield flock
"""
SYSCALLS = frozenset((*HOOKABLE.split(), *_OFTEN_HOOKED.split(), AT_START))


def templates() -> frozenset[str]:
    """Return what rules are made from: templates that shipped, a person's own as they are now, a model."""
    return frozenset((*load_library().templates, OF_MODEL, NO_TEMPLATE))


def bounded(value: object, known: Collection[str]) -> str:
    """Return a value of the fixed set `known`, "other" for any that is not of it."""
    return value if isinstance(value, str) and value in known else OTHER


def by_known(counts: Mapping[str, int], known: Collection[str]) -> dict[str, int]:
    """Return counts by the values of a fixed set, all of them, and "other" where there is any."""
    found = dict.fromkeys(sorted(known), 0)
    for value, count in counts.items():
        name = bounded(value, known)
        found[name] = found.get(name, 0) + count
    return found


KNOWN_CAUSES = CAUSES
