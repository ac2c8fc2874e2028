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
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import msgspec

from triage_tui.errors import Conflict, TriageError
from triage_tui.retry.noting import note
from triage_tui.rulebook import generations, moves, patches, statistics
from triage_tui.rulebook.audit import log as audit_log
from triage_tui.rulebook.generations import Generation
from triage_tui.rulebook.hunks import digest_of
from triage_tui.rulebook.lock import wait_for
from triage_tui.rulebook.places import target_directory
from triage_tui.rulebook.rollouts import settling
from triage_tui.runs.encoding import encode_line
from triage_tui.runs.events import EVENTS_FILE, Event, append_event, default_actor, read_events
from triage_tui.runs.files import read_bounded, refuse_link, sync_directory, write_all
from triage_tui.runs.ids import is_run_id
from triage_tui.runs.reader import Run, load_run
from triage_tui.runs.record import Record
from triage_tui.runs.verdict_model import Verdict, read_verdict
from triage_tui.sfemu import rules_dir
from triage_tui.sfemu.rules_dir import RulesDirectory
from triage_tui.text import safe_line, safe_name

PENDING_DIR = ".pending"
"""In the rulebook; no target's directory can begin with a dot."""
MAX_BYTES = 64 << 10
MAX_PENDING = 256
"""Decisions that are settled at once."""

Kind = Literal["approve", "roll_back", "edit", "note", "judge", "move", "expire", "renew", "rollout"]
"""What is decided; "note" is anything that is one event of a run and its line in the audit log, "judge" is
what is said of a round once it is recorded. "expire" and "renew" are about a target and no run, and so is
"move", which goes to another generation and tells every run whose rules come or go by that. "rollout" is
about the rollout that `file` names."""
Step = Callable[[str], None]

APPROVE_STEPS = ("begun", "approved", *generations.ACTIVATE_STEPS, "activated", "ended")
ROLLBACK_STEPS = ("begun", *generations.ROLLBACK_STEPS, "rolled_back", "ended")
EDIT_STEPS = ("begun", "written", "edited", "noted", "ended")
MOVE_STEPS = ("begun", *generations.ROLLBACK_STEPS, "told", "ended")
JUDGE_STEPS = ("begun", "written", "counted", "told", "noted", "ended")
"""Names of the durable steps of decisions, in order; a rejection has its kind, "rejected", in the middle."""

_MOVES = ("approve", "roll_back", "expire", "renew")
"""Kinds after which another generation is active."""

_PUBLISHED = (*_MOVES, "move", "rollout")
"""Kinds after which what is published for another engine has to follow."""

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

_CHANGE = re.compile(r"[0-9a-f]{16}")


class Pending(Record, kw_only=True):
    """A decision under way.

    `change` is its name, which its events and its line in the audit log carry. `file` and `sha256` are those
    of an edit: the rule file of the run, and the text that it gets. `judged` is the run that a judgement is
    on, where `run` is the one that it retries. A move has no run; its `target` is the name of a directory.
    """

    kind: Kind
    change: str
    run: str
    target: str
    actor: str
    file: str = ""
    sha256: str = ""
    before: str = ""
    judged: str = ""


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
        if self._rules is None or self.pending.kind not in _PUBLISHED:
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
            _tell_runs(self._run_dir.parent, directory, before, after, self.pending)
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
                _settle_one(root, pending)
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


def settle(root: Path) -> int:
    """Settle what killed programs left of their decisions on a workspace; return how many there were.

    Where that is not possible (no permission to write), it stays; nothing is raised.
    """
    directory = root / "rulebook" / PENDING_DIR
    if directory.is_symlink():
        return 0  # In a workspace from elsewhere it may lead anywhere.
    try:
        names = sorted(os.listdir(directory))[:MAX_PENDING]
    except OSError:
        return 0
    count = 0
    for name in names:
        with contextlib.suppress(OSError, TriageError):
            count += _settle_file(root, directory / name)
    return count


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


def _settle_file(root: Path, path: Path) -> bool:
    """Settle one file, unless the program that wrote it lives."""
    handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not path.exists():
            return False  # Somebody settled it in between.
        if path.name.endswith(".tmp"):
            path.unlink()  # It was killed before anything was decided.
            return False
        try:
            pending = msgspec.json.decode(read_bounded(path, MAX_BYTES, whole=True), type=Pending)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False
        if _CHANGE.fullmatch(pending.change) and path.name == f"{pending.change}.json":
            _settle_one(root, pending)
            path.unlink()
            sync_directory(path.parent)
            return True
        return False
    finally:
        os.close(handle)


def _settle_one(root: Path, pending: Pending) -> None:
    """Make the event log of the run, the audit log and what is published agree with what took place."""
    _settle_logs(root, pending)
    if root.name == rules_dir.HOME and pending.kind in _PUBLISHED:
        from triage_tui.sfemu.publishing import settle_home

        settle_home(root)


