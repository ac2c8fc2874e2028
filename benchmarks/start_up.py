"""`triage-tui --version` and `--help` against an interpreter that does nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.measure import Timed, print_table, take_turns, timed


def _command(*words: str) -> Timed:
    return timed(lambda: subprocess.run(words, stdout=subprocess.DEVNULL, check=True))


def main() -> None:
    """Measure and print."""
    command = str(Path(sys.executable).with_name("triage-tui"))
    cases = {
        "python -c pass": _command(sys.executable, "-c", "pass"),
        "triage-tui --version": _command(command, "--version"),
        "triage-tui --help": _command(command, "--help"),
    }
    print_table("Start-up", take_turns(cases, 15), "wanted: at most 60 ms more than the bare interpreter")


if __name__ == "__main__":
    main()
