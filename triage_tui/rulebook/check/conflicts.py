"""Rules that are for the same calls: which of them is asked, and which never gets to see a call."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import msgspec

from triage_tui.errors import TriageError
from triage_tui.rulebook import rulefile
from triage_tui.rulebook.check.body import read_body
from triage_tui.rulebook.check.explain import parse_match
from triage_tui.rulebook.check.findings import Finding
from triage_tui.rulebook.kinds import kind_of
from triage_tui.rulebook.lua.syntax import NotUnderstood
from triage_tui.rulebook.plugins.configuration import Claim
from triage_tui.rulebook.plugins.netif import Netif
from triage_tui.rulebook.plugins.reading import read_plugin
from triage_tui.rulebook.start_settings import StartRule, disagreement, read_start_rule
from triage_tui.text import safe_line


class _Rule(msgspec.Struct, frozen=True):
    """What has to be known of a rule to tell whether it gets in the way of another."""

    name: str
    id: str
    syscall: str
    syscalls: frozenset[str]
    claims: list[Claim]
    """What it is for."""
    answers: bool
    changes: bool
    interfaces: frozenset[str] = frozenset()
    """Network interfaces for which it makes up what the program is told."""

    @property
    def what(self) -> str:
        """The rule, and what it is for, in words."""
        texts = [" ".join(f"{name}={value}" for name, value in one.fields.items()) for one in self.claims]
        about = ", ".join(list(filter(None, dict.fromkeys(texts)))[:3])
        return f"{self.id} ({safe_line(about, 100)})" if about else f"{self.id} (every {self.syscall})"


def conflicts(name: str, source: bytes, active: Mapping[str, bytes]) -> Iterator[Finding]:
    """Yield how a rule and the active rules of its target get in each other's way.

    `name` is the rule's file name, also below directories; `active` maps paths in the generation
    ("syscall/openat@x.lua") to texts. The rule whose place it takes is none of them. Rules for one syscall
    are asked in the order of their file names, and the first that answers wins.
    """
    if kind_of(name) == "start":
        yield from _with_start(name, source, active)
        return
    rule = _read(name, source)
    if rule is None:
        return
    yield from _real_interfaces(rule, active)
    file_name = name.rpartition("/")[2]
    place = _asked_at(name, f"{file_name.partition('@')[0].removesuffix('.lua')}@{rule.id}.lua")
    for path, text in sorted(active.items()):
        at = _asked_at(path, path.rpartition("/")[2])
        if kind_of(path) == "start" or at in (place, _asked_at(name, file_name)):
            continue
        other = _read(path, text)
        if other is None:
            continue
        if other.id == rule.id:
            told = f"the active rule {safe_line(path, 100)} has the same id: their hits are counted as one"
            yield Finding(1, "warning", "same-id", told)
        if _overlap(rule, other):
            clash = _clash(rule, other, other_first=at < place)
            if clash is not None:
                yield Finding(1, "warning", "conflict", clash)


def _asked_at(name: str, file: str) -> tuple[bool, str]:
    """Return what rules are asked in the order of: those for one syscall, by file name, then plugins."""
    return kind_of(name) == "plugin", file


def _with_start(name: str, source: bytes, active: Mapping[str, bytes]) -> Iterator[Finding]:
    """Yield the active rules that set the same of the start to something else: no start could have both.

    Also those that answer for an interface which the start makes: the program never sees the real one.
    """
    try:
        rule = read_start_rule(name, source)
    except TriageError:
        return  # The lint tells what is wrong with it.
    place = f"{rule.setting}@{rule.rule}.lua"
    for path, text in sorted(active.items()):
        if kind_of(path) != "start":
            other_rule = _read(path, text) if rule.setting == "interfaces" else None
            if other_rule is not None and (names := _made(rule) & other_rule.interfaces):
                told = f"the active rule {other_rule.id} answers for {_listed(names)}: the real one is hidden"
                yield Finding(1, "warning", "conflict", told)
            continue
        if path.rpartition("/")[2] in (place, name.rpartition("/")[2]):
            continue
        with contextlib.suppress(TriageError):
            other = read_start_rule(path, text)
            if (what := disagreement(rule, other)) is not None:
                told = (
                    f"this and the active rule {other.rule} {what}: roll that one back, or give this its id"
                )
                yield Finding(1, "error", "conflict", told)


def _real_interfaces(rule: _Rule, active: Mapping[str, bytes]) -> Iterator[Finding]:
    """Yield the active rules whose interfaces exist, and are hidden by what `rule` answers."""
    for path, text in sorted(active.items()):
        if not rule.interfaces or kind_of(path) != "start":
            continue
        with contextlib.suppress(TriageError):
            start = read_start_rule(path, text)
            if names := _made(start) & rule.interfaces:
                told = f"the active rule {start.rule} makes {_listed(names)}: the real one is hidden by this"
                yield Finding(1, "warning", "conflict", told)


def _made(start: StartRule) -> frozenset[str]:
    """Return the names of the network interfaces that a rule for the start makes."""
    if start.setting != "interfaces" or not isinstance(start.value, tuple):
        return frozenset()
    return frozenset(start.value)


def _listed(interfaces: frozenset[str]) -> str:
    return safe_line(f"network interface {', '.join(sorted(interfaces))}", 120)


def _read(name: str, source: bytes) -> _Rule | None:
    """Return what a rule is, None where it is broken, which the lint tells."""
    try:
        described = rulefile.to_source(name, source)
        header = rulefile.parse(source).header
    except TriageError:
        return None
    if described.syscall.startswith(rulefile.PLUGIN):
        plugin = read_plugin(described.syscall.removeprefix(rulefile.PLUGIN), source).configuration
        told = plugin.interfaces if isinstance(plugin, Netif) else []
        names = frozenset(one.name for one in told if not one.real)
        calls = described.syscalls
        return _Rule(name, header.id, described.syscall, calls, plugin.claims(), True, True, names)
    try:
        body = read_body(source)
    except (NotUnderstood, ImportError):
        answers = changes = True
    else:
        answers, changes = bool(body.answers), bool(body.changes)
    match = parse_match(header.match)
    named = match.fields.get("interface") if match is not None and (answers or changes) else None
    names = frozenset([named] if named else [])
    fields = match.fields if match is not None and match.syscall in described.syscalls else {}
    claims = [Claim(described.syscalls, fields)]
    return _Rule(name, header.id, described.syscall, described.syscalls, claims, answers, changes, names)


def _overlap(one: _Rule, other: _Rule) -> bool:
    """Whether there may be calls that both are for, as far as their headers and tables say."""
    if not one.syscalls & other.syscalls:
        return False
    return any(_may_meet(this, that) for this in one.claims for that in other.claims)


def _may_meet(one: Claim, other: Claim) -> bool:
    if one.calls.isdisjoint(other.calls):
        return False
    return all(_may_be_same(name, value, other.fields.get(name)) for name, value in one.fields.items())


def _may_be_same(name: str, one: str, other: str | None) -> bool:
    if other is None or name != "request":
        return other in (None, one)
    return not set(one.split(" or ")).isdisjoint(other.split(" or "))


def _clash(rule: _Rule, other: _Rule, *, other_first: bool) -> str | None:
    if not (rule.answers or rule.changes) or not (other.answers or other.changes):
        return None
    if other_first and other.answers:
        return (
            f"the active rule {other.what} is for the same calls and asked first: what it answers is not seen"
        )
    if not other_first and rule.answers:
        return f"the active rule {other.what} is for the same calls, and does not see what this one answers"
    return f"the active rule {other.what} acts on the same calls too"
