"""One rule's budget, and the account of what it did."""

from __future__ import annotations

import hashlib

import msgspec

from triage_tui.rulehost.sources import Limits, RuleSource
from triage_tui.runs.model import RuleHit
from triage_tui.runs.model import RuleState as StateName


class RuleState(msgspec.Struct):
    """One rule and what happened to it. Times are seconds of the monotonic clock."""

    source: RuleSource
    limits: Limits
    hit_limit: int | None
    asks_before: bool = True
    """It defines do_syscall."""
    asks_after: bool = False
    """It defines after_syscall."""
    hits: int = 0
    matches: int = 0
    calls: int = 0
    errors: int = 0
    skipped: int = 0
    time_total: float = 0.0
    time_max: float = 0.0
    disabled: str | None = None
    failed: bool = False
    """Switched off because it failed, not because it was used up."""
    asked_restart: str | None = None
    _allowance: float = 0.0
    """How many calls it may be asked at right now."""
    _counted_at: float = float("-inf")

    @classmethod
    def of(cls, source: RuleSource, limits: Limits) -> RuleState:
        """Return the state of a rule that has not run."""
        hit_limit = source.hit_limit if source.hit_limit is not None else limits.hits
        return cls(source, limits.of(source.budget), hit_limit)

    def may_ask(self, now: float) -> bool:
        """Take one call from the budget of calls per second; False (and counted) when there is none left.

        An unused second is the most that can be saved up.
        """
        most = self.limits.calls_per_second
        self._allowance = min(most, self._allowance + (now - self._counted_at) * most)
        self._counted_at = now
        if self._allowance < 1:
            self.skipped += 1
            return False
        self._allowance -= 1
        return True

    def wants_result(self, syscall: str) -> bool:
        """Whether it is to be shown what comes of the guest syscall `syscall`."""
        return self.asks_after and (self.source.after is None or syscall in self.source.after)

    @property
    def is_closed(self) -> bool:
        """Whether a call that this rule cannot be asked about is refused instead of made."""
        return self.limits.on_failure == "closed" and (self.failed or self.disabled is None)

    def add_call(self, seconds: float) -> None:
        """Count one call and the time that it took."""
        self.calls += 1
        self.time_total += seconds
        self.time_max = max(self.time_max, seconds)

    def add_hit(self) -> None:
        """Count one hit; the last one that is allowed switches the rule off."""
        self.hits += 1
        if self.hit_limit is not None and self.hits >= self.hit_limit and self.disabled is None:
            self.disabled = f"hit limit of {self.hit_limit} reached"

    def record(self) -> RuleHit:
        """Return the account as the run record holds it."""
        state: StateName = "throttled" if self.skipped else "active"
        if self.disabled is not None:
            state = "disabled" if self.failed else "used_up"
        return RuleHit(
            rule=self.source.id,
            hits=self.hits,
            matches=self.matches,
            syscall=self.source.syscall,
            limit=self.hit_limit,
            disabled=self.disabled,
            calls=self.calls,
            errors=self.errors,
            skipped=self.skipped,
            time_total_us=round(self.time_total * 1e6),
            time_max_us=round(self.time_max * 1e6),
            state=state,
            on_failure=self.limits.on_failure,
            asked_restart=self.asked_restart,
            sha256=self.source.sha256 or hashlib.sha256(self.source.source).hexdigest(),
            layer=self.source.layer,
            template=self.source.template,
        )
