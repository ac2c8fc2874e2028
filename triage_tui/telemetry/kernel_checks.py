"""Say of what the kernel lets us do what it costs where it is not allowed, and what mends it."""

from __future__ import annotations

import os

from triage_tui.telemetry.checks import Check, Grade
from triage_tui.telemetry.kernel import Findings

_NOTIFICATION_COSTS = {
    "continue": "no call could be let through: Linux 5.5 is needed",
    "addfd": "no descriptor can be given to a guest: Linux 5.9 is needed",
    "wait_killable": "a signal may interrupt a call that a rule is asked about (Linux 5.19 prevents it)",
    "sync_wake_up": "each watched call costs more, most of all on idle processors (Linux 6.6 is faster)",
}


_BUSY = "another program already listens to this one's system calls, and there can be one only"
_NO_LISTENER = "Linux 5.9 with CONFIG_SECCOMP_FILTER is needed, and a container must allow seccomp(2)"


def notification_checks(found: Findings, tracing: Findings) -> list[Check]:
    """How calls of a guest are seen and held: seccomp_unotify(2)."""
    if why := found["listener"]:
        busy = "busy" in why.lower()
        traced = not any(tracing.values())
        lost = "guests run all the same (see carrier), but slower" if traced else "no guest can be supervised"
        return [
            Check(
                name="syscall interception",
                grade="limited" if traced else "missing",
                found=f"no seccomp user notification ({why})",
                cost=f"{lost}: {_BUSY if busy else _NO_LISTENER}",
                mend="run it outside the container or sandbox that intercepts system calls" if busy else "",
                needed=True,
            )
        ]
    lacking = [name for name in _NOTIFICATION_COSTS if found[name]]
    works = [name for name in found if not found[name]]
    vital = any(name in ("continue", "addfd") for name in lacking) and any(tracing.values())
    return [
        Check(
            name="syscall interception",
            grade="missing" if vital else "limited" if lacking else "ok",
            found=f"seccomp user notification with {', '.join(works)}",
            cost="; ".join(_NOTIFICATION_COSTS[name] for name in lacking),
            mend="use a newer kernel" if lacking else "",
            needed=True,
        )
    ]


_CELL_NAMES = {
    "user": "user name space",
    "others": "mount, pid, network, ipc and uts name spaces",
    "tmpfs": "tmpfs",
    "overlay": "overlay in a user name space",
    "idmapped": "mounts with shifted owners",
    "proc": "/proc of its own",
}
_ALLOW_USERNS = (
    "sysctl -w kernel.unprivileged_userns_clone=1 kernel.apparmor_restrict_unprivileged_userns=0 "
    "user.max_user_namespaces=65536"
)


def cell_checks(found: Findings) -> list[Check]:
    """What holds a guest: name spaces, mounts, /proc (namespaces(7))."""
    works = [words for name, words in _CELL_NAMES.items() if not found[name]]
    # What comes after a refused user name space was not even tried.
    names = ["user"] if found["user"] else list(_CELL_NAMES)
    lacking = {name: found[name] for name in names if found[name]}
    costs = {
        "user": "no guest is run without it"
        + (", but with --allow-root as root of this machine" if os.geteuid() == 0 else ""),
        "overlay": "no root file system can be used, only single static programs (Linux 5.11 is needed)",
        "proc": "guests have no /proc",
        "idmapped": "as root nothing is run without --allow-root (Linux 5.19 is needed)",
    }
    cost = "; ".join(costs.get(name, f"no guest is run without {_CELL_NAMES[name]}") for name in lacking)
    grade: Grade = "ok" if not lacking else "limited" if set(lacking) <= {"proc"} else "missing"
    mend = ""
    if "user" in lacking:
        mend = _ALLOW_USERNS
    elif "idmapped" in lacking:
        mend = "run it as an ordinary user"
    return [
        Check(
            name="containment",
            grade=grade,
            found=", ".join(works + [f"no {_CELL_NAMES[name]} ({why})" for name, why in lacking.items()]),
            cost=cost,
            mend=mend,
            needed=True,
        )
    ]


def carrier_checks(notification: Findings, tracing: Findings) -> list[Check]:
    """What of the two will hold the calls of a guest, chosen as the launcher does."""
    if not any(notification[name] for name in ("listener", "continue", "addfd")):
        grade: Grade = "ok"
        found = "seccomp user notification: watched calls only, the same for every architecture"
        cost = ""
    elif not any(tracing.values()):
        grade = "limited"
        found = "seccomp with ptrace: watched calls only, the same for every architecture"
        cost = "each watched call costs about twice as much; the rest runs at full speed"
    else:
        grade = "missing"
        reasons = [next(filter(None, found.values())) for found in (notification, tracing)]
        found = f"none: no notifications ({reasons[0]}), and no ptrace instead ({reasons[1]})"
        cost = "no guest is run: there is no other way here to hold a call back before it is executed"
    return [Check(name="carrier", grade=grade, found=found, cost=cost, needed=True)]
