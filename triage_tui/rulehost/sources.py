"""What is loaded into the rule host, and what each rule may use of it."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec.structs import replace

OnFailure = Literal["open", "closed"]
"""What the guest gets where a rule fails or may not run: `open`, the call goes on without the rule; `closed`,
the call is answered with -EPERM."""


class Budget(msgspec.Struct, frozen=True):
    """What one rule may use, where that differs from `Limits`; None is no wish.

    A rule may ask for less than the limits and never for more: its text may come from anybody.
    """

    instructions: int | None = None
    memory_bytes: int | None = None
    wall_seconds: float | None = None
    calls_per_second: int | None = None
    on_failure: OnFailure | None = None


class RuleSource(msgspec.Struct, frozen=True):
    """One rule as the host runs it. `source` is Lua text, `syscall` the guest syscall that it hooks.

    A plugin hooks several: `hooks` are their names then, `syscall` is what they are called together, and
    `__syscall_name` tells it which one is made. Of those it is shown results of the ones in `after` only,
    where that is not None.
    `hit_limit`: after so many hits the rule is not called any more, None is without a limit of its own.
    `rules_dir` is only a string for the rule's own use (`__rules_dir`); the host process cannot open it.
    `sha256` is that of the rule file, where it is not that of `source`; `layer` says whose rule it is, and
    `template` what its header says it was made from.
    """

    id: str
    syscall: str
    source: bytes
    hit_limit: int | None = None
    rules_dir: str = ""
    budget: Budget = Budget()
    sha256: str = ""
    layer: str = ""
    template: str = ""
    hooks: frozenset[str] = frozenset()
    after: frozenset[str] | None = None

    @property
    def syscalls(self) -> frozenset[str]:
        """The guest syscalls about which it is asked."""
        return self.hooks or frozenset((self.syscall,))


class Limits(msgspec.Struct, frozen=True):
    """Budgets of the rule host. A rule that exceeds one is switched off or skipped; the guest goes on.

    `instructions` and `requests` count per call of one rule, `wall_seconds` is the time the rule itself may
    take per call, `asking_seconds` the time spent in `GuestAccess` for it, which is counted apart.
    `memory_bytes` is one rule's Lua heap,
    `process_bytes` what the process may map beyond its start-up size. `errors` is the number of plain Lua
    errors after which a rule is switched off. `calls_per_second` is how often one rule may be asked: calls
    beyond it, counted over a second, skip the rule. `hits` is for rules without a hit limit of their own.
    `shared_bytes` and `shared_keys` bound what all rules of a run keep for each other. `fixed_clock` gives
    rules a clock that starts at 0 and advances by one nanosecond per reading, so that a retry sees the same
    times.
    """

    instructions: int = 2_000_000
    wall_seconds: float = 2.0
    asking_seconds: float = 5.0
    start_seconds: float = 20.0
    memory_bytes: int = 16 << 20
    process_bytes: int = 192 << 20
    cpu_seconds: int = 30
    requests: int = 512
    request_bytes: int = 1 << 20
    log_lines: int = 32
    log_line_bytes: int = 512
    log_lines_per_run: int = 2000
    errors: int = 16
    calls_per_second: int = 10_000
    hits: int | None = None
    shared_bytes: int = 1 << 20
    shared_keys: int = 1024
    on_failure: OnFailure = "open"
    fixed_clock: bool = False

    def of(self, budget: Budget) -> Limits:
        """Return the limits of a rule that asks for `budget`."""

        def less(own: float | None, most: float) -> float:
            return most if own is None else min(own, most)

        return replace(
            self,
            instructions=int(less(budget.instructions, self.instructions)),
            memory_bytes=int(less(budget.memory_bytes, self.memory_bytes)),
            wall_seconds=less(budget.wall_seconds, self.wall_seconds),
            calls_per_second=int(less(budget.calls_per_second, self.calls_per_second)),
            on_failure=budget.on_failure or self.on_failure,
        )
