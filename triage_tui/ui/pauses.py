"""Keep the pauses of the interpreter itself short, which no care in the handlers can avoid.

The collector of cyclic garbage looks at every object that there is, and stops all threads while it does:
with the records of ten thousand runs in memory that takes a tenth of a second, in the middle of a key.
Records hold no cycles, so here they are set aside as soon as they are read, and the collector runs only when
nothing is being read.
"""

from __future__ import annotations

import gc
import sys
import time
from typing import Any

import msgspec

EVERY_S = 5.0
"""How often the collector runs."""
MOST_OBJECTS = 50_000
"""Objects that the collector looks at in some ten milliseconds."""
PORTION = 5_000
"""Records that are freed in a millisecond or two."""
_SWITCH_S = 0.001
"""How long a thread that reads may compute while the one that draws waits: a fifth of what is usual."""


class Usual(msgspec.Struct, frozen=True):
    """How the interpreter was set before."""

    collecting: bool
    switch_s: float


def shorten() -> Usual:
    """Stop automatic collections and let threads change places sooner; returns what `restore` needs."""
    usual = Usual(gc.isenabled(), sys.getswitchinterval())
    gc.disable()
    gc.freeze()
    sys.setswitchinterval(min(_SWITCH_S, usual.switch_s))
    return usual


def set_aside() -> None:
    """Take all objects that there are out of the collector's sight; takes no time.

    They are freed as ever when nothing refers to them, but for those that are in a cycle now.
    """
    gc.freeze()


def collect() -> None:
    """Look for cycles among the objects that came since the last call of `set_aside`, if they are few.

    Many at once are rows and records, and looking at them would be a pause that a person notices.
    """
    if gc.get_count()[0] > MOST_OBJECTS:
        set_aside()
    else:
        gc.collect()


def let_go(records: list[Any]) -> None:
    """Free many records in portions, called in a thread with a list of its own, the last that holds them.

    A hundred thousand at once would stop all threads for a twentieth of a second.
    """
    while records:
        del records[-PORTION:]
        time.sleep(0)


def restore(usual: Usual) -> None:
    """Set the interpreter as it was."""
    gc.unfreeze()
    sys.setswitchinterval(usual.switch_s)
    if usual.collecting:
        gc.enable()
