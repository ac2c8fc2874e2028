"""What a rule is and does, from its header and from its body, and where the two disagree."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from triage_tui.errors import TriageError
from triage_tui.rulebook import rulefile
from triage_tui.rulebook.check import explain
from triage_tui.rulebook.check.body import Body, arguments_used, read_body
from triage_tui.rulebook.check.body_words import act_in_words, conditions_in_words
from triage_tui.rulebook.check.match_checks import check_match
from triage_tui.rulebook.kinds import kind_of
from triage_tui.rulebook.lua.constants import read_table
from triage_tui.rulebook.lua.syntax import NotUnderstood
from triage_tui.rulebook.rulefile import RuleFile
from triage_tui.rulebook.start_settings import read_start_rule
from triage_tui.rulehost.helpers import HELPERS
from triage_tui.text import safe_line

_MAX_DEEDS = 24
_BEFORE, _AFTER = "before the call", "after the call"


class Deed(msgspec.Struct, frozen=True):
    """One thing that the body does. `when` are the conditions, all of which must hold."""

    line: int
    does: str
    when: tuple[str, ...] = ()
    after: bool = False
    """It is done once the call was made."""
    always: bool = True
    """Without conditions it is done at every call; what a plugin does says by itself at which."""

    @property
    def told(self) -> str:
        """What it does and when, in one clause."""
        if self.when:
            return f"{self.does} when {', and '.join(self.when)}"
        return f"{self.does} at every such call" if self.always else self.does


class Explained(msgspec.Struct, frozen=True):
    """A rule in words. Texts of the header are as they are written there, and untrusted."""

    sentence: str
    """Of the header alone, as the app shows it."""
    syscall: str
    calls: str
    """The match of the header, "" without one; for a plugin then the syscalls about which it is asked."""
    hit_limit: int | None
    budget: str
    """What the header asks for, "" for the limits of who runs the guest."""
    on_failure: str
    intent: str = ""
    effect: str = ""
    risk: str = ""
    inverse: str = ""
    born: str = ""
    """The run and template it comes from."""
    asked: tuple[str, ...] = ()
    """When it is asked: "before the call", "after the call"; nothing for a setting of the start."""
    deeds: tuple[Deed, ...] = ()
    arguments: tuple[int, ...] = ()
    """Numbers of the arguments that the body looks at."""
    helpers: tuple[str, ...] = ()
    keeps: tuple[str, ...] = ()
    """Names whose values outlive a call."""
    disagree: tuple[str, ...] = ()
    """Where header and body are not about the same thing, one sentence each."""
    unknown: str = ""
    """Why the body could not be read, "" when it could."""


def explained(name: str, source: bytes, *, for_all: bool = False) -> Explained:
    """Explain a rule called `name` (its file name); `for_all` says that it is for every target.

    Raises:
        TriageError: the header is broken, or the name is not that of a rule.
    """
    rule = rulefile.parse(source)
    asked_about = rulefile.to_source(name, source)
    syscall = asked_about.syscall
    header = rule.header
    born = ", ".join(
        part
        for part in (
            f"run {safe_line(header.run, 60)}" if header.run else "",
            f"template {safe_line(header.template, 60)}" if header.template else "",
        )
        if part
    )
    basis = Explained(
        explain.sentence_of(name, source, for_all=for_all),
        syscall,
        "the start of the program" if kind_of(name) == "start" else header.match,
        header.hit_limit,
        rulefile.budget_text(header.budget),
        header.budget.on_failure or "as who runs the guest says",
        header.intent,
        header.effect,
        header.risk,
        header.inverse,
        born,
    )
    if syscall.startswith(rulefile.PLUGIN):
        calls = header.match or ", ".join(sorted(asked_about.syscalls))
        basis = replace(basis, calls=calls)
        return _of_plugin(basis, syscall.removeprefix(rulefile.PLUGIN), source)
    if kind_of(name) == "start":
        return _of_start(name, source, basis)
    try:
        body = read_body(source)
    except (NotUnderstood, ImportError) as error:
        return replace(basis, unknown=f"the body was not read: {error}")
    asked = tuple(
        told for entry, told in (("do_syscall", _BEFORE), ("after_syscall", _AFTER)) if entry in body.entries
    )
    helpers = {call.name for call, _ in body.calls if call.name in HELPERS}
    return replace(
        basis,
        asked=asked,
        deeds=_deeds(body),
        arguments=tuple(sorted(arguments_used(body))),
        helpers=tuple(sorted(helpers)),
        keeps=tuple(sorted(body.kept)),
        disagree=tuple(_disagreements(rule, body, syscall)),
    )


def _of_plugin(basis: Explained, plugin: str, source: bytes) -> Explained:
    from triage_tui.rulebook.plugins.reading import read_plugin

    found = read_plugin(plugin, source)
    deeds = [Deed(found.line(place), told, always=False) for place, told in found.configuration.deeds()]
    asked = (_BEFORE, _AFTER) if found.configuration.after() else (_BEFORE,)
    return replace(basis, asked=asked, deeds=tuple(deeds)[:_MAX_DEEDS])


def _of_start(name: str, source: bytes, basis: Explained) -> Explained:
    """Explain a setting of the start by its one value."""
    try:
        line = read_table(source).line
        says = read_start_rule(name, source).says
    except TriageError as error:
        return replace(basis, unknown=f"the body was not read: {error}")
    return replace(basis, deeds=(Deed(line, f"sets {says}", ("the program is started",)),))


def _deeds(body: Body) -> tuple[Deed, ...]:
    found = [
        Deed(act.line, act_in_words(act), tuple(conditions_in_words(act)), act.entry == "after_syscall")
        for act in body.acts
    ]
    return tuple(dict.fromkeys(found))[:_MAX_DEEDS]


def _disagreements(rule: RuleFile, body: Body, syscall: str) -> list[str]:
    header = rule.header
    told = [f"line {one.line}: {one.message}" for one in check_match(rule, body, syscall)]
    acts = bool(body.acts)
    if header.template.startswith("observe") and acts:
        told.append("the header is that of a rule that only watches, but the body acts")
    if rule.has_header and not acts and header.effect and not header.template.startswith("observe"):
        told.append("the header names an effect, but the body neither answers nor changes anything")
    writes = [
        act.line for act in body.changes if act.call is not None and act.call.name.startswith("c_write")
    ]
    if header.risk == "low" and (body.answers or writes):
        what = "answers calls that are then not made" if body.answers else "writes to the guest's memory"
        told.append(f"the header calls the risk low, though the body {what}")
    return told
