"""Measure alternatives side by side: taking turns, so that a noisy moment hits all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

Timed = Callable[[], float]
"""Does the work once and returns the seconds it took."""


def timed(work: Callable[[], object]) -> Timed:
    """Make a `Timed` of a function that does the work."""

    def run() -> float:
        begin = time.perf_counter()
        work()
        return time.perf_counter() - begin

    return run


def take_turns(cases: Mapping[str, Timed], rounds: int) -> dict[str, list[float]]:
    """Run all cases `rounds` times in turn, after one round that does not count; returns seconds."""
    for case in cases.values():
        case()
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, case in cases.items():
            seconds[name].append(case())
    return seconds


def print_table(title: str, seconds: Mapping[str, list[float]], note: str = "") -> None:
    """Print medians, spreads, and differences and ratios to the first case."""
    rounds = len(next(iter(seconds.values())))
    width = max(len(name) for name in seconds)
    base = statistics.median(next(iter(seconds.values())))
    print(f"\n{title} (median of {rounds}, taking turns)")
    print(f"  {'':{width}}  {'median':>10}  {'least':>10}  {'most':>10}  {'more':>10}  {'ratio':>6}")
    for name, values in seconds.items():
        median = statistics.median(values)
        columns = (median, min(values), max(values), median - base)
        print(
            f"  {name:{width}}  "
            + "  ".join(f"{value * 1e3:7.1f} ms" for value in columns)
            + f"  {median / base:6.2f}"
        )
    if note:
        print(f"  {note}")
