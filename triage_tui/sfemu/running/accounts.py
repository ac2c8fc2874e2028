"""What a rule directory's hooks did, call by call, as the run record has it of rules."""

from __future__ import annotations

from triage_tui.runs.model import SFEMU_LAYER, RuleHit


class Accounts:
    """One account for each guest syscall, under the name of the rule `sfemu:<syscall>`."""

    def __init__(self, sha256: str) -> None:
        """`sha256` is that of the whole directory."""
        self._sha256 = sha256
        self._of: dict[str, RuleHit] = {}

    def _account(self, name: str) -> RuleHit:
        account = self._of.get(name)
        if account is None:
            account = self._of[name] = RuleHit(
                rule=f"sfemu:{name}", hits=0, syscall=name, sha256=self._sha256, layer=SFEMU_LAYER
            )
        return account

    def add(self, name: str, seconds: float) -> None:
        """Count one call of a hook, and the time that the guest waited for it."""
        account = self._account(name)
        time_us = round(seconds * 1e6)
        account.calls += 1
        account.time_total_us += time_us
        account.time_max_us = max(account.time_max_us, time_us)

    def hit(self, name: str) -> None:
        """Count a call that `entry` answered."""
        account = self._account(name)
        account.hits += 1
        account.matches += 1

    def fail(self, name: str) -> None:
        """Count an error of a hook."""
        self._account(name).errors += 1

    def skip(self, name: str) -> None:
        """Count a call of which the hooks were not asked."""
        self._account(name).skipped += 1

    def restart(self, name: str, tag: str) -> None:
        """Note that a hook had the program started again."""
        account = self._account(name)
        account.asked_restart = tag
        account.matches += 1

    def records(self, off: str) -> list[RuleHit]:
        """Return the accounts by name; `off` says why the directory is not asked any more, if so."""
        for account in self._of.values():
            account.disabled = off or None
            account.state = "disabled" if off else "throttled" if account.skipped else "active"
        return [self._of[name] for name in sorted(self._of)]
