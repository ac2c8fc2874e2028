"""Get what the demo and the tests need, without root and without a change to the host.

QEMU and a few foreign-architecture programs come from the distribution's own package archive, through a
private state of apt below the user's cache directory. Standard library only: this runs before anything is
installed, as `python -m triage_tui.setup`.
"""

from triage_tui.setup.programs import (
    DemoProgram,
    demo_programs,
    ensure_program,
    ensure_programs,
    known_programs,
)
from triage_tui.setup.qemu import ensure_qemu, find_qemu

__all__ = [
    "DemoProgram",
    "demo_programs",
    "ensure_program",
    "ensure_programs",
    "ensure_qemu",
    "find_qemu",
    "known_programs",
]
