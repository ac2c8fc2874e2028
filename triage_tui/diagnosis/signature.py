"""The signature of a cause: a line by which the same failure is known again in another run.

    missing_dir mknod(/var/run/xl2tpd) ENOENT
    missing_interface ioctl(SIOCGIFINDEX lan0) ENODEV
    crash_signal SIGSEGV httpd!parse_query < httpd!main

Nothing in it depends on where the program was loaded, on how it was built, or on when it ran: no address, no
offset, no descriptor, no process id, no syscall number. What a failed request was for stands in the words of
`calls.OPERATIONS`, because another C library uses another syscall for the same (open and openat, nanosleep
and clock_nanosleep_time64). Only a crash is told by its call stack, because nothing else names it: the three
innermost functions that have a name, as fuzzers tell crashes apart (the major stack hash of CERT BFF takes
five, !exploitable three). Frames that were only found by looking through the stack are passed over, they
differ from run to run.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence

from triage_tui.diagnosis.calls import OPERATIONS
from triage_tui.diagnosis.cite import inert
from triage_tui.runs.frame_model import Frame
from triage_tui.runs.model import Snapshot

MAX_SIGNATURE = 300
"""Characters of a signature."""
STACK = 3
"""Functions of a call stack that tell one crash from another."""

_PROCESS = re.compile(r"(?<=/proc/)\d+(?=/|$)")
_NUMBER = re.compile(r"0x[0-9a-fA-F]+|\d{4,}")
"""Numbers in names that are another one in each run: process ids, times, names of temporary files."""
_ANY_NUMBER = re.compile(r"0x[0-9a-fA-F]+|\d+")
_VERSION = re.compile(r"(?:-[0-9][0-9.]*)?\.so(?:\.[0-9.]+)?$")
_OF_LIBC = re.compile(r"(?:_time64|64|32)$")


def cause_signature(cause: str, parameters: Mapping[str, str], snapshot: Snapshot) -> str:
    """Return the signature of a hypothesis: its cause and what the cause is about.

    `parameters` are those of the hypothesis.
    """
    parts = [cause, _about(cause, parameters, snapshot), parameters.get("errno", "")]
    return inert(" ".join(part for part in parts if part), MAX_SIGNATURE)


def _about(cause: str, given: Mapping[str, str], snapshot: Snapshot) -> str:
    if snapshot.reason == "signal" and "errno" not in given:
        signal = snapshot.trigger.signal or "signal"
        stack = " < ".join(named_frames(snapshot.backtrace.frames))
        return f"{signal} {stack}".rstrip()
    operation = given.get("operation") or ",".join(_families(given.get("syscalls", "")))
    thing = subject_of(cause, given)
    if operation:
        return f"{operation}({thing})" if thing else operation
    if thing:
        return thing
    code = snapshot.trigger.exit_code
    return f"exit({code})" if snapshot.reason == "exit" and code is not None else snapshot.reason


def subject_of(cause: str, given: Mapping[str, str]) -> str:
    """Return what a failure is about (the file, the peer, the request), without what differs in each run.

    `given` are the parameters of the hypothesis; "" where they name nothing.
    """
    if text := given.get("text"):
        return _ANY_NUMBER.sub("#", text)[:120]
    if given.get("resource") == "library":
        # It is looked for in several directories.
        return given.get("base", "")
    path = given.get("directory" if cause == "missing_dir" else "absolute") or given.get("path", "")
    names = (_NUMBER.sub("#", _PROCESS.sub("#", name)) for name in (path, given.get("peer", "")))
    words = (*names, given.get("request", ""), given.get("interface", ""))
    return " ".join(dict.fromkeys(word for word in words if word)) or given.get("option", "")


def _families(names: str) -> list[str]:
    """Return what syscalls are for, sorted: in a loop it depends on the moment which of them comes first."""
    plain = (name.strip() for name in names.split(",") if name.strip())
    return sorted({OPERATIONS.get(name, _OF_LIBC.sub("", name)) for name in plain})


def named_frames(frames: Sequence[Frame], most: int = STACK) -> list[str]:
    """Return the innermost functions of a call stack that have a name, "MODULE!FUNCTION".

    The module is the name of its file without a version.
    """
    found = [
        f"{_VERSION.sub('', os.path.basename(frame.module_name or '?'))}!{frame.func_name}"
        for frame in frames
        if frame.func_name and frame.method != "stack_scan" and frame.confidence != "low"
    ]
    return found[:most]
