"""Run the command line as `python -m triage_tui`."""

from triage_tui.cli.main import main

raise SystemExit(main())
