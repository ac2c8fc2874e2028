"""What ties a failed call to the end besides nearness and messages: results, descriptors, the stack.

Each tie is something that the record shows, never a guess; how much it weighs stands in rules/causality.yaml.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from triage_tui.diagnosis import calls as c
from triage_tui.diagnosis.experiment_places import own_frame
from triage_tui.diagnosis.facts import Decision, FailedCall
from triage_tui.diagnosis.trace import Step
from triage_tui.runs.frame_model import Frame
from triage_tui.runs.model import Syscall
from triage_tui.runs.reader import Run

FACTORS = ("consequence", "other_result")
"""Ties that speak against a failure: its relevance is multiplied by their weight."""
NAMES = ("same_function", "compared_result", "used_result", "same_descriptor", "lies_above", *FACTORS)
"""All ties that causality.yaml may weigh; those that are no factors are added."""

MAX_FRAMES = 4
"""Frames of the program's own that are compared with the call sites."""
MAX_EARLIER = 4
"""Failures of one descriptor that a later one is tied to."""

_MAKERS = frozenset(
    ("open", "socket", "accept", "epoll_create", "epoll_create1", "eventfd2", "timerfd_create")
)
"""Operations whose result is a descriptor."""
_MINUS_ONE = (-1, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF)
_TRANSIENT = frozenset(("EAGAIN", "EINTR"))
_HALF_DONE = frozenset(("EINPROGRESS", "EALREADY"))
_LIBRARY_CALLS: Mapping[str, str] = {
    "fopen": "open", "fopen64": "open", "freopen": "open", "opendir": "open", "shm_open": "open",
    "sem_open": "open", "__xstat": "stat", "__lxstat": "stat", "system": "exec", "popen": "exec",
    "execvp": "exec", "execv": "exec", "execl": "exec", "mkfifo": "mknod", "daemon": "fork",
}  # fmt: skip
"""Function of the C library -> operation of the call that it makes, where their names differ."""

_ASK_NO_KERNEL = frozenset((
    "getenv", "secure_getenv", "strcmp", "strncmp", "strcasecmp", "strncasecmp", "memcmp", "strstr", "strchr",
    "atoi", "strtol", "strtoul", "time", "gettimeofday", "clock_gettime", "getpid", "getppid", "rand",
    "random", "isatty", "getopt", "getopt_long",
))  # fmt: skip
"""Functions whose result no failed call explains: what is compared there is something else."""


class Tie(msgspec.Struct, frozen=True):
    """One tie of one failure. `share` (0..1) says how much of the tie's weight counts."""

    name: str
    """Key of `ties` in causality.yaml."""
    says: str
    share: float = 1.0


def ties_of(
    run: Run, failed: Sequence[FailedCall], steps: Sequence[Step], decision: Decision | None
) -> dict[int, list[Tie]]:
    """Return the ties of each failed call by its sequence number."""
    found: dict[int, list[Tie]] = defaultdict(list)
    known = frozenset(fact.seq for fact in failed)
    for seq, tie in (
        *_same_function(run, failed),
        *_compared(failed, decision),
        *_used_results(steps, known),
        *_same_descriptor(steps, known),
        *_directories(failed),
    ):
        if tie.name not in (one.name for one in found[seq]):
            found[seq].append(tie)
    return dict(found)


def _same_function(run: Run, failed: Sequence[FailedCall]) -> Iterator[tuple[int, Tie]]:
    """Failures whose call site lies in a function that is on the stack at the end."""
    if run.snapshot.reason not in ("exit", "signal"):
        return
    does = "exits" if run.snapshot.reason == "exit" else "dies"
    extents = list(own_extents(run))
    for fact in failed if extents else ():
        call = run.syscall(fact.seq)
        for position, one in enumerate(extents if call is not None else ()):
            if call is not None and made_in(call, one):
                says = f"it was made by the same function that {does}"
                if position:
                    name = one.frame.func_name or f"the function at 0x{one.start:x}"
                    says = f"it was made by {name}, through which the function that {does} was called"
                yield fact.seq, Tie("same_function", says, 0.5**position)
                break


class Extent(NamedTuple):
    """A function of the program on the stack: guest addresses of its start and of where it stands."""

    start: int
    stands: int
    frame: Frame


