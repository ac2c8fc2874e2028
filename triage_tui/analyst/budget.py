"""How much the model may take: tokens, money, time and steps; each ends the work with what is there."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from triage_tui.errors import TriageError
from triage_tui.text import number_of, safe_line

PER = 1_000_000
"""Prices are for so many tokens."""

_NAMES = ("tokens", "money", "seconds", "steps")


class Price(msgspec.Struct, frozen=True):
    """What a million tokens cost, in the currency of the provider (US dollars in the library's table)."""

    input: float
    output: float

    def of(self, tokens_in: int, tokens_out: int) -> float:
        """Return what one request cost."""
        return (tokens_in * self.input + tokens_out * self.output) / PER


class Budget(msgspec.Struct, frozen=True):
    """Limits of one analysis. `money` None: no limit, because many models have no known price."""

    tokens: int = 120_000
    """Prompt and reply, of all requests."""
    money: float | None = None
    seconds: float = 600.0
    steps: int = 40
    """Requests and tool calls."""


def parse_budget(text: str, base: Budget, origin: str) -> Budget:
    """Return `base` with what `text` says: "tokens=20000,money=0.10,seconds=60,steps=8", any of them.

    Raises:
        TriageError: a word of it is none of these; `origin` says where it stands.
    """
    changes: dict[str, float | int | None] = {}
    for word in text.split(","):
        name, _, value = word.strip().partition("=")
        try:
            number = float(value)
        except ValueError:
            number = -1.0
        if name not in _NAMES or name in changes or not 0 < number < math.inf:
            raise TriageError(
                f"{origin}: {safe_line(word.strip(), 60)!r} is no limit;"
                " write tokens=N,money=N,seconds=N,steps=N, any of them, each above 0"
            )
        changes[name] = max(1, int(number)) if name in ("tokens", "steps") else number
    return replace(base, **changes)


class Spending:
    """What an analysis has taken so far, against its budget. `clock` gives seconds that only grow."""

    def __init__(self, budget: Budget, clock: Callable[[], float] = time.monotonic) -> None:
        self.budget = budget
        self.tokens_in = 0
        self.tokens_out = 0
        self.money = 0.0
        self.priced = True
        """Whether all requests had a known price; else `money` is that of the others."""
        self.steps = 0
        self._clock = clock
        self._began = clock()

    @property
    def tokens(self) -> int:
        """Tokens of prompts and replies."""
        return self.tokens_in + self.tokens_out

    @property
    def seconds(self) -> float:
        """Time since the analysis began."""
        return self._clock() - self._began

    @property
    def seconds_left(self) -> float:
        """Time until the budget is over."""
        return max(0.0, self.budget.seconds - self.seconds)

    @property
    def tokens_left(self) -> int:
        """Tokens until the budget is over."""
        return max(0, self.budget.tokens - self.tokens)

    @property
    def steps_left(self) -> int:
        """Requests and tool calls until the budget is over."""
        return max(0, self.budget.steps - self.steps)

    @property
    def money_left(self) -> float | None:
        """Money until the budget is over; None where it has no limit."""
        limit = self.budget.money
        return None if limit is None else max(0.0, limit - self.money)

    def step(self) -> None:
        """Count a request or a tool call."""
        self.steps += 1

    def add(self, tokens_in: int, tokens_out: int, money: float | None) -> None:
        """Count what one request took."""
        self.tokens_in += tokens_in
        self.tokens_out += tokens_out
        self.money += money or 0.0
        self.priced = self.priced and money is not None

    def over(
        self, next_tokens: int = 0, *, next_money: float | None = None, share: float = 1.0
    ) -> str | None:
        """Return which limit is reached, in words, None when none is.

        `next_tokens` and `next_money` are what the next request takes at least; with `share`, that part of
        each limit counts as all of it: so that something is left for what comes after.
        """
        limit = self.budget
        if self.steps >= limit.steps * share:
            return f"the budget of {number_of(limit.steps, 'step')} is used up"
        if self.tokens + next_tokens >= limit.tokens * share:
            need = f", and the next request needs about {next_tokens}" if next_tokens else ""
            return f"of the budget of {limit.tokens} tokens {self.tokens} are used{need}"
        if limit.money is not None and self.money >= limit.money * share:
            return f"the budget of {limit.money:g} (money) is used up"
        if limit.money is not None and self.money + (next_money or 0.0) > limit.money * share:
            used = f"of the budget of {limit.money:g} (money) {self.money:.4g} is used"
            return f"{used}, and the next request costs about {next_money:.4g}"
        if self.seconds >= limit.seconds * share:
            return f"the budget of {limit.seconds:g} seconds is used up"
        return None
