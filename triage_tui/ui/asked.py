"""A model that is asked about a run: what it told so far, how long it works, what it may still take."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import msgspec

from triage_tui.text import number_of, safe_line
from triage_tui.ui.rows import BLANK, Row, heading, wrapped
from triage_tui.ui.rows import field as labelled

if TYPE_CHECKING:
    from triage_tui.runs.analysis_model import Progress

MAX_LINES = 500
"""Lines that are kept of what it told: it takes as many steps at most."""
_COLUMN = 12


class AskedModel(msgspec.Struct, eq=False):
    """One analysis that is under way."""

    run_id: str
    name: str
    """Of the program."""
    cancel: threading.Event = msgspec.field(default_factory=threading.Event)
    lines: list[str] = msgspec.field(default_factory=list)
    """What it told, safe to show."""
    progress: Progress | None = None
    ended: str = ""
    """The sentence that it ended with."""
    began: float = msgspec.field(default_factory=time.monotonic)
    took: float | None = None
    """Seconds until it ended."""

    def tell(self, line: str) -> None:
        """Take a line of raw text."""
        self.lines.append(safe_line(line, 400))
        del self.lines[:-MAX_LINES]

    def end(self, sentence: str) -> None:
        """Note how it ended."""
        self.ended = safe_line(sentence, 500)
        self.took = time.monotonic() - self.began

    @property
    def seconds(self) -> int:
        """How long it works, or worked."""
        return int(time.monotonic() - self.began if self.took is None else self.took)

    @property
    def step(self) -> str:
        """What it does now, in a few words."""
        if self.cancel.is_set():
            return "stopping"
        if self.progress is None:
            return "starting"
        so_far = self.progress.characters
        return f"{safe_line(self.progress.phase, 20)}{f', {so_far:,} characters' if so_far else ''}"

    @property
    def far(self) -> str:
        """How far it is, in one line: step, characters, time, and the time that is left."""
        left = f", {self.progress.seconds_left:.0f} s left" if self.progress is not None else ""
        return f"{self.step}, {self.seconds} s{left}"


def asked_rows(asked: AskedModel, width: int) -> list[Row]:
    """Return everything that is known of an analysis that is under way, or that just ended."""
    rows = [heading(f"{safe_line(asked.name, 40)}  {asked.run_id}", width)]
    if asked.ended:
        rows += labelled("ended", f"after {asked.seconds} s: {asked.ended}", width, column=_COLUMN)
    else:
        rows += labelled("step", asked.step, width, column=_COLUMN)
        rows += labelled("works for", f"{asked.seconds} s", width, column=_COLUMN)
    if (known := asked.progress) is not None:
        money = f", {known.money:.4f} (money)" if known.money else ""
        taken = f"{number_of(known.steps, 'step')}, {known.tokens:,} tokens{money}"
        rows += labelled("taken", taken, width, column=_COLUMN)
        money = f", {known.money_left:.4f} (money)" if known.money_left is not None else ""
        left = f"{number_of(known.steps_left, 'step')}, {known.tokens_left:,} tokens"
        left = f"{left}, {known.seconds_left:.0f} s{money}"
        rows += labelled("budget left", left, width, column=_COLUMN)
    rows += [BLANK, heading("What it told so far", width)]
    for line in asked.lines:
        rows += wrapped(line, width, "", 1)
    return rows
