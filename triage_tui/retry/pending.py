"""Decisions of several durable steps: written down before, so that what a killed program began is settled.

    rulebook/.pending/<change>.json     one `Pending`; locked with flock(2) by the program that decides

A decision touches the run's event log, the rulebook and the audit log. The rulebook says whether it took
place; the next program that begins on the workspace (`settle`) makes the logs agree with that, so that it
finds exactly the old or the new state. A lock ends with its program: what is locked is being decided now.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from triage_tui.errors import Conflict, TriageError
from triage_tui.retry.decision_events import tell_runs
from triage_tui.retry.noting import note
from triage_tui.retry.pending_model import PENDING_DIR, PUBLISHED, Kind, Pending
from triage_tui.retry.settling import settle_one
from triage_tui.rulebook import generations
from triage_tui.rulebook.generations import Generation
from triage_tui.rulebook.lock import wait_for
from triage_tui.runs.encoding import encode_line
from triage_tui.runs.events import Event, append_event, default_actor, read_events
from triage_tui.runs.files import refuse_link, sync_directory, write_all
from triage_tui.runs.reader import Run
from triage_tui.sfemu import rules_dir
from triage_tui.sfemu.rules_dir import RulesDirectory
from triage_tui.text import safe_line

Step = Callable[[str], None]

APPROVE_STEPS = ("begun", "approved", *generations.ACTIVATE_STEPS, "activated", "ended")
ROLLBACK_STEPS = ("begun", *generations.ROLLBACK_STEPS, "rolled_back", "ended")
EDIT_STEPS = ("begun", "written", "edited", "noted", "ended")
MOVE_STEPS = ("begun", *generations.ROLLBACK_STEPS, "told", "ended")
JUDGE_STEPS = ("begun", "written", "counted", "told", "noted", "ended")
"""Names of the durable steps of decisions, in order; a rejection has its kind, "rejected", in the middle."""

_DEEDS = {
    "approved": "approved rules of",
    "rejected": "rejected the proposals of",
    "edited": "edited a rule of",
    "dropped": "dropped rules of",
    "reconsidered": "took back a decision on",
    "activated": "made rules active by",
    "rolled_back": "took back the rules of",
    "retry_started": "started to retry",
}
"""What was done to the rules of a run, by the kind of its event."""


def no_step(_name: str) -> None:
    """Do nothing at a step; tests end the process here."""


class Held:
    """A decision while it is carried out."""

    def __init__(self, run_dir: Path, pending: Pending, rules: RulesDirectory | None = None) -> None:
        self.pending = pending
        self.change = pending.change
        self.told = True
        self.published = ""
        """What of the rules was published for another engine, behind a comma; "" for nothing."""
        self._run_dir = run_dir
        self._rules = rules

    def ready(self, target_dir: Path, generation: Generation | None) -> None:
        """Make ready what follows from a generation that is about to become active, see `Ready`."""
        if self._rules is not None:
            from triage_tui.sfemu import publishing

            publishing.make_ready(self._rules, target_dir, generation)

    def publish(self) -> None:
        """Put in force what was made ready, once the generation is active.

        Raises:
            TriageError: it could not be; the next program tries again.
        """
        if self._rules is None or self.pending.kind not in PUBLISHED:
            return
        from triage_tui.sfemu import publishing

        try:
            told = publishing.put_in_force(self._rules)
        except TriageError as error:
            raise type(error)(
                f"the active rules changed, and what SFEmu loads does not follow yet: {error}"
            ) from error
        self.published = f", {told}" if told else ""

    def tell(self, kind: str, payload: dict[str, object]) -> None:
        """Record what took place; where that is not possible now (a full disk), the next program does."""
        try:
            append_event(self._run_dir, kind, payload, self.pending.actor)
        except TriageError:
            self.told = False

    def note(self) -> None:
        """Bring the audit log up to the run's event log, now or by the next program."""
        try:
            note(self._run_dir.parent.parent / "rulebook", self._run_dir, self.pending.target)
        except TriageError:
            self.told = False

    def tell_runs(self, directory: Path, before: int, after: int) -> None:
        """Record a move of the active generation in every run whose rules come or go by it."""
        try:
            tell_runs(self._run_dir.parent, directory, before, after, self.pending)
        except (TriageError, OSError):
            self.told = False


