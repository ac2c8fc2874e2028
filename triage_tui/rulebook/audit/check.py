"""Whether the audit log is whole, and whether the rulebook and the runs agree with it.

What a killed program leaves behind is told apart from what somebody changed: the first is a note, the second
a problem.
"""

from __future__ import annotations

import contextlib
from datetime import datetime
from pathlib import Path

import msgspec

from triage_tui.errors import TriageError
from triage_tui.rulebook import generations, manifest
from triage_tui.rulebook.audit import log as audit_log
from triage_tui.rulebook.audit.log import Entry, Head, Line
from triage_tui.rulebook.changing import directory_of, numbers
from triage_tui.rulebook.manifest import verify
from triage_tui.runs.events import event_digests
from triage_tui.text import number_of, safe_line, safe_name

MAX_PROBLEMS = 100


class Checked(msgspec.Struct):
    """What a check found; texts are whole sentences without their full stop, safe to show."""

    lines: int = 0
    head: str = ""
    """Digest of the last line."""
    problems: list[str] = msgspec.field(default_factory=list)
    """What somebody changed."""
    notes: list[str] = msgspec.field(default_factory=list)
    """What is explained by a killed program, or by a log that is younger than the rules."""

    @property
    def whole(self) -> bool:
        """Whether nothing was changed."""
        return not self.problems


def check(rulebook: Path, runs: Path | None = None, noted_head: str = "") -> Checked:
    """Check the log of a rulebook, and the rulebook and the runs against it.

    `noted_head` is the digest of a last line (or its first 12 or more hex digits) that a person noted
    earlier: the log must still hold that line.
    """
    found = Checked()
    try:
        lines, rest = audit_log.read_log(rulebook)
    except TriageError as error:
        return Checked(problems=[str(error)])
    head: Head | None = None
    try:
        head = audit_log.read_head(rulebook)
    except TriageError as error:
        found.problems.append(str(error))
    found.lines = len(lines)
    found.head = lines[-1].digest if lines else ""
    _check_chain(lines, found)
    if not found.problems or head is not None:
        _check_end(lines, rest, head, found)
    if noted_head and not any(line.digest.startswith(noted_head) for line in lines):
        found.problems.append(
            f"no line has the digest {safe_line(noted_head, 64)} that was noted:"
            " the log was written anew or cut"
        )
    entries = [line.entry for line in lines if line.entry is not None]
    _check_generations(rulebook, entries, found)
    if not lines and head is None and found.notes:
        # No version of this program makes rules active without a line in the log.
        found.problems.append("there is no audit log, though rules were made active: it was removed")
    # Only here: the rollouts write into this log.
    from triage_tui.rulebook.audit.check_rollouts import check_rollouts

    found.problems += check_rollouts(rulebook, entries)
    if runs is not None:
        _check_runs(runs, entries, found)
    found.problems = list(dict.fromkeys(found.problems))
    del found.problems[MAX_PROBLEMS:]
    return found


def _check_chain(lines: list[Line], found: Checked) -> None:
    """Compare each line with the one before it."""
    before: Line | None = None
    number = 0
    for place, line in enumerate(lines, 1):
        entry = line.entry
        if entry is None:
            found.problems.append(f"line {place} of the audit log is damaged")
        elif entry.number > number + 1 and (before is None or before.entry is not None):
            count = number_of(entry.number - number - 1, "line was", "lines were")
            where = f"between line {number} and line {entry.number}" if number else "at the beginning"
            found.problems.append(f"{count} removed {where} of the audit log")
        elif entry.number <= number:
            found.problems.append(
                f"line {entry.number} stands after line {number}: lines were moved or repeated"
            )
        elif entry.prev != (before.digest if before is not None else ""):
            if before is None or before.entry is None:
                pass  # That is told already: it is damaged, or the first line has another before it.
            else:
                found.problems.append(
                    f"line {number} was changed after it was written:"
                    f" line {entry.number} follows another text"
                )
        if before is None and entry is not None and entry.number == 1 and entry.prev:
            found.problems.append("line 1 follows another line, which is not there")
        number = entry.number if entry is not None else number + 1
        before = line


