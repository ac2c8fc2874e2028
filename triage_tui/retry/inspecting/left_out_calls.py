"""Calls that `trace.jsonl` leaves out, read back from a full trace where one was kept.

A long run keeps its first and its last calls. What failed in between, and what made the descriptors that
later calls work on, is taken from `trace-full.gz` into `trace.jsonl`, so that whoever reads the record finds
it: the diagnosis, the panes, a search. The rest stays in the full trace.
"""

from __future__ import annotations

from pathlib import Path

from triage_tui.diagnosis import calls as c
from triage_tui.guest.log.full_trace import FILE, read_full_trace
from triage_tui.runs.encoding import encode_line
from triage_tui.runs.files import write_atomic
from triage_tui.runs.model import Syscall
from triage_tui.runs.reader import Run, load_run
from triage_tui.runs.writer import SNAPSHOT_FILE, TRACE_FILE, encode_json

WHOLE_TRACE = "the whole trace"
"""What the snapshot calls unavailable where the trace has a gap."""
MAX_KEYS = 4000
"""Different calls that are taken; the first and the last time of each."""
MAX_READ = 2_000_000
"""Calls of the full trace that are read: less than a minute's work."""
_TAKEN = "that failed or say who did what are from the full trace"

_TRANSIENT = frozenset(("EAGAIN", "EINTR", "EINPROGRESS", "ERESTART", "ERESTARTSYS"))
_TELLING = frozenset(("exec", "fork", "exit", "kill", "connect", "bind", "listen", "chdir", "setid", "mount"))
"""Operations that are taken when they succeed, too: who runs, where, and whom it talks to."""
_MAKERS = frozenset(("open", "socket", "accept"))
_COPIES = frozenset(("dup", "dup2", "dup3", "fcntl", "fcntl64"))
_CHAIN = 4
"""Copies of a descriptor that are followed back to the call that made it."""

_State = dict[tuple[int, int], list[Syscall]]
"""Process and descriptor -> the calls by which it stands for what it does, the last one first."""


def take_left_out(run_dir: Path) -> int:
    """Add to the trace of a run what its full trace has between the kept calls; return how many calls.

    Raises:
        TriageError: the full trace is damaged, or the run cannot be read.
    """
    path = run_dir / FILE
    if not path.exists():
        return 0
    run = load_run(run_dir)
    note = next((one for one in run.snapshot.unavailable if one.what == WHOLE_TRACE), None)
    if note is None or _TAKEN in note.why:
        return 0
    found = _between(run, path)
    if not found:
        return 0
    every = sorted((*run.trace(), *found), key=lambda call: call.seq)
    write_atomic(run_dir / TRACE_FILE, b"".join(encode_line(call) + b"\n" for call in every))
    note.why = f"{note.why}; {len(found)} in between {_TAKEN}"
    if run.snapshot.statistics.syscalls > MAX_READ:
        note.why += f", of which the first {MAX_READ} calls were read"
    write_atomic(run_dir / SNAPSHOT_FILE, encode_json(run.snapshot))
    return len(found)


def _between(run: Run, path: Path) -> list[Syscall]:
    """Return the telling calls of the full trace that the record has not, oldest first."""
    known = {call.seq for call in run.trace()}
    known.update(call.seq for call in run.snapshot.recent_syscalls)
    last = max(known, default=0)
    chosen: dict[int, Syscall] = {}
    latest: dict[tuple[object, ...], Syscall] = {}
    state: _State = {}
    for number, call in enumerate(read_full_trace(path)):
        if number == MAX_READ or call.seq > last:
            break
        # What the record has keeps its own words: only what descriptors stand for is learnt from it.
        new = call.seq not in known
        kept = _key(call) if new else None
        if kept is not None and (kept in latest or len(latest) < MAX_KEYS):
            if kept not in latest:
                chosen[call.seq] = call
            latest[kept] = call
            fd = c.descriptor(call)
            behind = state.get((call.pid, fd), []) if fd is not None else []
            chosen.update((one.seq, one) for one in behind if one.seq not in known)
        _learn(state, call)
    for calls in (list(latest.values()), *state.values()):
        chosen.update((one.seq, one) for one in calls if one.seq not in known)
    return sorted(chosen.values(), key=lambda call: call.seq)


def _key(call: Syscall) -> tuple[object, ...] | None:
    """Return what tells this call from others worth taking, None for one that is not."""
    kind = c.operation(call)
    if call.ret is None or call.errno in _TRANSIENT or (call.errno is None and kind not in _TELLING):
        return None
    about = call.path or call.peer or call.request or c.argument(call, 0)
    return call.pid, call.name, call.errno, about


def _learn(state: _State, call: Syscall) -> None:
    """Note what a successful call does to the descriptors of its process."""
    if call.ret is None or call.errno is not None:
        return
    fd = c.descriptor(call)
    if c.operation(call) in _MAKERS:
        state[call.pid, call.ret] = [call]
    elif fd is None:
        return
    elif call.name == "close":
        state[call.pid, fd] = [call]
    elif call.name in _COPIES and (call.name.startswith("dup") or "F_DUPFD" in c.argument(call, 1)):
        state[call.pid, call.ret] = [call, *state.get((call.pid, fd), [])][:_CHAIN]
