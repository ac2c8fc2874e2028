"""The filter of the runs list: words and `key:value` terms, all of which must hold."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from triage_tui.runs.listing import RunSummary

_SINCE = re.compile(r"(\d{1,6})([smhd])\Z")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
KEYS = ("reason", "cause", "state", "arch", "target", "since")
"""Keys that a term may begin with."""

Test = Callable[["RunSummary"], bool]


def compile_filter(text: str, now: datetime | None = None) -> Test:
    """Return a test for `text`: `reason:exit cause:missing state:proposed arch:mips since:2h udhcpc`.

    A value matches from its beginning; plain words match anywhere in name, arguments, cause, headline or id.
    An unknown key is taken as a plain word, so that typing never hides everything by mistake.
    """
    tests = [_term(term, now or datetime.now()) for term in text.lower().split()]
    return lambda run: all(test(run) for test in tests)


def _term(term: str, now: datetime) -> Test:
    key, colon, value = term.partition(":")
    if not colon or key not in KEYS:
        return lambda run: term in haystack(run)
    if not value:
        return lambda run: True
    match key:
        case "since":
            return _since(value, now)
        case "state":
            return lambda run: _state(run).startswith(value)
        case "target":
            return lambda run: value in run.name.lower()
        case "arch":
            return lambda run: run.arch.lower().startswith(value)
        case "cause":
            return lambda run: run.cause.lower().startswith(value)
        case _:
            return lambda run: run.reason.lower().startswith(value)


def _state(run: RunSummary) -> str:
    if run.waiting:
        return "waiting"
    return "broken" if run.problem and not run.program else run.state


def _since(value: str, now: datetime) -> Test:
    match = _SINCE.match(value)
    if match is None:
        return lambda run: True
    earliest = (now - timedelta(**{_UNITS[match[2]]: int(match[1])})).strftime("%Y%m%d_%H%M%S")
    return lambda run: run.run_id[:15] >= earliest


def haystack(run: RunSummary) -> str:
    """Return the text that plain words are looked for in."""
    fields = (
        run.run_id,
        run.program,
        *run.argv[1:],
        run.arch,
        run.reason,
        run.cause,
        _state(run),
        run.headline,
    )
    return " ".join(fields).lower()
