"""Let each part of a run record fail alone: what cannot be had is named, with the reason."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from triage_tui.errors import TriageError
from triage_tui.runs.model import Unavailable
from triage_tui.text import safe_line


class Parts(msgspec.Struct):
    """Collects the parts of a record that could not be had."""

    missing: list[Unavailable]

    @contextmanager
    def __call__(self, what: str) -> Iterator[None]:
        """Note `what` as missing if the body fails, with the reason, and go on."""
        # Parts read a hostile process and hostile files with many libraries: whatever one of them raises, the
        # record must be written with the others.
        try:
            yield
        except Exception as error:
            self.note(what, _reason(error))

    def note(self, what: str, why: str) -> None:
        """Say that something could not be had."""
        self.missing.append(Unavailable(what=what, why=why))


def _reason(error: Exception) -> str:
    """Return one line that says why."""
    text = safe_line(str(error), 300)
    if isinstance(error, TriageError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
