"""What a rule costs: measured in the rule host, per call, next to a rule that does nothing at all.

The times hold for this machine at this moment, so the ratio is what is worth comparing. What holding a call
at the kernel costs on top is the same for every rule (docs/hooks.md, "What it costs").
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from triage_tui.rulebook import rulefile
from triage_tui.rulebook.check.replay import replay
from triage_tui.rulebook.check.replay_guest import RecordedGuest
from triage_tui.rulehost.client import RuleHost
from triage_tui.rulehost.protocol import GuestCall
from triage_tui.rulehost.sources import Budget, Limits, RuleSource
from triage_tui.runs.model import Syscall

ROUNDS = 200
"""How often a call is measured, taking turns with the bare one."""
MAX_MEASURED = 40
"""Different calls of a run that are measured."""
MAX_SECONDS = 10.0
_WARM_UP = 20
_UNBOUNDED = 1_000_000_000
_BARE = b"function do_syscall() return 0, 0 end"


class Cost(msgspec.Struct, frozen=True):
    """Medians in microseconds of one call, and as ratio to the bare one; None where there was no such call.

    `match_us` is at calls at which the rule acts, `pass_us` at the others. `calls` and `acts` are those of
    the run; `total_us` is what the rule would have cost in all of it, up to
    its hit limit.
    """

    run_id: str
    syscall: str
    calls: int
    acts: int
    bare_us: float
    pass_us: float | None
    match_us: float | None
    total_us: float
    span_ms: float
    """How long the run took from its first call to its last; 0 where it is not recorded."""
    failed: str = ""
    """Why nothing was measured."""

    @property
    def pass_ratio(self) -> float | None:
        """How much a call costs at which the rule does nothing, as ratio to the bare one."""
        return self.pass_us / self.bare_us if self.pass_us is not None and self.bare_us else None

    @property
    def match_ratio(self) -> float | None:
        """How much a call costs at which the rule acts, as ratio to the bare one."""
        return self.match_us / self.bare_us if self.match_us is not None and self.bare_us else None

    @property
    def share(self) -> float | None:
        """What part of the run's time the rule would have added, None where that time is not recorded."""
        return self.total_us / 1000 / self.span_ms if self.span_ms else None


def measure(run_id: str, arch: str, calls: Sequence[Syscall], name: str, source: bytes) -> Cost:
    """Measure a rule called `name` (its file name) at the calls of a run.

    Raises:
        TriageError: it is no rule, or the rule host cannot be started.
    """
    rule = rulefile.to_source(name, source)
    own = [call for call in calls if call.name.lower() in rule.syscalls]
    times = [call.ts_mono_ns for call in calls if call.ts_mono_ns]
    span_ms = (max(times) - min(times)) / 1e6 if times else 0.0
    if not own:
        return Cost(run_id, rule.syscall, 0, 0, 0.0, None, None, 0.0, span_ms, "the run has no such call")
    found = replay(run_id, arch, own, name, source, unlimited=True)
    acting = {one.seq for one in found.acted}
    limits = Limits(fixed_clock=True, calls_per_second=_UNBOUNDED)
    free = replace(rule, hit_limit=None, budget=Budget())
    bare = RuleSource("bare", rule.syscall, _BARE, hooks=rule.hooks)
    guest, nobody = RecordedGuest(arch), RecordedGuest(arch)
    with RuleHost([free], guest, limits) as host, RuleHost([bare], nobody, limits) as empty:
        at = _measured(host, empty, guest, _chosen(own, acting))
        (hit,) = host.hits()
    if hit.state == "disabled" or not at.bare:
        return Cost(
            run_id, rule.syscall, len(own), 0, 0.0, None, None, 0.0, span_ms, hit.disabled or "it failed"
        )
    passing, matching = _median(at.passing), _median(at.matching)
    acts = len(acting)
    total = (len(own) - acts) * (passing or 0.0) + acts * (matching or 0.0)
    if rule.hit_limit is not None and acts > rule.hit_limit:
        # Once its hits are used up it is not asked any more.
        total *= rule.hit_limit / acts
    return Cost(
        run_id, rule.syscall, len(own), acts, statistics.median(at.bare), passing, matching, total, span_ms
    )


class _Times(msgspec.Struct):
    bare: list[float]
    passing: list[float]
    matching: list[float]


def _chosen(own: Sequence[Syscall], acting: set[int]) -> list[Syscall]:
    """Return calls at which the rule acts and others, half of each where there are enough."""
    kinds = [call for call in own if call.seq in acting], [call for call in own if call.seq not in acting]
    most = MAX_MEASURED // 2
    return [call for calls in kinds for call in calls[:: max(1, len(calls) // most)][:most]]


def _measured(host: RuleHost, empty: RuleHost, guest: RecordedGuest, chosen: Sequence[Syscall]) -> _Times:
    found = _Times([], [], [])
    rounds = max(5, ROUNDS // len(chosen))
    latest = time.monotonic() + MAX_SECONDS
    for number, call in enumerate(chosen):
        given = guest.begin(call)
        asked = GuestCall(call.name.lower(), call.num, tuple(given.arguments))
        acts = False
        for _ in range(2 if number else _WARM_UP):
            _, acts = _ask(host, guest, call, asked)
            _ask(empty, None, call, asked)
        times = []
        for _ in range(rounds):
            times.append(_ask(host, guest, call, asked)[0])
            found.bare.append(_ask(empty, None, call, asked)[0])
        (found.matching if acts else found.passing).extend(times)
        if time.monotonic() > latest:
            break
    return found


def _ask(host: RuleHost, guest: RecordedGuest | None, call: Syscall, asked: GuestCall) -> tuple[float, bool]:
    """Ask about one call; returns the microseconds it took, and whether the rule acted."""
    if guest is not None:
        guest.begin(call)
    began = time.perf_counter_ns()
    answer = host.call(asked)
    if answer.after and call.ret is not None and not answer.intercept:
        answer = host.returned(asked, call.ret)
    return (time.perf_counter_ns() - began) / 1000, answer.rule is not None


def _median(values: list[float]) -> float | None:
    return statistics.median(values) if values else None
