"""`python -m triage_tui.cli.served`: the app behind one tab of `triage-tui serve`.

Standard input and output are pipes to the server, on which Textual speaks its protocol; nothing may be
printed there.
"""

from __future__ import annotations

import argparse
import os
import sys

from triage_tui.cli.crash import report
from triage_tui.cli.streams import silence_broken
from triage_tui.cli.ui import build_app
from triage_tui.errors import TriageError
from triage_tui.retry.workspace import Workspace
from triage_tui.text import safe_line


def main() -> int:
    """Run the app until it is left or told to end; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m triage_tui.cli.served", description=__doc__)
    parser.add_argument("-C", "--workspace", required=True)
    parser.add_argument("--read-only", action="store_true")
    args = parser.parse_args()
    if "TEXTUAL_DRIVER" not in os.environ:
        parser.error("`triage-tui serve` starts this")
    try:
        app = build_app(Workspace.at(args.workspace), read_only=args.read_only)
        app.run()
    except TriageError as error:
        print(f"triage-tui: {safe_line(str(error))}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        silence_broken()
        return 0
    if app.crash is not None:
        return report("serve", app.crash)
    return app.return_code or 0


if __name__ == "__main__":
    sys.exit(main())
