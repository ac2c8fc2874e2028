"""Decide what becomes of a program that SFEmu stopped, and keep what happened in our record of the run.

SFEmu's own records are not touched. Who decided what and when, and how a wait ended, are events of the run as
it was taken over (`home/ai_runs/<run>/events.jsonl`), so that lists, screens and `watch` show them as they do
for runs of our own engine.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from triage_tui.errors import Conflict, TriageError
from triage_tui.runs.events import Event, append_event, is_waiting, read_events
from triage_tui.runs.form import SNAPSHOT_FILE
from triage_tui.sfemu import adopted, rules_dir, waits
from triage_tui.sfemu.waits import Over, Wait
from triage_tui.text import safe_line

SFEMU = "SFEmu"
"""The actor of what nobody here decided."""
_LOOKED_AT = 400
"""Latest events of a run among which a wait is looked for."""


def is_taken_over(run_dir: Path) -> bool:
    """Tell whether a record is of a run of SFEmu's."""
    return (run_dir / adopted.FILE).exists()


def take_note(home: Path) -> None:
    """Add to the runs of a workspace which of them wait, and how waits ended. Free when there is neither.

    What cannot be written now is tried again at the next look.
    """
    if not _anything(home):
        return
    with alone(home):
        for wait in waits.waits(home):
            with contextlib.suppress(TriageError):
                _note_wait(home, wait)
        for ended in waits.over(home):
            with contextlib.suppress(TriageError):
                _note_end(home, ended)


def of_run(home: Path, run_id: str) -> list[Wait]:
    """Return the living processes that wait for a decision on a run.

    Raises:
        Conflict: there is none.
    """
    alive = [wait for wait in waits.waits(home, run_id) if wait.alive]
    if not alive:
        told = (event for event in reversed(read_events(home / "ai_runs" / run_id)[0]) if _is_of_wait(event))
        last = next(told, None)
        gone = last is not None and last.kind == "holder_lost"
        why = f": {safe_line(str(last.payload.get('why', '')), 200)}" if last is not None and gone else ""
        raise Conflict(f"run {run_id} does not wait for a decision{why}")
    return alive


def _is_of_wait(event: Event) -> bool:
    return "nonce" in event.payload


def check(home: Path, found: Sequence[Wait], action: str) -> None:
    """Check that a decision on these waits can be carried out, and that there is none yet.

    Raises:
        Conflict: somebody decided already.
        TriageError: SFEmu cannot do that here; says why.
    """
    for wait in found:
        if action not in wait.can:
            why = safe_line(wait.why_not, 200) or "SFEmu does not offer it"
            raise TriageError(
                f"run {wait.run_id} cannot {_INFINITIVE.get(action, action)}: {why};"
                f" it takes {' or '.join(wait.can)}"
            )
        if waits.is_decided(home, wait):
            raise Conflict(f"somebody decided on run {wait.run_id} already, and SFEmu is about to follow")


_INFINITIVE = {"resume": "go on", "retry": "be started again", "end": "be ended"}


def tell(home: Path, found: Sequence[Wait], action: str, actor: str) -> str:
    """Leave a decision for the processes that wait; return one sentence.

    Raises:
        TriageError: it cannot be written.
    """
    rules = _rules_to_load(home)
    for wait in found:
        waits.write_decision(home, wait, action, actor, rules)
    many = f" ({len(found)} processes recorded under this name)" if len(found) > 1 else ""
    return {
        "resume": "SFEmu goes on with the program, and loads its rules again",
        "retry": "SFEmu starts the program again",
        "end": "SFEmu ends the program",
    }[action] + many


_MAX_RULES = 200
_SYSCALL = re.compile(r"([a-z][a-z0-9_]{0,31})(@[^/]*)?\.lua\Z")


def _rules_to_load(home: Path) -> list[str]:
    """Return the syscalls whose rules may be others than when SFEmu read them.

    It keeps rules by name until it is told: those that lie in an override directory now, and those that were
    in any generation of ours and may have been taken back.
    """
    rules = rules_dir.around(home)
    places = [*(rules.override_dirs if rules is not None else ()), *(home / "rulebook").glob(_GENERATIONS)]
    names: set[str] = set()
    for place in places[:_MAX_PLACES]:
        with contextlib.suppress(OSError):
            names |= {found[1] for name in os.listdir(place) if (found := _SYSCALL.match(name))}
    return sorted(names)[:_MAX_RULES]


_GENERATIONS = "*/generations/*/syscall"
_MAX_PLACES = 1000


def _anything(home: Path) -> bool:
    for place in (waits.WAITING, waits.DECIDED):
        with contextlib.suppress(OSError), os.scandir(home / place) as entries:
            if any(not entry.name.startswith(".") for entry in entries):
                return True
    return False


@contextlib.contextmanager
def alone(home: Path) -> Iterator[None]:
    """Hold the directory of announcements: of two programs that look there one does so first."""
    try:
        handle = os.open(home / waits.WAITING, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        yield
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _note_wait(home: Path, wait: Wait) -> None:
    run_dir = home / "ai_runs" / wait.run_id
    if not (run_dir / SNAPSHOT_FILE).exists():
        return
    events = read_events(run_dir)[0]
    known = _last_of(events, wait.nonce)
    if not wait.alive:
        if known is not None and is_waiting(events):
            why = f"SFEmu's process {wait.pid} is gone"
            append_event(run_dir, "holder_lost", {"nonce": wait.nonce, "why": why}, SFEMU)
        waits.remove(home, wait)
        return
    holder: dict[str, Any] = {"by": SFEMU}
    if wait.process is not None:
        holder |= {"pid": wait.process[0], "start": wait.process[1]}
    else:
        holder["renewed"] = str(home / waits.WAITING / wait.name)
    if known is None or (known.kind != "waiting" and _goes_on(home, wait)):
        append_event(
            run_dir,
            "waiting",
            {
                "holder": holder,
                "nonce": wait.nonce,
                "can": list(wait.can),
                "default": wait.default[:20],
                "deadline": wait.deadline,
            },
            SFEMU,
        )


def _goes_on(home: Path, wait: Wait) -> bool:
    """Tell whether a wait that was decided on was not: who decided was killed before SFEmu was told.

    SFEmu takes its announcement away before the decision, so that without the latter the former counts.
    """
    if waits.is_decided(home, wait):
        return False
    return any(one.nonce == wait.nonce for one in waits.waits(home, wait.run_id))


def _note_end(home: Path, ended: Over) -> None:
    run_dir = home / "ai_runs" / ended.run_id
    if not (run_dir / SNAPSHOT_FILE).exists():
        return
    why = {
        "deadline": "nobody decided in time, so its default was done",
        "interrupt": "Ctrl-C was pressed where it waited",
        "prompt": "SFEmu asks at its own terminal",
    }.get(ended.how, "")
    payload = {"nonce": ended.nonce, "how": ended.how, "action": ended.action, "why": why}
    kind = "holder_lost" if ended.how == "prompt" else "ended" if ended.action == "end" else "resumed"
    append_event(run_dir, kind, payload, SFEMU)
    with contextlib.suppress(OSError):
        ended.path.unlink(missing_ok=True)


def _last_of(events: Sequence[Event], nonce: str) -> Event | None:
    """Return the last event about a wait."""
    for event in reversed(events[-_LOOKED_AT:]):
        told = event.payload.get("nonce")
        if told == nonce or (isinstance(told, list) and nonce in told):
            return event
    return None
