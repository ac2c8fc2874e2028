"""Rules that are for the same calls: which of them is asked, and which never gets to see a call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from triage_tui.errors import TriageError
from triage_tui.rulebook import rulefile
from triage_tui.rulebook.check.body import read_body
from triage_tui.rulebook.check.explain import Match, parse_match
from triage_tui.rulebook.check.findings import Finding
from triage_tui.rulebook.kinds import kind_of
from triage_tui.rulebook.lua.syntax import NotUnderstood
from triage_tui.text import safe_line


@dataclass(frozen=True, slots=True)
class _Rule:
    """What has to be known of a rule to tell whether it gets in the way of another."""

    name: str
    id: str
    syscall: str
    match: Match | None
    answers: bool
    changes: bool


def conflicts(name: str, source: bytes, active: Mapping[str, bytes]) -> Iterator[Finding]:
    """Yield how a rule and the active rules of its target get in each other's way.

    `name` is the rule's file name, also below directories; `active` maps paths in the generation
    ("syscall/openat@x.lua") to texts. The rule whose place it takes is none of them. Rules for one syscall
    are asked in the order of their file names, and the first that answers wins.
    """
    if kind_of(name) != "syscall":
        return
    rule = _read(name, source)
    if rule is None:
        return
    place = f"{rule.syscall}@{rule.id}.lua"
    for path, text in sorted(active.items()):
        file = path.rpartition("/")[2]
        if kind_of(path) != "syscall" or file in (place, name.rpartition("/")[2]):
            continue
        other = _read(path, text)
        if other is None:
            continue
        if other.id == rule.id:
            told = f"the active rule {safe_line(path, 100)} has the same id: their hits are counted as one"
            yield Finding(1, "warning", "same-id", told)
        if other.syscall == rule.syscall and _overlap(rule.match, other.match):
            clash = _clash(rule, other, other_first=file < place)
            if clash is not None:
                yield Finding(1, "warning", "conflict", clash)


def _read(name: str, source: bytes) -> _Rule | None:
    """Return what a rule is, None where it is broken, which the lint tells."""
    try:
        described = rulefile.to_source(name, source)
        header = rulefile.parse(source).header
    except TriageError:
        return None
    try:
        body = read_body(source)
    except (NotUnderstood, ImportError):
        answers = changes = True
    else:
        answers, changes = bool(body.answers), bool(body.changes)
    return _Rule(name, header.id, described.syscall, parse_match(header.match), answers, changes)


def _overlap(one: Match | None, other: Match | None) -> bool:
    """Whether there may be calls that both are for, as far as their headers say."""
    if one is None or other is None:
        return True
    if one.syscall != other.syscall:
        return False
    return all(other.fields.get(name, value) == value for name, value in one.fields.items())


def _clash(rule: _Rule, other: _Rule, *, other_first: bool) -> str | None:
    match = other.match
    fields = " ".join(f"{name}={value}" for name, value in match.fields.items()) if match else ""
    what = f"{other.id} ({safe_line(fields, 100)})" if fields else f"{other.id} (every {other.syscall})"
    if not (rule.answers or rule.changes) or not (other.answers or other.changes):
        return None
    if other_first and other.answers:
        return f"the active rule {what} is for the same calls and asked first: what it answers is not seen"
    if not other_first and rule.answers:
        return f"the active rule {what} is for the same calls, and does not see what this one answers"
    return f"the active rule {what} acts on the same calls too"
