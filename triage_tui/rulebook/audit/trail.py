"""The audit trail of a target: who decided what, when, on which files, and which rules were active after.

It is put together from the event logs of the target's runs and the manifests of its rule generations. Both
may come from elsewhere: all text in it is raw, and must pass `triage_tui.text` before it is shown.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from triage_tui.errors import TriageError
from triage_tui.rulebook import generations, patches
from triage_tui.rulebook.manifest import Generation, verify
from triage_tui.runs.events import Event

By = Literal["person", "program", "policy"]

MAX_ENTRIES = 2000
"""Most entries of one trail: the newest."""
MAX_GENERATIONS = 256
MAX_FILES = 64
"""Files that are looked at of one decision."""

_PROGRAM = frozenset(
    [
        "captured", "diagnosed", "proposed", "resumed", "retry_started", "retry_finished", "ended",
        "holder_lost", "needs_person",
    ]
)  # fmt: skip
"""Kinds of events that the program writes by itself; its log names the account it ran as."""
_FROM_RUN = re.compile(r"approved from run (\S{1,100})")


class AuditFile(msgspec.Struct, frozen=True):
    """One file that a decision was about."""

    name: str
    sha256: str = ""
    """Of the bytes that were decided on, where the log says so."""
    changed: bool = False
    """The file of the run is another one now."""
    hunks: int = 0
    """How many hunks of it were approved; 0: all of it. Then the digest is that of the text they make."""


class AuditEntry(msgspec.Struct, frozen=True):
    """One thing that was decided or done."""

    kind: str
    """Kind of the event, see `runs.events`."""
    wall: str
    """Local time with zone, ISO 8601."""
    actor: str
    by: By
    run_id: str = ""
    """The run that it was decided on; "" where only the generation is known."""
    says: str = ""
    """The reason, or what came of it."""
    files: tuple[AuditFile, ...] = ()
    before: int | None = None
    after: int | None = None
    """Generation that was active before and after it, 0: none; None where it changed nothing."""
    problem: str = ""
    """What is wrong with the generation that it made."""

    @property
    def stale(self) -> bool:
        """Whether this is an approval of files that are others now."""
        return self.kind == "approved" and any(file.changed for file in self.files)

    @property
    def decided(self) -> bool:
        """Whether somebody decided this; otherwise the program tells what happened."""
        return self.kind not in _PROGRAM


class Audit(msgspec.Struct, frozen=True):
    """The trail, oldest first, and the generations that it speaks of."""

    entries: tuple[AuditEntry, ...] = ()
    generations: Mapping[int, Generation] = msgspec.field(default_factory=dict)
    problems: Mapping[int, tuple[str, ...]] = msgspec.field(default_factory=dict)
    """Number of a generation to what is wrong with it."""
    left_out: int = 0
    """Older entries that are not in it."""


def audit(runs: Iterable[tuple[Path, Sequence[Event]]], target_dir: Path | None, here: str = "") -> Audit:
    """Return the trail of the runs of one target, each with its events, and of its rulebook directory.

    Of the run `here` everything is told, of the others only what was decided. Files are hashed, so call it
    in a worker thread.
    """
    made = generations.history(target_dir)[-MAX_GENERATIONS:] if target_dir is not None else []
    known = {generation.number: generation for generation in made}
    problems = {generation.number: tuple(verify(generation)) for generation in made}
    entries: list[tuple[str, int, AuditEntry]] = []
    noted: set[int] = set()
    for run_dir, events in runs:
        for event in events:
            entry = _entry(run_dir, event, known, problems)
            if entry.kind == "activated" and entry.after is not None:
                noted.add(entry.after)
            if entry.decided or run_dir.name == here:
                entries.append((entry.wall, event.event_id, entry))
    for generation in made:
        if generation.number not in noted:
            entries.append((generation.created, 0, _of_generation(generation, problems)))
    entries.sort(key=lambda item: item[:2])
    found = tuple(entry for _, _, entry in entries)
    cut = max(0, len(found) - MAX_ENTRIES)
    return Audit(found[cut:], known, {number: told for number, told in problems.items() if told}, cut)


def _entry(
    run_dir: Path, event: Event, known: Mapping[int, Generation], problems: Mapping[int, tuple[str, ...]]
) -> AuditEntry:
    payload = event.payload
    before = after = None
    files: tuple[AuditFile, ...] = ()
    if event.kind == "activated":
        before, after = _number(payload, "parent") or 0, _number(payload, "generation")
        made = known.get(after) if after is not None else None
        digests = made.files if made is not None else {}
        files = tuple(AuditFile(name, digests.get(name, "")) for name in _names(payload.get("files")))
    elif event.kind == "rolled_back":
        before, after = _number(payload, "from"), _number(payload, "to")
    elif event.kind == "approved":
        files = _approved(run_dir, payload.get("files"), payload.get("hunks"))
    elif event.kind == "edited":
        files = tuple(AuditFile(name, _text(payload.get("sha256"))) for name in _names(payload.get("file")))
    told = problems.get(after, ()) if after is not None and event.kind == "activated" else ()
    return AuditEntry(
        kind=event.kind,
        wall=event.wall,
        actor=event.actor,
        by=_by(event),
        run_id=run_dir.name,
        says=_says(event.kind, payload),
        files=files,
        before=before,
        after=after,
        problem=told[0] if told else "",
    )


def _of_generation(generation: Generation, problems: Mapping[int, tuple[str, ...]]) -> AuditEntry:
    """Return the entry of a generation whose run is not among those that are known."""
    told = problems.get(generation.number, ())
    origin = _FROM_RUN.match(generation.reason)
    return AuditEntry(
        kind="activated",
        wall=generation.created,
        actor=generation.actor,
        by=_who(generation.actor),
        run_id=origin[1] if origin else "",
        says=generation.reason,
        files=tuple(AuditFile(name, digest) for name, digest in list(generation.files.items())[:MAX_FILES]),
        before=generation.parent or 0,
        after=generation.number,
        problem=told[0] if told else "",
    )


def _who(actor: str) -> By:
    return "policy" if actor.startswith("policy:") else "person"


def _by(event: Event) -> By:
    return "program" if event.kind in _PROGRAM else _who(event.actor)


def _approved(run_dir: Path, files: Any, hunks: Any) -> tuple[AuditFile, ...]:
    if not isinstance(files, dict):
        return tuple(AuditFile(name) for name in _names(files))
    found = []
    for name, digest in list(files.items())[:MAX_FILES]:
        digest = _text(digest)
        chosen = hunks.get(name) if isinstance(hunks, dict) else None
        if isinstance(chosen, list) and chosen:
            # What was approved is not the file, so only that it is gone can be told.
            found.append(AuditFile(str(name), digest, _digest(run_dir, str(name)) is None, len(chosen)))
            continue
        found.append(AuditFile(str(name), digest, digest != "" and _digest(run_dir, str(name)) != digest))
    return tuple(found)


def _digest(run_dir: Path, name: str) -> str | None:
    """Return the SHA-256 of a rule file of a run as it is now, None when it is gone."""
    try:
        return hashlib.sha256(patches.read_rule(run_dir, name)).hexdigest()
    except TriageError:
        return None


def _says(kind: str, payload: Mapping[str, Any]) -> str:
    match kind:
        case "captured" | "rejected":
            return _text(payload.get("reason"))
        case "diagnosed":
            return _text(payload.get("cause"))
        case "proposed" | "approved":
            return ", ".join(_names(payload.get("proposals")))
        case "counterfactual":
            return ": ".join(filter(None, [_text(payload.get("verdict")), _text(payload.get("says"))]))
        case "minimised" | "bisected" | "each_rule":
            return _text(payload.get("says"))
        case "dropped":
            told = (", ".join(_names(payload.get("what"))), _text(payload.get("reason")))
            return ": ".join(text for text in told if text)
        case "decision":
            return _text(payload.get("action"))
        case "retry_finished":
            return _text(payload.get("verdict"))
        case "ended" | "needs_person" | "resumed" | "holder_lost":
            return _text(payload.get("why")) or _text(payload.get("verdict"))
        case _:
            return _text(payload.get("reason"))


def _text(value: Any) -> str:
    return value[:1000] if isinstance(value, str) else ""


def _names(value: Any) -> list[str]:
    """Return the names that an event holds as a text, a list or the keys of an object."""
    if isinstance(value, str):
        return [value[:1000]]
    found = list(value)[:MAX_FILES] if isinstance(value, list | dict) else []
    return [name[:1000] for name in found if isinstance(name, str)]


def _number(payload: Mapping[str, Any], name: str) -> int | None:
    value = payload.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
