"""What a command ends with: the same meaning for every command (docs/scripting.md)."""

from __future__ import annotations

DONE = 0
"""Done, and where something was asked, the answer is yes: it got further, nothing is wrong or differs."""
NO = 1
"""Done, and the answer is no: no progress, mistakes were found, things differ, it did not happen in time."""
REFUSED = 2
"""Not done: wrong use, or something that the caller can mend; nothing was changed."""
CONFLICT = 3
"""Not done: somebody else decided first, or is at it; nothing was changed."""
PERSON = 4
"""Stopped at a limit or by the policy: a person must decide; what was reached is kept."""
CRASH = 70
"""An error of this program: EX_SOFTWARE of sysexits.h(3)."""
SIGNALLED = 128
"""Plus the number of the signal that ended it, as a shell has it."""
