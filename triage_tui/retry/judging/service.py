"""Whether the service of a run answers, twice, and for the agreed time; and the rung that it stands on."""

from __future__ import annotations

from typing import NamedTuple

from triage_tui.guest.freezing.suspicion import is_well
from triage_tui.retry.judging.ends import GONE, is_healthy
from triage_tui.runs.model import Probe
from triage_tui.runs.reader import Run
from triage_tui.runs.verdict_model import Rung

_ERROR_STATUS = 400
"""From here on a status of HTTP says that there is nothing, or that something is wrong (RFC 9110, 15)."""


class Service(NamedTuple):
    """What the probes of a run say, each an index into them or None."""

    answers: int | None = None
    """One that was answered as it should."""
    error_page: int | None = None
    """One that was answered, if none better, by a page that says that something is missing or wrong."""
    not_again: int | None = None
    """One that was answered, and not when it was put once more, or after the agreed time."""
    twice: bool = False
    stable: bool = False


def service_of(run: Run) -> Service:
    """Return what is known of the service of a run; nothing where nothing goes on of it."""
    probes = run.snapshot.probes
    if run.snapshot.reason in GONE or not is_well(probes):
        return Service()
    # Of those that a person named all must be right; else one is enough: a port may speak what is not known.
    named = [index for index, probe in enumerate(probes) if probe.asked]
    answered = [index for index in named or range(len(probes)) if probes[index].outcome == "answered"]
    right = [index for index in answered if not _is_error_page(probes[index])]
    if not right:
        return Service(error_page=answered[0] if answered else None)
    enough = all if named else any
    return Service(
        answers=right[0],
        not_again=next((index for index in right if _stopped(probes[index])), None),
        twice=enough(probes[index].again == "answered" for index in right),
        stable=enough(probes[index].later == "answered" for index in right),
    )


def _is_error_page(probe: Probe) -> bool:
    is_http = probe.target.startswith("http ")
    return is_http and probe.status is not None and probe.status >= _ERROR_STATUS


def _stopped(probe: Probe) -> bool:
    return any(outcome not in (None, "answered") for outcome in (probe.again, probe.later))


def probe_in_words(probe: Probe) -> str:
    """Return a probe and what came of it each time, raw text."""
    text = f"{probe.target} {probe.outcome}"
    if probe.status is not None:
        text += f" ({probe.status})"
    if probe.again is not None:
        text += ", twice" if probe.again == "answered" else f", then {probe.again}"
    if probe.later is not None:
        still = "still" if probe.later == "answered" else probe.later
        text += f", {still} after {probe.later_ms / 1000:.1f} s"
    return text


def rung_of(run: Run, *, is_new: bool, is_passed: bool, is_masked: bool, is_believed: bool) -> Rung:
    """Return the rung that a run stands on at its end.

    `is_new`: it reached new ground; `is_passed`: it did not end as the run before; `is_masked`: a rule
    answered or helped on the way; `is_believed`: nothing speaks against a healthy look.
    """
    if run.snapshot.reason not in GONE:
        service = service_of(run)
        if service.answers is not None:
            if service.stable:
                return "stable" if is_masked else "unmasked"
            return "answers_twice" if service.twice else "answers"
        if run.snapshot.statistics.listening:
            return "listens"
    elif run.snapshot.reason == "exit" and is_healthy(run) and is_believed:
        return "healthy_exit"
    if is_new:
        return "new_branch"
    return "passed" if is_passed else "runs"
