"""Failed calls as facts: one per object and error, with what happened to the same object later."""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict

import msgspec

from triage_tui.diagnosis import calls as c
from triage_tui.diagnosis.containment import refusal_of
from triage_tui.diagnosis.facts import NEVER, FailedCall, syscall_source
from triage_tui.diagnosis.trace import Step, Walk
from triage_tui.runs.model import NOT_STARTED

MAX_FAILURES = 400
"""Distinct failures kept, the last ones."""

_OWN_LIMIT = re.compile(r"\b(limit of .{1,80}?) of this run\b(?: \((--[a-z-]+)\))?")
"""The note of a call that met a limit of the run, with the option that sets it if there is one."""
_LOOK_UPS = frozenset(("open", "stat", "access", "readlink", "chdir", "exec"))
_SIDE_RESOURCES = ("library", "device", "proc")
"""What is opened in passing and shows no progress of the program's own work."""

_REACHED = frozenset(
    ("open", "stat", "access", "readlink", "chdir", "exec", "mkdir", "mknod", "connect", "bind")
)


class _Group(msgspec.Struct):
    steps: list[Step]


def _key(step: Step) -> tuple[str, ...]:
    """Return what makes two failures the same: the object and the error, not the syscall used."""
    call = step.call
    if step.path and step.operation in _LOOK_UPS - {"exec"}:
        return ("path", step.absolute, call.errno or "")
    if step.path:
        return (step.operation, step.absolute, call.errno or "")
    if step.operation == "ioctl":
        return ("ioctl", c.request(call), call.interface or "", call.errno or "")
    if step.operation in ("connect", "bind", "send"):
        return (step.operation, call.peer or "", step.origin.label if step.origin else "", call.errno or "")
    return (step.operation, call.name, c.detail(call), call.errno or "")


def _is_progress(step: Step) -> bool:
    """Tell whether a call shows that the program went on with its work."""
    if not c.succeeded(step.call):
        return False
    if step.operation in ("connect", "listen", "accept", "exec", "chdir"):
        return True
    path = step.absolute
    return (
        step.operation == "open"
        and c.resource(path) not in _SIDE_RESOURCES
        and not path.startswith(("/etc/localtime", "/etc/nsswitch", "/usr/share/", "/usr/lib/", "/etc/ld.so"))
    )


def failed_calls(
    walked: Walk, main: int, steps_after: dict[int, int], rounds: tuple[int, int] | None
) -> list[FailedCall]:
    """Return the failures of a history, oldest first.

    `main` is the process that ended, `steps_after` the distance of each call to the end, `rounds` the first
    and last sequence number of the loop.
    """
    groups: dict[tuple[str, ...], _Group] = defaultdict(lambda: _Group(steps=[]))
    reached: dict[str, int] = {}
    by_base: dict[str, int] = {}
    progress: list[tuple[int, int]] = []
    for step in walked.steps:
        if c.failed(step.call):
            groups[_key(step)].steps.append(step)
        elif step.call.ret is not None and step.operation in _REACHED and step.path:
            reached[step.absolute] = step.call.seq
            by_base[posixpath.basename(step.absolute)] = step.call.seq
        if _is_progress(step):
            progress.append((step.call.pid, step.call.seq))
    ordered = sorted(groups.values(), key=lambda group: group.steps[-1].call.seq)[-MAX_FAILURES:]
    return [_fact(group.steps, main, steps_after, rounds, reached, by_base, progress) for group in ordered]


def _fact(
    steps: list[Step],
    main: int,
    steps_after: dict[int, int],
    rounds: tuple[int, int] | None,
    reached: dict[str, int],
    by_base: dict[str, int],
    progress: list[tuple[int, int]],
) -> FailedCall:
    last = steps[-1]
    call = last.call
    base = posixpath.basename(last.absolute.rstrip("/"))
    flags = [c.flags(step.call) for step in steps]
    # What was there already is there later as well: that ends nothing well.
    exists = call.errno == "EEXIST"
    later = reached.get(last.absolute, -1) > call.seq if last.path and not exists else False
    # A search through directories: the same name found elsewhere afterwards ends it well.
    later = later or (not exists and last.operation in _LOOK_UPS and by_base.get(base, -1) > call.seq)
    in_loop = rounds is not None and any(rounds[0] <= step.call.seq <= rounds[1] for step in steps)
    times = "" if len(steps) == 1 else f", {len(steps)} times"
    peer = call.peer or (last.origin.connected if last.origin else "")
    limit = _OWN_LIMIT.search(call.note or "")
    containment, lifted_by = refusal_of(call)
    whose = f", answered by the engine (containment: {containment})" if containment else ""
    return FailedCall(
        source=syscall_source(call.seq),
        says=f"{c.describe(call)}{times}{whose}",
        cite=c.describe(call),
        seq=call.seq,
        pid=call.pid,
        steps=steps_after.get(call.seq, NEVER),
        in_loop=in_loop,
        operation=last.operation,
        name=call.name,
        names=",".join(sorted({step.call.name for step in steps})),
        errno=call.errno or "",
        path=last.path,
        base=base,
        parent=posixpath.dirname(last.absolute.rstrip("/")),
        absolute=last.absolute,
        resource=c.resource(last.absolute),
        request=c.request(call),
        number=c.request_number(call) if last.operation == "ioctl" else 0,
        first_argument=c.argument(call, 0) or (str(call.args[0]) if call.args else ""),
        interface=call.interface or "",
        peer=peer,
        whom=peer or last.path or "?",
        detail=c.detail(call),
        origin=last.origin.label if last.origin else "",
        count=len(steps),
        first_seq=steps[0].call.seq,
        creates=c.makes_object(call) or any("O_CREAT" in text for text in flags),
        exclusive=any("O_EXCL" in text for text in flags),
        directory=last.operation == "chdir"
        or c.is_directory_by_name(last.absolute)
        or any("O_TMPFILE" in text for text in flags)
        or (any(flags) and all("O_DIRECTORY" in text for text in flags if text)),
        nonblocking=any("O_NONBLOCK" in text or "O_NDELAY" in text for text in flags),
        writes=call.name == "creat" or any("O_WRONLY" in text or "O_RDWR" in text for text in flags),
        child=call.pid != main,
        refused=limit is not None or bool(containment),
        containment=containment,
        lifted_by=lifted_by,
        option=(limit[2] or "") if limit else "",
        limit=limit[1] if limit else "",
        startable=NOT_STARTED in (call.note or ""),
        later_ok=later,
        went_on=sum(pid == call.pid and seq > call.seq for pid, seq in progress),
    )
