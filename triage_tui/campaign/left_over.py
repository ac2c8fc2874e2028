"""What an earlier start of a campaign left of the targets that it played."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from triage_tui.campaign.model import CampaignState, Target
from triage_tui.campaign.order import Answer, decode_answer
from triage_tui.campaign.place import ANSWER_FILE
from triage_tui.errors import TriageError
from triage_tui.runs.files import read_bounded
from triage_tui.text import safe_line

WORK = "work"
"""Directory of the campaign in which targets are played, one directory a target."""
MAX_ANSWER_BYTES = 64 << 20


def left_over(
    work: Path, state: CampaignState, tell: Callable[[str], None]
) -> Iterator[tuple[Path, Target | None, Answer | None]]:
    """Yield each place of `work`, with its target and what was answered where that is to be taken in."""
    targets = {target.target: target for target in state.targets}
    for place in sorted(work.iterdir()) if work.is_dir() else ():
        target = targets.get(place.name)
        answer = None
        if target is not None and state.outcome(target.target) is None and (place / ANSWER_FILE).is_file():
            try:
                answer = decode_answer(read_bounded(place / ANSWER_FILE, MAX_ANSWER_BYTES, whole=True))
            except TriageError as error:
                tell(f"what is left of {safe_line(target.name, 60)} is played again: {error}")
        whole = answer is not None and answer.kind == "finished"
        yield place, target, answer if whole else None