@contextmanager
def begun(root: Path, pending: Pending, step: Step = no_step, seen: Run | None = None) -> Iterator[Held]:
    """Hold a decision on a workspace while it is carried out; one that fails is settled at once.

    Of one run there is one decision at a time. With `seen`, the run as it was when it was decided on, nobody
    may have decided on its rules since.

    Raises:
        Conflict: somebody did, or is at it for long.
        TriageError: it cannot be written down, so nothing is to be decided.
    """
    path = root / "rulebook" / PENDING_DIR / f"{pending.change}.json"
    handle = _write_down(path, pending)
    held = Held(root / "ai_runs" / (pending.run or "_"), pending, rules_dir.around(root))
    try:
        step("begun")
        try:
            with _alone(root / "ai_runs" / pending.run, pending.run):
                if seen is not None:
                    _check_undecided(seen)
                yield held
            held.publish()
        except BaseException:
            # What cannot be settled now (the disk is full) stays for the next program.
            with contextlib.suppress(OSError, TriageError):
                settle_one(root, pending)
                path.unlink()
            raise
        if held.told:
            path.unlink()
            sync_directory(path.parent)
        step("ended")
    finally:
        os.close(handle)


@contextmanager
def _alone(run_dir: Path, run_id: str) -> Iterator[None]:
    """Hold flock(2) on the directory of a run, where the decision is on one."""
    if not run_id:
        yield
        return
    try:
        handle = os.open(run_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise TriageError(
            f"nothing was decided: run {safe_line(run_id, 60)} cannot be opened: {error.strerror}"
        ) from error
    try:
        wait_for(handle, f"somebody else is deciding on run {run_id}: try again in a moment")
        yield
    finally:
        os.close(handle)


def _check_undecided(seen: Run) -> None:
    """Refuse a decision on a run whose rules somebody decided on since it was read.

    Raises:
        Conflict: somebody did.
    """
    known = {(event.event_id, event.prev) for event in seen.events}
    events, _ = read_events(seen.dir)
    later = [e for e in events if e.kind in _DEEDS and (e.event_id, e.prev) not in known]
    if later:
        first = later[0]
        raise Conflict(
            f"{safe_line(first.actor, 60)} {_DEEDS[first.kind]} run {seen.run_id} in this very moment,"
            " so nothing else was decided: look at it again"
        )


def decided_by_another(seen: Run, actor: str) -> str:
    """Say who else decided on the rules of a run since it was read, or rejected them before; "" for nobody.

    A policy, which decides as `actor`, approves nothing on top of that.
    """
    known = {(event.event_id, event.prev) for event in seen.events}
    # A round that is begun has the name of who runs the supervisor, also where the policy began it.
    kinds = _DEEDS.keys() - {"retry_started"}
    deeds = [one for one in read_events(seen.dir)[0] if one.kind in kinds and one.actor != actor]
    if not deeds or (deeds[-1].kind != "rejected" and (deeds[-1].event_id, deeds[-1].prev) in known):
        return ""
    who = safe_line(deeds[-1].actor, 60)
    return f"{who} {_DEEDS[deeds[-1].kind]} run {seen.run_id}, so the policy decides nothing on it"


def decided(
    root: Path,
    run: Run,
    kind: str,
    payload: dict[str, Any],
    actor: str = "",
    step: Step = no_step,
    seen: Run | None = None,
    **expected: Any,
) -> Event:
    """Record a decision that is one event of a run, with its line in the audit log.

    See `append_event`, and `begun` for `seen`.
    """
    with begun(root, pending_of("note", run, actor), step, seen) as held:
        event = append_event(run.dir, kind, payload, actor or None, **expected)
        step(kind)
        held.note()
        step("noted")
    return event


def pending_of(kind: Kind, run: Run, actor: str = "", **more: str) -> Pending:
    """Return a new decision on a run."""
    return Pending(
        kind=kind,
        change=secrets.token_hex(8),
        run=run.run_id,
        target=run.snapshot.target.target_id,
        actor=actor or default_actor(),
        **more,
    )


def pending_for(target_id: str, kind: Kind, actor: str, **more: str) -> Pending:
    """Return a new decision on the rules of a target that belongs to no run."""
    return Pending(kind=kind, change=secrets.token_hex(8), run="", target=target_id, actor=actor, **more)


def _write_down(path: Path, pending: Pending) -> int:
    """Make the file under a lock that it has before anybody can see it; return the handle that holds it."""
    temporary = path.with_name(f".{path.name}.tmp")
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    refuse_link(path.parent)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(temporary, flags, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            write_all(handle, encode_line(pending))
            os.fsync(handle)
            os.rename(temporary, path)
            sync_directory(path.parent)
        except BaseException:
            os.close(handle)
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        where = safe_line(str(path.parent))
        raise TriageError(f"nothing was decided: {where} cannot be written: {error.strerror}") from error
    return handle
