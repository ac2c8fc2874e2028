"""Which of the variables of the environment that steer this program name something unusable."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

from triage_tui.errors import TriageError
from triage_tui.guest.emulator import qemu
from triage_tui.guest.spec import CARRIER_VARIABLE, carrier_of_environment
from triage_tui.rule_places import RULES_PATH_VARIABLE, check_directories
from triage_tui.runs.limits import VARIABLES, CaptureLimits

_CHECKS: dict[str, Callable[[], object]] = {
    qemu.DIRECTORY_VARIABLE: qemu.given_directory,
    CARRIER_VARIABLE: carrier_of_environment,
    RULES_PATH_VARIABLE: check_directories,
}


def _check_limit(variable: str) -> None:
    CaptureLimits.of({}, {variable: os.environ[variable]})


def unusable_settings() -> dict[str, str]:
    """Return the variables that name something unusable, each with a sentence that says what is wrong."""
    found: dict[str, str] = {}
    checks = _CHECKS | {name: partial(_check_limit, name) for name in VARIABLES.values()}
    try:
        from triage_tui.language import choice

        checks[choice.VARIABLE] = choice.wanted_language
    except ImportError:
        # A package is missing, which is said elsewhere: then no language is read at all.
        pass
    for variable, check in checks.items():
        if os.environ.get(variable):
            try:
                check()
            except TriageError as error:
                found[variable] = str(error)
    return found
