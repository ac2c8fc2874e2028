"""`python -m triage_tui.setup`: fetch QEMU and the demo's programs into the user's cache."""

from __future__ import annotations

import argparse
import sys

from triage_tui.errors import TriageError
from triage_tui.setup.cache import exclusive
from triage_tui.setup.programs import demo_programs, ensure_programs, known_programs
from triage_tui.setup.qemu import ensure_qemu
from triage_tui.setup.sources import discard_lists
from triage_tui.text import safe_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--all", action="store_true", help="fetch the programs of the tests as well")


def run(args: argparse.Namespace) -> int:
    """Fetch what is missing and say where it is; returns the exit code.

    Raises:
        TriageError: something cannot be fetched.
    """
    names = list(known_programs()) if args.all else [program.name for program in demo_programs()]
    emulators = ensure_qemu(_say)
    programs = ensure_programs(names, _say)
    with exclusive(_say) as directory:
        discard_lists(directory)
    _say(f"emulators: {emulators}")
    for name, rootfs in programs.items():
        _say(f"{name}: {rootfs}")
    return 0


def main() -> int:
    """Run this as a program of its own; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m triage_tui.setup", description=__doc__)
    add_arguments(parser)
    try:
        return run(parser.parse_args())
    except TriageError as error:
        print(f"triage-tui setup: {safe_line(str(error))}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("triage-tui setup: interrupted; nothing half-made was kept.", file=sys.stderr)
        return 130


def _say(line: str) -> None:
    print(f"setup: {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
