"""Which function of the program a rule may be limited to, where it would be for many calls otherwise."""

from __future__ import annotations

import re

from triage_tui.diagnosis.ties import made_in, own_extents
from triage_tui.rulebook.check.explain import Match, parse_match
from triage_tui.rulebook.check.recorded import is_broad
from triage_tui.runs.diagnosis_model import Hypothesis
from triage_tui.runs.reader import Run

_PLAIN = re.compile(r"[A-Za-z0-9_.+:~-]{1,100}")
"""Names that stand in a header and in Lua as they are; others (of C++, of hostile files) are left alone."""


def caller_of(run: Run, hypothesis: Hypothesis, match: str) -> tuple[str, str] | None:
    """Return module and function that a rule with this `match` is to be limited to, None for no limit.

    There is one where the match is for more than half of many recorded calls, and the record names the
    program's function in which the failing call was made: names outlive other addresses and builds.
    """
    seq = hypothesis.parameters.get("seq", "")
    call = run.syscall(int(seq)) if seq.isdecimal() and len(seq) < 19 else None
    named = [one for one in own_extents(run) if one.frame.func_name] if call is not None else []
    frame = next((one.frame for one in named if call is not None and made_in(call, one)), None)
    module, function = (frame.module_name or "", frame.func_name or "") if frame is not None else ("", "")
    if not _PLAIN.fullmatch(module) or not _PLAIN.fullmatch(function):
        return None
    return (module, function) if _matches_many(run, parse_match(match)) else None


def _matches_many(run: Run, match: Match | None) -> bool:
    if match is None:
        return False
    own = [call for call in run.trace() if call.name.lower() == match.syscall]
    return is_broad(sum(bool(match.holds(call)) for call in own), len(own))