def made_in(call: Syscall, extent: Extent) -> bool:
    """Tell whether a held call was made in a function; the lowest bit of an address is that of Thumb code."""
    sites = [site & ~1 for site in (call.return_address, call.pc) if site]
    return any(extent.start <= site <= extent.stands for site in sites)


def own_extents(run: Run) -> Iterator[Extent]:
    """Yield the program's own functions on the stack, innermost first.

    A function goes at least from its start to where it stands: what lies between is surely of it.
    """
    first = own_frame(run)
    found = 0
    for frame in run.snapshot.backtrace.frames[first.idx :] if first is not None else ():
        start = _start_of(frame)
        if first is None or start is None or frame.module_name != first.module_name:
            continue
        yield Extent(start, frame.addr, frame)
        found += 1
        if found == MAX_FRAMES:
            return


def _start_of(frame: Frame) -> int | None:
    """Return the address at which a frame's function begins, None where the record does not say."""
    if frame.func_offset is not None and frame.func_name:
        return frame.addr - frame.func_offset
    if frame.function_start is not None and frame.module_offset is not None and frame.confidence == "high":
        return frame.addr - (frame.module_offset - frame.function_start)
    return None


def _compared(failed: Sequence[FailedCall], decision: Decision | None) -> Iterator[tuple[int, Tie]]:
    """The last failure of the function whose result decides."""
    names = decision.compared.split(",") if decision is not None and decision.compared else []
    for name in names:
        operation = _LIBRARY_CALLS.get(name) or c.OPERATIONS.get(name) or name
        same = [fact for fact in failed if operation in (fact.operation, fact.name) and not fact.child]
        if same:
            says = f"the branch that led to the end looks at what {name} returned"
            yield same[-1].seq, Tie("compared_result", says)
    if names and all(name in _ASK_NO_KERNEL for name in names):
        for fact in failed:
            yield fact.seq, Tie("other_result", "")


def _used_results(steps: Sequence[Step], known: frozenset[int]) -> Iterator[tuple[int, Tie]]:
    """Calls that failed to make a descriptor, where -1 was used as one afterwards."""
    latest: dict[int, Step] = {}
    for step in steps:
        call = step.call
        if step.operation in _MAKERS:
            if c.failed(call):
                latest[call.pid] = step
            else:
                latest.pop(call.pid, None)
        elif call.errno == "EBADF" and c.number(call, 0) in _MINUS_ONE:
            maker = latest.get(call.pid)
            if maker is not None and {maker.call.seq, call.seq} <= known:
                yield maker.call.seq, Tie("used_result", f"{call.name} was then given its result, -1")
                yield call.seq, Tie("consequence", f"it was given what {maker.call.name} had returned, -1")


def _same_descriptor(steps: Sequence[Step], known: frozenset[int]) -> Iterator[tuple[int, Tie]]:
    """Failures on a descriptor, or while it was made ready, on which a later call failed too."""
    earlier: dict[tuple[int, int], list[Step]] = defaultdict(list)
    for step in steps:
        call = step.call
        if step.origin is None or step.origin.seq < 0 or not c.failed(call) or call.errno in _TRANSIENT:
            continue
        before = earlier[call.pid, step.origin.seq]
        for one in before if call.errno not in _HALF_DONE else ():
            same = (one.call.name, one.call.errno) == (call.name, call.errno)
            if not same and one.call.seq in known:
                yield one.call.seq, Tie("same_descriptor", f"{call.name} failed on its descriptor afterwards")
        if len(before) < MAX_EARLIER:
            before.append(step)


def _directories(failed: Sequence[FailedCall]) -> Iterator[tuple[int, Tie]]:
    """Directories that could not be made or reached, with later failures below them."""
    above = {fact.absolute.rstrip("/"): fact for fact in failed if _makes_directory(fact)}
    for fact in failed if above else ():
        parent = fact.parent
        while len(parent) > 1:
            maker = above.get(parent)
            if maker is not None and maker.first_seq < fact.seq and maker is not fact:
                yield maker.seq, Tie("lies_above", f"{fact.name} failed below it afterwards")
                break
            parent = parent.rpartition("/")[0]


def _makes_directory(fact: FailedCall) -> bool:
    return fact.operation in ("mkdir", "mount", "chdir") and len(fact.absolute) > 1 and fact.errno != "EEXIST"