def _settle_logs(root: Path, pending: Pending) -> None:
    rulebook = root / "rulebook"
    if pending.kind == "move":
        _settle_move_alone(root, rulebook / safe_name(pending.target), pending)
        return
    if pending.kind == "rollout":
        settling.settle(rulebook, pending.file, pending.change, pending.actor)
        return
    target_dir = target_directory(rulebook, pending.target)
    linked = target_dir.is_symlink() or (target_dir / "generations").is_symlink()
    if pending.kind in _MOVES and target_dir.is_dir() and not linked:
        generations.recover(target_dir)
    run_dir = root / "ai_runs" / pending.run
    if not is_run_id(pending.run) or not run_dir.is_dir():
        return
    mine = [e for e in read_events(run_dir)[0] if e.payload.get("change") == pending.change]
    match pending.kind:
        case "approve" | "roll_back":
            _settle_move(run_dir, rulebook, pending, mine)
        case "edit":
            _settle_edit(run_dir, pending, mine)
        case "judge":
            _settle_judgement(root, run_dir, pending, mine)
        case _:
            pass
    note(rulebook, run_dir, pending.target)


def _settle_move(run_dir: Path, rulebook: Path, pending: Pending, mine: list[Event]) -> None:
    kinds = {event.kind for event in mine}
    moved = audit_log.announcement(rulebook, pending.change)
    if moved is not None and pending.kind == "roll_back" and "rolled_back" not in kinds:
        append_event(
            run_dir, "rolled_back", rolled_back(moved.before, moved.after, pending.change), pending.actor
        )
    elif moved is not None and pending.kind == "approve" and "activated" not in kinds:
        payload = activated(moved.after, moved.before, moved.rules, pending.change)
        append_event(run_dir, "activated", payload, pending.actor)
    elif moved is None and "approved" in kinds and "reconsidered" not in kinds:
        # The log must not say that it was approved.
        approved = next(event for event in mine if event.kind == "approved")
        payload = {"event": approved.event_id, "change": pending.change}
        append_event(run_dir, "reconsidered", payload, pending.actor)


def _settle_move_alone(root: Path, directory: Path, pending: Pending) -> None:
    if not directory.is_dir() or directory.is_symlink() or (directory / "generations").is_symlink():
        return
    generations.recover(directory)
    told = audit_log.announcement(directory.parent, pending.change)
    if told is not None:
        _tell_runs(root / "ai_runs", directory, told.before or 0, told.after or 0, pending)


def _tell_runs(runs_dir: Path, directory: Path, before: int, after: int, pending: Pending) -> None:
    found = moves.moved(directory, before, after)
    for run in found.runs:
        run_dir = runs_dir / run
        if not is_run_id(run) or not (run_dir / EVENTS_FILE).is_file():
            continue
        mine = {e.kind for e in read_events(run_dir)[0] if e.payload.get("change") == pending.change}
        if run in found.taken_back and "rolled_back" not in mine:
            payload = rolled_back(before, after, pending.change)
            append_event(run_dir, "rolled_back", payload, pending.actor)
        if run in found.put_back and "activated" not in mine:
            payload = activated(after, found.parent, found.put_back[run], pending.change)
            append_event(run_dir, "activated", payload, pending.actor)


def _settle_edit(run_dir: Path, pending: Pending, mine: list[Event]) -> None:
    with contextlib.suppress(TriageError, OSError):
        patches.remove_leftovers(run_dir, pending.file)
    try:
        now = digest_of(patches.read_rule(run_dir, pending.file))
    except TriageError:
        return
    if now == pending.sha256 and not mine:
        append_event(run_dir, "edited", edited(pending), pending.actor)


def _settle_judgement(root: Path, run_dir: Path, pending: Pending, mine: list[Event]) -> None:
    judged = run_dir.parent / pending.judged
    if not is_run_id(pending.judged) or not judged.is_dir():
        return
    run, verdict = load_run(judged), read_verdict(judged)
    before = load_run(run_dir) if pending.judged != pending.run else None
    if before is not None and verdict is None:
        return  # It was killed before it judged.
    statistics.count(root / "rulebook", pending.target, statistics.use_of(run, before, verdict))
    if verdict is not None and not mine:
        append_event(run_dir, "retry_finished", retry_finished(verdict, pending), pending.actor)


# What the events of these decisions say


def activated(generation: int | None, parent: int | None, files: object, change: str) -> dict[str, object]:
    """Return the payload of the event "activated"."""
    names = sorted(files) if isinstance(files, dict | list | tuple | set) else []
    return {"generation": generation, "parent": parent or None, "files": names, "change": change}


def rolled_back(before: int | None, after: int | None, change: str) -> dict[str, object]:
    """Return the payload of the event "rolled_back"."""
    return {"from": before, "to": after or 0, "change": change}


def retry_finished(verdict: Verdict, pending: Pending) -> dict[str, object]:
    """Return the payload of the event "retry_finished"."""
    return {
        "verdict": verdict.word,
        "run": pending.judged,
        "rung": verdict.rung,
        "reasons": verdict.reasons,
        "links": verdict.links,
        "masked": verdict.masked[:50],
        "change": pending.change,
    }


def edited(pending: Pending) -> dict[str, object]:
    """Return the payload of the event "edited"."""
    return {
        "file": pending.file,
        "sha256": pending.sha256,
        "before": pending.before,
        "change": pending.change,
    }
