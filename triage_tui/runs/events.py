"""`events.jsonl`: what happened to a run and what was decided, append-only; the run's state follows from it.

One JSON object a line. Each carries the SHA-256 of the line before it, so that a changed or removed line
shows. Writers hold flock(2) on the file; a decision names the states in which it is legal, and whoever comes
second is told.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import getpass
import hashlib
import os
import stat
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, cast

import msgspec

from triage_tui.errors import Conflict, TriageError
from triage_tui.runs.clock import local_time
from triage_tui.runs.encoding import encode_line
from triage_tui.runs.files import read_bounded, waits_for_disk
from triage_tui.runs.record import Record

EVENTS_FILE = "events.jsonl"
MAX_EVENTS_BYTES = 8 << 20

State = Literal[
    "captured",
    "diagnosed",
    "proposed",
    "approved",
    "rejected",
    "applied",
    "resumed",
    "retrying",
    "progressed",
    "sideways",
    "regressed",
    "resolved",
    "inconclusive",
    "rolled_back",
    "ended",
    "needs_person",
]

KINDS = frozenset(
    [
        "captured", "diagnosed", "proposed", "edited", "approved", "rejected", "activated", "waiting",
        "decision",
        "resumed", "retry_started", "retry_finished", "rolled_back", "ended", "holder_lost", "needs_person",
        "dropped", "reconsidered", "experiment_started", "experiment_rules", "experiment_asked",
        "experiment_answered", "experiment_finished", "analyzed", "log_added",
        "reopened", "counterfactual", "minimised", "bisected", "each_rule", "campaign", "checkpoint",
    ]
)  # fmt: skip

VERDICTS = frozenset(["progressed", "sideways", "regressed", "resolved", "inconclusive"])


class Event(Record):
    """One line of the log. `ts_mono_ns` orders events of one machine's uptime, `wall` is for people."""

    event_id: int
    kind: str
    actor: str
    wall: str
    ts_mono_ns: int
    payload: dict[str, Any] = {}
    prev: str = ""


_decoder = msgspec.json.Decoder(Event)


