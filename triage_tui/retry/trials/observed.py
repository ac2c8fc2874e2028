"""What was seen of rules before they are approved: the newest counterfactual of the very same texts."""

from __future__ import annotations

from collections.abc import Mapping

from triage_tui.rulebook.generations import Generation
from triage_tui.runs.reader import Run
from triage_tui.runs.trials_model import Counterfactual, kept
from triage_tui.text import safe_line

EVENT = "counterfactual"


def cited(run: Run, texts: Mapping[str, str], active: Generation | None) -> dict[str, str]:
    """Return what an approval of rule texts cites: the newest counterfactual of exactly these on these rules.

    `texts` maps the name of each approved file to the SHA-256 of the text that becomes active. Only what the
    event log of the run tells of is cited; nothing for none.
    """
    generation = active.number if active is not None else 0
    for event in reversed(run.events):
        told = event.payload
        if event.kind == EVENT and told.get("files") == texts and told.get("generation") == generation:
            names = ("record", "sha256", "verdict", "says")
            return {name: safe_line(str(told.get(name, "")), 600) for name in names}
    return {}


def newest(run: Run, texts: Mapping[str, str], generation: int) -> Counterfactual | None:
    """Return the newest record of exactly these rules on those of a generation, None where there is none."""
    records = kept(run.dir, Counterfactual)
    return next(
        (one for _, one in records if one.files == dict(texts) and one.generation == generation), None
    )
