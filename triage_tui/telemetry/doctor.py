"""Say what this machine can do, what is missing, and what that costs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from triage_tui.errors import TriageError
from triage_tui.guest import arch as architectures
from triage_tui.guest.access import RuleAccess
from triage_tui.guest.qemu import find_qemu, qemu_version
from triage_tui.rulehost.client import RuleHost
from triage_tui.runs.model import Record

Grade = Literal["ok", "missing", "limited"]

FULL = ("arm", "aarch64", "mipsel")
"""Architectures that are tested from start to verdict."""


class Check(Record):
    """One thing that was looked at. `cost` says what is lost without it."""

    name: str
    grade: Grade
    found: str
    cost: str = ""


def examine() -> list[Check]:
    """Look at everything that a run needs. Nothing on the machine is changed."""
    checks: list[Callable[[], list[Check]]] = [_kernel, _notification, _cell, _emulators, _rules, _user]
    return [result for check in checks for result in check()]


def _kernel() -> list[Check]:
    system = os.uname()
    supported = system.sysname == "Linux" and system.machine in ("x86_64", "aarch64")
    return [
        Check(
            name="system",
            grade="ok" if supported else "missing",
            found=f"{system.sysname} {system.release} on {system.machine}",
            cost="" if supported else "guests are supervised on Linux for x86-64 (and aarch64) only",
        )
    ]


def _notification() -> list[Check]:
    """seccomp(2): user notification, with ADDFD (5.9) for descriptors that are given to guests."""
    try:
        offered = Path("/proc/sys/kernel/seccomp/actions_avail").read_text().split()
    except OSError:
        offered = []
    present = "user_notif" in offered
    return [
        Check(
            name="syscall interception",
            grade="ok" if present else "missing",
            found="seccomp user notification" if present else "no seccomp user notification",
            cost="" if present else "no guest can be supervised: Linux 5.9 with seccomp is needed",
        )
    ]


_PROBE = """
import os, sys
from triage_tui.guest import namespaces as n
uid, gid = os.geteuid(), os.getegid()
rest = n.CLONE_NEWNS | n.CLONE_NEWPID | n.CLONE_NEWNET | n.CLONE_NEWIPC | n.CLONE_NEWUTS
if uid == 0:
    n.enter_user_namespace(n.make_user_namespace())
    n.unshare(rest)
else:
    n.unshare(n.CLONE_NEWUSER | rest)
    n.map_self(uid, gid)
"""


def _cell() -> list[Check]:
    """Try the name spaces in a process of their own."""
    done = subprocess.run(
        [sys.executable, "-c", _PROBE], capture_output=True, text=True, timeout=30, check=False
    )
    if done.returncode == 0:
        return [
            Check(name="containment", grade="ok", found="user, mount, pid, network, ipc and uts name spaces")
        ]
    why = (done.stderr.strip().splitlines() or ["unknown error"])[-1]
    return [
        Check(
            name="containment",
            grade="missing",
            found=f"name spaces are refused ({why})",
            cost="no guest is run without them: allow unprivileged user name spaces",
        )
    ]


def _emulators() -> list[Check]:
    checks = []
    for name in architectures.known_names():
        machine = architectures.by_name(name)
        try:
            path = find_qemu(machine)
        except TriageError as error:
            checks.append(Check(name=f"emulator {name}", grade="missing", found="none", cost=str(error)))
            continue
        tested = name in FULL
        checks.append(
            Check(
                name=f"emulator {name}",
                grade="ok" if tested else "limited",
                found=f"{path} ({qemu_version(path)})",
                cost="" if tested else "supervised by the same tables, but not tested from start to verdict",
            )
        )
    return checks


def _rules() -> list[Check]:
    access = RuleAccess(architectures.by_name("arm"))
    try:
        with RuleHost([], access) as host:
            status = host.status()
    except TriageError as error:
        return [Check(name="rule host", grade="missing", found=str(error), cost="no rule can act")]
    lacking = [line for line in status if line.startswith("missing: ")]
    return [
        Check(
            name="rule host",
            grade="limited" if lacking else "ok",
            found="; ".join(line for line in status if line not in lacking),
            cost="; ".join(lacking),
        )
    ]


def _user() -> list[Check]:
    if os.geteuid() != 0:
        return [Check(name="user", grade="ok", found=f"uid {os.geteuid()}")]
    return [
        Check(
            name="user",
            grade="limited",
            found="root",
            cost="guests get an unprivileged host id, which needs Linux 5.19; an ordinary user is better",
        )
    ]