def default_actor() -> str:
    """Return the name of the person (or account) at work."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _digest(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


def _parse(raw: bytes) -> tuple[list[Event], list[str], bytes]:
    """Split raw log bytes into events, problems and the last complete line."""
    events: list[Event] = []
    problems: list[str] = []
    last = b""
    expected = ""
    for number, line in enumerate(raw.split(b"\n"), 1):
        if not line:
            continue
        try:
            event = _decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            problems.append(f"line {number} of {EVENTS_FILE} is damaged and was passed over")
            continue
        if event.prev != expected:
            problems.append(
                f"line {number} of {EVENTS_FILE} does not follow from the line before it: the log was changed"
            )
        events.append(event)
        last = line
        expected = _digest(line)
    return events, problems, last


def read_events(run_dir: Path) -> tuple[list[Event], list[str]]:
    """Return the events of a run and, in one sentence each, what is wrong with its log."""
    path = run_dir / EVENTS_FILE
    if not os.path.lexists(path):
        return [], []
    try:
        raw = read_bounded(path, MAX_EVENTS_BYTES)
    except TriageError as error:
        return [], [str(error)]
    events, problems, _ = _parse(raw)
    return events, problems


def event_digests(run_dir: Path) -> dict[str, Event]:
    """Return the readable events of a run by the SHA-256 of their lines, in order; none where it has none."""
    try:
        raw = read_bounded(run_dir / EVENTS_FILE, MAX_EVENTS_BYTES)
    except TriageError:
        return {}
    found = {}
    # What follows the last line end is still being written.
    for line in raw.split(b"\n")[:-1]:
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            found[_digest(line)] = _decoder.decode(line)
    return found


def derive_state(events: Iterable[Event]) -> State:
    """Return the state that the events lead to. A run without events was captured and no more.

    A retry whose process is gone leaves the run to a person.
    """
    events = list(events)
    state = told_state(events)
    return "needs_person" if state == "retrying" and _retry_is_gone(events) else state


def depends_on_processes(events: Iterable[Event]) -> bool:
    """Tell whether what is said of a run also depends on a process: one that holds its guest, or retries."""
    events = list(events)
    explained = any(event.kind == "diagnosed" for event in events)
    supervised = is_waiting(events) if explained else supervisor_of(events) is not None
    return supervised or told_state(events) == "retrying"


def told_state(events: Sequence[Event]) -> State:
    """Return the state that the events lead to, whether the process of a retry lives or not."""
    state: State = "captured"
    taken_back = _taken_back(events)
    edits = _Edits()
    for event in events:
        match event.kind:
            case "rejected" | "approved" if event.event_id in taken_back:
                pass
            case "captured" | "diagnosed" | "proposed" | "approved" | "rejected" | "needs_person":
                state = event.kind
            case "resumed" | "rolled_back":
                state = event.kind
            case "ended":
                state = _verdict(event, "ended")
            case "edited":
                state = edits.state_after(event, state)
            case "activated":
                state = "applied"
            case "retry_started":
                state = "retrying"
            case "retry_finished":
                state = _verdict(event, "inconclusive")
            case _:
                pass
    return state


_UNDECIDED = frozenset(("captured", "diagnosed", "proposed", "rejected", "needs_person"))
"""States in which an edit is to be reviewed next. In others it hides neither active rules nor a verdict."""


class _Edits:
    """The rule files that are edited, with the text and the state of the run from before."""

    def __init__(self) -> None:
        self._before: dict[str, tuple[object, State]] = {}

    def state_after(self, edit: Event, state: State) -> State:
        """Return the state after an edit; one that brings the first text back brings its state back."""
        name = str(edit.payload.get("file"))
        text, earlier = self._before.setdefault(name, (edit.payload.get("before"), state))
        if text is not None and edit.payload.get("sha256") == text:
            del self._before[name]
            return earlier if state == "proposed" and not self._before else state
        return "proposed" if state in _UNDECIDED else state


def _taken_back(events: Sequence[Event]) -> set[int]:
    """Return the numbers of what was taken back later: rejections, and approvals that took no effect."""
    named = ((event, event.payload.get("event")) for event in events if event.kind == "reconsidered")
    return {number for event, number in named if isinstance(number, int) and number < event.event_id}


def _retry_is_gone(events: Sequence[Event]) -> bool:
    """Tell whether the process that retried was killed before it could say what came of it."""
    payload = next((event.payload for event in reversed(events) if event.kind == "retry_started"), {})
    pid, start = payload.get("pid"), payload.get("start")
    return isinstance(pid, int) and isinstance(start, int) and process_start(pid) != start


def _verdict(event: Event, otherwise: State) -> State:
    """Return the verdict that an event carries. An invented word counts as none."""
    word = event.payload.get("verdict")
    return cast("State", word) if isinstance(word, str) and word in VERDICTS else otherwise


_HOLDING = ("captured", "waiting")
"""Events that name who holds the guest."""


def is_waiting(events: Iterable[Event]) -> bool:
    """Tell whether a holder keeps the guest frozen and waits for a decision.

    `waiting` starts the wait, once all is said of the run that a decision needs; in older logs `captured`
    with a `holder` does. A decision, the end or the loss of the holder ends it. Whether the holder still
    lives is a separate question (see `holder_alive`).
    """
    waiting = False
    for event in events:
        if event.kind in _HOLDING:
            waiting = bool(event.payload.get("holder"))
        elif event.kind in ("decision", "resumed", "ended", "holder_lost"):
            waiting = False
    return waiting


def holder_of(events: Iterable[Event]) -> tuple[int, int] | None:
    """Return (pid, start time in clock ticks) of the process that holds the guest, if the run names one."""
    named = (event.payload.get("holder") for event in events if event.kind in _HOLDING)
    return next(filter(None, map(_process, named)), None)


def supervisor_of(events: Iterable[Event]) -> tuple[int, int] | None:
    """Return (pid, start time in clock ticks) of the process that captured the run, if the run names one."""
    captured = next((event.payload for event in events if event.kind == "captured"), {})
    return _process(captured.get("supervisor")) or _process(captured.get("holder"))


def _process(named: object) -> tuple[int, int] | None:
    pid, start = (named.get("pid"), named.get("start")) if isinstance(named, dict) else (None, None)
    return (pid, start) if isinstance(pid, int) and isinstance(start, int) else None


def process_start(pid: int) -> int | None:
    """Return the start time of process `pid` in clock ticks since boot (proc(5), field 22), if it lives."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def this_process() -> dict[str, int]:
    """Return this process as a holder: its pid and start time, by which others tell whether it lives."""
    return {"pid": os.getpid(), "start": process_start(os.getpid()) or 0}


