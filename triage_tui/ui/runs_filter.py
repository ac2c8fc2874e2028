"""The filter of the runs list: words and `key:value` terms, all of which must hold. `-` or `!` negates."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from triage_tui.ui.words import state_word

if TYPE_CHECKING:
    from triage_tui.runs.listing import RunSummary

_SINCE = re.compile(r"(\d{1,6})([smhd])\Z")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
KEYS = ("reason", "cause", "state", "arch", "target", "since")
"""Keys that a term may begin with."""
MAX_OFFERED = 8
"""Values that are offered for a key."""

Test = Callable[["RunSummary"], bool]


class Term(NamedTuple):
    """One term of a filter, in small letters."""

    key: str
    """One of `KEYS`, or "" for plain text."""
    value: str
    negated: bool = False
    problem: str = ""
    """One sentence when the term cannot mean anything; such a term is passed over."""


def parse_filter(text: str) -> list[Term]:
    """Return the terms of `text`: `reason:exit -cause:missing !state:ended arch:mips since:2h udhcpc`."""
    return [_parse(word) for word in text.lower().split()]


def _parse(word: str) -> Term:
    if word in ("-", "!"):
        # The first key of a term that is being typed must not hide everything.
        return Term("", "")
    negated = word[0] in "-!"
    term = word[1:] if negated else word
    key, colon, value = term.partition(":")
    if not colon:
        # An option of a command line (-i, --daemon) is more likely text than a negated word.
        return Term("", word) if word.startswith("--") else Term("", term, negated)
    if key not in KEYS:
        known = " ".join(f"{one}:" for one in KEYS)
        guess = next((one for one in KEYS if key and one.startswith(key)), "")
        hint = f"Did you mean {guess}:?" if guess else f"Terms are {known}"
        # Addresses and ports hold colons too: it is looked for as text.
        return Term("", term, negated, f"No term {key}: is known; this looks for the text. {hint}")
    if key == "since" and value and _SINCE.match(value) is None:
        return Term("since", "", False, f"{value!r} is no time: write 30s, 10m, 2h or 3d.")
    return Term(key, value, negated)


def compile_filter(text: str, now: datetime | None = None) -> Test:
    """Return a test for `text`.

    A value matches from its beginning; that of `target:` and plain words match anywhere, words in name,
    arguments, cause, headline or id.
    """
    tests = [_test(term, now or datetime.now()) for term in parse_filter(text)]
    return lambda run: all(test(run) for test in tests)


def select(
    runs: Sequence[RunSummary],
    text: str,
    haystacks: Mapping[str, str],
    now: datetime | None = None,
) -> list[RunSummary]:
    """Return the runs that pass the filter, in their order; `haystacks` has the `haystack` of each by id."""
    found = list(runs)
    for term in parse_filter(text):
        if not term.value:
            continue
        word = term.value
        if not term.key:
            found = [run for run in found if (word in haystacks[run.run_id]) != term.negated]
        else:
            test = _test(term, now or datetime.now())
            found = [run for run in found if test(run)]
    return found


def _test(term: Term, now: datetime) -> Test:
    holds = _plain_test(term.key, term.value, now)
    if not term.value:
        return lambda run: True
    return (lambda run: not holds(run)) if term.negated else holds


def _plain_test(key: str, value: str, now: datetime) -> Test:
    match key:
        case "":
            return lambda run: value in haystack(run)
        case "since":
            return _since(value, now)
        case "state":
            return lambda run: any(
                word.startswith(value) for word in (*_states(run), *_shown_state(run).split())
            )
        case "target":
            return lambda run: value in run.name.lower()
        case "arch":
            return lambda run: run.arch.lower().startswith(value)
        case "cause":
            return lambda run: run.cause.lower().startswith(value)
        case _:
            return lambda run: run.reason.lower().startswith(value)


_FORM_STATES = {"unreadable": "broken", "misnamed": "broken", "sfemu": "sfemu", "newer": "newer"}


def _states(run: RunSummary) -> tuple[str, ...]:
    """Return the words that `state:` may find a run by."""
    if run.waiting:
        return ("waiting",)
    if run.form == "writing":
        return ("writing",)
    if run.form in _FORM_STATES:
        word = _FORM_STATES[run.form]
        return (word,) if word == "broken" else (word, run.state)
    return (run.state,)


def _shown_state(run: RunSummary) -> str:
    """Return the words that the list shows for the state: "to review"."""
    return state_word(run.state, run.waiting)[0] if run.form == "run" else ""


def _since(value: str, now: datetime) -> Test:
    match = _SINCE.match(value)
    if match is None:
        return lambda run: True
    try:
        earliest = (now - timedelta(**{_UNITS[match[2]]: int(match[1])})).strftime("%Y%m%d_%H%M%S")
    except OverflowError:
        return lambda run: True
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
        *_states(run),
        _shown_state(run),
    )
    return " ".join((*fields, run.headline)).lower()


def values_of(key: str, runs: Iterable[RunSummary]) -> list[str]:
    """Return the values that runs have for a key of a term, the most frequent first."""
    counts: dict[str, int] = {}
    for run in runs:
        match key:
            case "state":
                words: tuple[str, ...] = _states(run)
            case "cause" | "reason" | "arch":
                words = (getattr(run, key),)
            case "target":
                words = (run.name,)
            case _:
                words = ()
        for word in words:
            if word:
                counts[word] = counts.get(word, 0) + 1
    return sorted(counts, key=lambda word: (-counts[word], word))


def advice(text: str, values_for: Callable[[str], Sequence[str]]) -> tuple[str, bool]:
    """Return one line about the filter as far as it is typed, and whether something is wrong with it.

    It offers terms and the values that there are, or says why a term finds nothing. `values_for` gives the
    values that runs have for a key, as `values_of` does.
    """
    terms = parse_filter(text)
    for term in terms:
        if term.problem:
            return term.problem, True
    for term in terms:
        if term.key in ("state", "cause", "reason", "arch") and term.value and not term.negated:
            values = values_for(term.key)
            if not any(value.lower().startswith(term.value) for value in values):
                there = ", ".join(values[:MAX_OFFERED]) or "none yet"
                return f"No run has {term.key}:{term.value}. There are: {there}", True
    last = text.split(" ")[-1].lower().lstrip("-!")
    key, colon, value = last.partition(":")
    if colon and key in KEYS:
        if key == "since":
            return "30s, 10m, 2h or 3d", False
        fitting = [one for one in values_for(key) if value in one.lower()]
        return ", ".join(fitting[:MAX_OFFERED]), False
    if not last:
        return " ".join(f"{one}:" for one in KEYS) + "  -term excludes", False
    return " ".join(f"{one}:" for one in KEYS if one.startswith(last)), False
