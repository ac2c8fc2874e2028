"""`triage-tui setup`: fetch QEMU and the demo's programs into the user's cache."""

from triage_tui.setup.__main__ import add_arguments, run

__all__ = ["add_arguments", "run"]
