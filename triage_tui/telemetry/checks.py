"""One thing that was looked at on this machine."""

from __future__ import annotations

from typing import Literal

from triage_tui.runs.record import Record

Grade = Literal["ok", "missing", "limited"]


class Check(Record):
    """One thing that was looked at. `cost` says what is lost without it, `mend` is the command that helps."""

    name: str
    grade: Grade
    """`missing`: it is not there, or does not do what it is for; `limited`: something works worse without."""
    found: str
    cost: str = ""
    mend: str = ""
    needed: bool = False
    """Whether nothing can be run while this is missing. Of the emulators one is enough."""