def holder_alive(events: Iterable[Event]) -> bool:
    """Tell whether the run waits and its holder still lives on this machine (pid and start time agree).

    A holder that cannot be seen from here, in a container of its own, names a file that it renews.
    """
    events = list(events)
    if not is_waiting(events):
        return False
    named = _holder(events)
    if (holder := _process(named)) is not None:
        return process_start(holder[0]) == holder[1]
    renewed = named.get("renewed")
    return isinstance(renewed, str) and _age(renewed) < RENEWED_S


def holder_reads(events: Iterable[Event]) -> bool:
    """Tell whether a living holder can be asked for memory of its guest: one of another engine cannot."""
    events = list(events)
    return holder_alive(events) and "by" not in _holder(events)


def _holder(events: Sequence[Event]) -> dict[str, Any]:
    """Return what the last event that names a holder says of it."""
    told = (event.payload.get("holder") for event in reversed(events) if event.kind in _HOLDING)
    named = next(filter(None, told), None)
    return named if isinstance(named, dict) else {}


RENEWED_S = 20
"""Age of a file from which on nobody renews it any more."""


def _age(path: str) -> float:
    try:
        return abs(time.time() - os.stat(path, follow_symlinks=False).st_mtime)
    except (OSError, ValueError):
        return RENEWED_S


def experiments_done(events: Iterable[Event]) -> set[str]:
    """Return the ids of the experiments on a run that were carried out; what came to nothing was not."""
    done = (event.payload for event in events if event.kind == "experiment_finished")
    return {ident for payload in done if payload.get("run") and isinstance(ident := payload.get("id"), str)}


def reopened_by(events: Iterable[Event]) -> str:
    """Return the name of the stable set whose mended failure this run shows again, "" for none.

    The last word counts: a later diagnosis of the run may see another failure.
    """
    told = [event for event in events if event.kind == "reopened"]
    name = told[-1].payload.get("set") if told else ""
    return name if isinstance(name, str) else ""


def is_abandoned(events: Sequence[Event]) -> bool:
    """Tell whether the process that captured the run ended before it explained it."""
    if any(event.kind == "diagnosed" for event in events):
        return False
    supervisor = supervisor_of(events)
    return supervisor is not None and process_start(supervisor[0]) != supervisor[1]


def append_event(
    run_dir: Path,
    kind: str,
    payload: dict[str, Any] | None = None,
    actor: str | None = None,
    expect_state: Iterable[State] | None = None,
    expect_waiting: bool = False,
) -> Event:
    """Append one event, durably, and return it.

    With `expect_state` the run must be in one of those states, and with `expect_waiting` a frozen guest must
    wait, at the moment of writing; nobody can come in between.

    Raises:
        Conflict: the run is in another state, or nobody waits any more.
        TriageError: the run directory is gone or cannot be written.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown event kind {kind!r}")
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        handle = os.open(run_dir / EVENTS_FILE, flags, 0o644)
    except OSError as error:
        raise TriageError(f"cannot write the event log of run {run_dir.name}: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        # Reading from a FIFO would wait for ever.
        os.close(handle)
        raise TriageError(f"cannot write the event log of run {run_dir.name}: it is no regular file")
    with os.fdopen(handle, "r+b", buffering=0) as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        size = os.fstat(stream.fileno()).st_size
        raw = stream.read(MAX_EVENTS_BYTES) or b""
        events, _, last = _parse(raw)
        state = derive_state(events)
        if expect_state is not None and state not in set(expect_state):
            raise Conflict(
                f"run {run_dir.name} is {state} by now, so {kind.replace('_', ' ')} was not recorded"
            )
        if expect_waiting and not is_waiting(events):
            raise Conflict(f"run {run_dir.name} no longer waits: somebody else decided first")
        event = Event(
            event_id=(events[-1].event_id if events else 0) + 1,
            kind=kind,
            actor=actor or default_actor(),
            wall=local_time("milliseconds"),
            ts_mono_ns=time.monotonic_ns(),
            payload=payload or {},
            prev=_digest(last) if last else "",
        )
        line = encode_line(event) + b"\n"
        if raw and not raw.endswith(b"\n"):
            # A writer that died left half a line: end it, so that ours stands on its own.
            line = b"\n" + line
        try:
            if stream.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if waits_for_disk():
                os.fsync(stream.fileno())
        except OSError as error:
            with contextlib.suppress(OSError):
                stream.truncate(size)
            raise TriageError(
                f"cannot write the event log of run {run_dir.name}: {error.strerror}"
            ) from error
    return event
