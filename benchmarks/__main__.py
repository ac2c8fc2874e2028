"""`python -m benchmarks [NAME...]`: measure all figures, or the named ones, and print their tables."""

from __future__ import annotations

import importlib
import platform
import sys

FIGURES = (
    "start_up",
    "ui",
    "supervision",
    "qiling",
    "time_to_diagnosis",
    "rule_call",
    "rule_lint",
    "hook_round_trip",
    "freeze_latency",
    "backtraces",
    "index",
    "snapshot",
    "checkpoint",
    "campaign_screen",
)


def main() -> int:
    """Run the figures that the command line names; returns the exit code."""
    names = sys.argv[1:] or list(FIGURES)
    unknown = set(names) - set(FIGURES)
    if unknown:
        print(
            f"there is no figure {', '.join(sorted(unknown))}; there are {', '.join(FIGURES)}",
            file=sys.stderr,
        )
        return 2
    print(f"Python {platform.python_version()}, Linux {platform.release()}, {platform.machine()}")
    del sys.argv[1:]  # the figures have arguments of their own
    for name in names:
        importlib.import_module(f"benchmarks.{name}").main()
    return 0


if __name__ == "__main__":
    sys.exit(main())