def _check_end(lines: list[Line], rest: bytes, head: Head | None, found: Checked) -> None:
    """Compare the end of the log with what the head knows of it."""
    last = lines[-1] if lines else None
    number = last.entry.number if last is not None and last.entry is not None else len(lines)
    size = sum(len(line.raw) + 1 for line in lines)
    if head is None:
        if number > 1:
            found.problems.append(
                f"{audit_log.HEAD_FILE} is missing: whether lines were cut off at the end cannot be told"
            )
        elif number == 1:
            found.notes.append("a program was killed right after it wrote the first line")
    elif head.lines > number:
        count = number_of(head.lines - number, "line was", "lines were")
        found.problems.append(f"{count} cut off at the end of the audit log, which had {head.lines}")
    elif head.lines == number:
        if last is not None and last.digest != head.digest:
            found.problems.append(f"line {number}, the last one, was changed after it was written")
        elif size != head.size and not any("removed" in one for one in found.problems):
            found.problems.append("the audit log has another length than its head says")
    elif head.lines + 1 == number:
        found.notes.append(f"a program was killed right after it wrote line {number}")
    else:
        found.problems.append(
            f"{number - head.lines} lines at the end were not written by triage-tui:"
            f" its head knows {head.lines}"
        )
    if rest and (head is None or head.lines <= number):
        found.notes.append(
            f"a program was killed while it wrote: {number_of(len(rest), 'byte')} of an unfinished line stand"
            " at the end, which the next decision removes"
        )


def _check_generations(rulebook: Path, entries: list[Entry], found: Checked) -> None:
    """Compare the generations on disk, and which is active, with what the log tells."""
    withdrawn = {entry.change for entry in entries if entry.kind == "withdrawn" and entry.change}
    moves: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.kind in audit_log.MOVES and entry.change not in withdrawn:
            moves.setdefault(safe_name(entry.target), []).append(entry)
    try:
        targets = sorted(path for path in rulebook.iterdir() if path.is_dir() and path.name[0] != ".")
    except FileNotFoundError:
        targets = []
    for target in targets:
        told = moves.pop(target.name, [])
        name = safe_line(target.name, 80)
        digests = {entry.digest for entry in told}
        made = generations.history(target)
        for generation in made:
            found.problems += [f"target {name}: {problem}" for problem in verify(generation)]
            if generation.digest not in digests:
                what = f"generation {generation.number} of target {name}"
                _not_told(what, generation.created, entries, found)
        here = {generation.number for generation in made}
        for number in sorted({*numbers(target)} - here - {generations.interrupted(target)}):
            # It is there, though its manifest cannot be read.
            here.add(number)
            try:
                manifest.load(directory_of(target, number))
            except TriageError as error:
                found.problems.append(f"target {name}: {error}")
        for entry in told:
            if entry.after and entry.after not in here:
                found.problems.append(
                    f"generation {entry.after} of target {name}, of line {entry.number}, is not in the"
                    " rulebook"
                )
        _check_active(target, name, told, found)
    for gone, told in moves.items():
        if told[-1].after:
            found.problems.append(f"the rulebook of target {safe_line(gone, 80)} is not there any more")


def _check_active(target: Path, name: str, told: list[Entry], found: Checked) -> None:
    if not told:
        return
    try:
        active = generations.current(target)
    except TriageError as error:
        found.problems.append(f"target {name}: {error}")
        return
    number, last = (active.number if active else 0), told[-1]
    if number == (last.after or 0):
        return
    if generations.interrupted(target) is not None:
        found.notes.append(
            f"target {name}: a program was killed before line {last.number} took place;"
            " the next change of its rules says so in the log"
        )
    else:
        found.problems.append(
            f"target {name}: {_words(number)} active, but {_words(last.after or 0)} by line {last.number}"
        )


def _words(number: int) -> str:
    return f"generation {number} is" if number else "no generation is"


def _not_told(what: str, created: str, entries: list[Entry], found: Checked) -> None:
    """Report something that is missing in the log; what is older than the log cannot be in it."""
    older = not entries
    with contextlib.suppress(ValueError, TypeError):
        older = older or datetime.fromisoformat(created) <= datetime.fromisoformat(entries[0].wall)
    if older:
        found.notes.append(f"{what} is older than the audit log")
    else:
        found.problems.append(f"{what} is not in the audit log")


def _check_runs(runs: Path, entries: list[Entry], found: Checked) -> None:
    """Compare the event logs of the runs that are here with the lines that tell of them."""
    sources: dict[str, dict[str, int]] = {}
    for entry in entries:
        if entry.run and entry.source:
            sources.setdefault(entry.run, {})[entry.source] = entry.number
    for run, told in sources.items():
        directory = runs / safe_name(run)
        if not directory.is_dir():
            continue
        there = event_digests(directory)
        missing = [number for source, number in told.items() if source not in there]
        if missing:
            which = ", ".join(map(str, missing[:8])) + (" …" if len(missing) > 8 else "")
            found.problems.append(
                f"the event log of run {safe_line(run, 60)} does not have what the audit log tells of it"
                f" in line{'s' * (len(missing) > 1)} {which}: it was changed"
            )
