"""Rules that only watch given calls: what an experiment activates and takes back."""

from __future__ import annotations

from collections.abc import Sequence

from triage_tui.proposals.build import rule_texts
from triage_tui.proposals.templates import Library, load_library
from triage_tui.runs.diagnosis_model import Hypothesis
from triage_tui.runs.reader import Run

_DATA, _CALLS = "observe_data", "observe_calls"


def watching_rules(run: Run, syscalls: Sequence[str], library: Library | None = None) -> dict[str, str]:
    """Return rule file name ("observe/syscall/send@observe-send-1.lua") to text, one for each of `syscalls`.

    A call that carries data gets the rule that logs it, any other the one that logs its arguments.
    """
    library = library or load_library()
    found: dict[str, str] = {}
    for name in syscalls:
        hypothesis = Hypothesis(
            cause="unknown", proximate="unknown", confidence=0.0, title="", parameters={"syscalls": name}
        )
        for template_id in (_DATA, _CALLS):
            template = library.templates.get(template_id)
            if template is not None and (rules := rule_texts(run, hypothesis, template, library)):
                found |= rules
                break
    return found
