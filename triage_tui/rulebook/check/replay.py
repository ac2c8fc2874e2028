"""Run a rule in the rule host over recorded calls: what it would have answered, changed and broken.

The rule gets the recorded arguments and the memory that is recorded of them. What it asks for beyond that is
answered with an error and told: at such a call it is not known for sure what the rule would do.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable

import msgspec
from msgspec.structs import replace

from triage_tui.rulebook import rulefile
from triage_tui.rulebook.check import call_shapes
from triage_tui.rulebook.check.body import arguments_used, read_body
from triage_tui.rulebook.check.explain import parse_match
from triage_tui.rulebook.check.findings import Finding, in_order
from triage_tui.rulebook.check.recorded_arguments import Given
from triage_tui.rulebook.check.replay_guest import RecordedGuest, Write
from triage_tui.rulebook.lua.syntax import NotUnderstood
from triage_tui.rulehost.client import RuleHost
from triage_tui.rulehost.protocol import GuestCall
from triage_tui.rulehost.sources import Limits
from triage_tui.runs import errnos, guest_abi
from triage_tui.runs.model import RuleHit, Syscall

MAX_CALLS = 2000
"""Calls of one run at which a rule is asked."""
MAX_SECONDS = 15.0
"""How long a rule is run over the calls of one run."""
_UNBOUNDED = 1_000_000_000
_LINE = re.compile(r"[^\s:]+:(\d+): ")
_FEW = 5
"""Calls from which on a rule that acts at each of them is called broad."""


class Outcome(msgspec.Struct):
    """What a rule made of one call. Results and errors are in guest terms, texts are untrusted."""

    seq: int
    about: str
    """What the call was about: its path, peer, request or interface."""
    was: int | None
    """The recorded result."""
    was_errno: str | None
    acts: bool = False
    """It answered the call, or changed the guest."""
    answers: bool = False
    ret: int | None = None
    """What the guest would have got, of an answer."""
    errno: str | None = None
    did: list[str] = msgspec.field(default_factory=list)
    log: list[str] = msgspec.field(default_factory=list)
    problems: list[str] = msgspec.field(default_factory=list)
    """What is wrong with it: a write outside of an argument, a result out of range, a failure."""
    unclear: str = ""
    """Why it is not known for sure what the rule would do, "" where it is."""

    @property
    def differs(self) -> bool:
        """Whether the guest would have gone on otherwise, or the rule failed."""
        return self.acts or bool(self.problems)


class Replay(msgspec.Struct):
    """What a rule made of the calls of one run. `calls` counts those of its syscall."""

    run_id: str
    arch: str
    syscall: str
    calls: int
    outcomes: list[Outcome]
    """Of the calls at which it was asked; those after its hit limit are not among them."""
    hit: RuleHit | None = None
    failure: str = ""
    """Why it was switched off, if it was not because it was used up."""
    findings: list[Finding] = msgspec.field(default_factory=list)

    @property
    def acted(self) -> list[Outcome]:
        """The calls at which it acted."""
        return [one for one in self.outcomes if one.acts]

    @property
    def answers(self) -> dict[int, int | str]:
        """The number of each call that it answered, and what the guest would get: a result, or an error."""
        return {one.seq: one.errno or one.ret or 0 for one in self.acted if one.answers}

    @property
    def unclear(self) -> int:
        """At how many calls it is not known what it would do; those without recorded arguments too."""
        return sum(bool(one.unclear) and not one.acts for one in self.outcomes)

    @property
    def broken(self) -> bool:
        """Whether the rule failed, or did what it must not, at a call."""
        return bool(self.failure) or any(one.problems for one in self.outcomes)


def replay(
    run_id: str,
    arch: str,
    calls: Iterable[Syscall],
    name: str,
    source: bytes,
    *,
    limits: Limits | None = None,
    unlimited: bool = False,
) -> Replay:
    """Run the rule called `name` (its file name) over the calls of its syscall.

    It is the rule as it would be active: with its budgets, and with its hit limit but for `unlimited`. How
    many calls there were in a second is not looked at.

    Raises:
        TriageError: it is no rule, or the rule host cannot be started.
    """
    rule = rulefile.to_source(name, source)
    rule = replace(
        rule,
        budget=replace(rule.budget, calls_per_second=None),
        hit_limit=None if unlimited else rule.hit_limit,
    )
    used = replace(limits or Limits(), fixed_clock=True, calls_per_second=_UNBOUNDED)
    own = [call for call in calls if call.name.lower() in rule.syscalls]
    guest = RecordedGuest(arch)
    found = Replay(run_id, arch, rule.syscall, len(own), [])
    with RuleHost([rule], guest, used) as host:
        # What the compiler refused is not read: a long text that is no Lua takes seconds to be given up.
        used_arguments = _used(rule.source) if own and host.hooks() else set()
        latest = time.monotonic() + MAX_SECONDS
        for call in own[:MAX_CALLS]:
            if not host.hooks():
                break
            if time.monotonic() > latest:
                told = f"so slow that only {len(found.outcomes)} of {len(own)} recorded calls were tried"
                found.findings.append(Finding(1, "warning", "slow", told))
                break
            found.outcomes.append(_at(host, guest, call, used_arguments))
        (found.hit,) = host.hits()
    if found.hit.state == "disabled" and not (found.outcomes and found.outcomes[-1].unclear):
        found.failure = found.hit.disabled or "it was switched off"
    found.findings += _findings(found, own, source)
    return found


def _used(source: bytes) -> set[int]:
    """Return the numbers of the arguments that the rule looks at; all of them where that is not known."""
    try:
        return arguments_used(read_body(source))
    except (NotUnderstood, ImportError):
        return set(range(1, 9))


def _at(host: RuleHost, guest: RecordedGuest, call: Syscall, used: set[int]) -> Outcome:
    about = call.path or call.peer or " ".join(filter(None, (call.request, call.interface)))
    outcome = Outcome(call.seq, about, call.ret, call.errno)
    given = guest.begin(call)
    name = call.name.lower()
    guest_call = GuestCall(name, call.num, tuple(given.arguments))
    answer = host.call(guest_call)
    outcome.log, error = answer.log, answer.error
    acted, answered, ret = answer.rule is not None, answer.intercept, answer.ret
    if answer.after and not answered and call.ret is not None:
        answer = host.returned(guest_call, call.ret)
        outcome.log, error = [*outcome.log, *answer.log], error or answer.error
        acted, answered, ret = acted or answer.rule is not None, answer.intercept, answer.ret
    outcome.acts, outcome.answers, outcome.did = acted, answered, guest.did
    if answered:
        outcome.ret = ret
        outcome.errno = errnos.names(guest_abi.errno_kind(guest.arch)).get(-ret) if ret < 0 else None
        problem = call_shapes.result_problem(name, ret, guest.arch, [] if given.unknown else given.arguments)
        if problem is not None and error is None:
            outcome.problems.append(problem)
    outcome.problems += [_outside(write) for write in guest.writes if write.is_outside]
    outcome.unclear = _unclear(call, guest, given, used)
    if error is not None and outcome.unclear:
        # It may be for want of what is not recorded.
        outcome.unclear = f"{outcome.unclear}, and it failed: {error}"
    elif error is not None:
        outcome.problems.insert(0, error)
    return outcome


def _unclear(call: Syscall, guest: RecordedGuest, given: Given, used: set[int]) -> str:
    """Return why it is not known for sure what a rule would do at a call, "" where it is."""
    if not call.args and not call.arguments and used:
        return "its arguments are not recorded"
    if guest.blind:
        return "it wanted memory or registers that are not recorded"
    unknown = given.unknown & used
    return f"argument {min(unknown)} is not recorded as a number" if unknown else ""


def _outside(write: Write) -> str:
    if write.argument:
        return (
            f"writes {write.size} bytes where argument {write.argument} has room for {write.room}:"
            " the rest is other memory"
        )
    return f"writes {write.size} bytes to {write.address:#x}, which is no memory of an argument"


def _only_lines(source: bytes) -> tuple[int, int]:
    """Return the line of the only write and that of the only answer in a text, 1 where there are several."""
    try:
        body = read_body(source)
    except (NotUnderstood, ImportError):
        return 1, 1
    writes = {act.line for act in body.changes if act.call and act.call.name.startswith("c_write")}
    answers = {act.line for act in body.answers}
    return min(writes) if len(writes) == 1 else 1, min(answers) if len(answers) == 1 else 1


def _findings(found: Replay, own: list[Syscall], source: bytes) -> list[Finding]:
    """What the replay says about the rule, in the form of the lint."""
    findings: dict[str, Finding] = {}
    broken = [one for one in found.outcomes if one.problems]
    writes_at, answers_at = _only_lines(source) if broken else (1, 1)
    for one in broken:
        for problem in one.problems:
            named = _LINE.search(problem)
            line = int(named[1]) if named else writes_at if problem.startswith("writes ") else answers_at
            code = "fails" if problem.startswith("Rule ") else "bad-at-call"
            told = f"at recorded call {one.seq}: {problem}"
            findings.setdefault(problem, Finding(line, "error", code, told))
    if found.failure and not broken:
        findings["off"] = Finding(1, "error", "fails", f"it is switched off: {found.failure}")
    match = parse_match(rulefile.parse(source).header.match)
    fields = match is not None and match.fields and match.syscall == found.syscall
    acted = {one.seq for one in found.acted}
    if match is not None and fields:
        held = {call.seq: match.holds(call) for call in own}
        others = sorted(seq for seq in acted if held.get(seq) is False)
        if others:
            told = f"acts at {len(others)} calls that the header's match is not for (first: {others[0]})"
            findings["other"] = Finding(1, "warning", "match-wider", told)
        wanted = [seq for seq, holds in held.items() if holds]
        asked = {one.seq for one in found.outcomes if not one.unclear}
        logs = any(one.log for one in found.outcomes)
        if wanted and not acted and not logs and set(wanted) <= asked:
            told = f"does nothing at the {len(wanted)} recorded calls that the header's match is for"
            findings["none"] = Finding(1, "warning", "match-unmet", told)
    elif len(acted) == found.calls >= _FEW:
        told = f"acts at all {found.calls} recorded {found.syscall} calls"
        findings["broad"] = Finding(1, "warning", "broad", told)
    return in_order(list(findings.values()))
