"""Run a rule that a model wants proposed, in the rule host, at the recorded calls that it is about.

The lint reads a rule's text; what never ends, eats its memory or raises is seen only by running it. The
rule host has budgets for that, and nothing that a rule does there reaches a guest.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from triage_tui.rulebook import rulefile
from triage_tui.rulebook.check.replay import replay
from triage_tui.runs.model import Syscall
from triage_tui.runs.reader import Run
from triage_tui.text import safe_line

_ARGUMENTS = 6
_AT_LINE = re.compile(r"[^\s:]+:(\d+): ")


def trial_problem(run: Run, name: str, source: bytes, line: Callable[[int], int] = int) -> str:
    """Return why a rule can never work at the calls of `run`, in words; "" where nothing speaks against it.

    `line` turns a line of the file into that of the text that the model knows. Where the run has no recorded
    call of the rule's syscall it is called once with zeros.

    Raises:
        TriageError: it is no rule, or the rule host cannot be started.
    """
    syscall = rulefile.to_source(name, source).syscall
    arch = run.snapshot.target.arch
    recorded = [call for call in run.trace() if call.name.lower() == syscall]
    calls = recorded or [Syscall(seq=0, name=syscall, args=[0] * _ARGUMENTS)]
    found = replay(run.run_id, arch, calls, name, source)
    for finding in found.findings:
        if finding.severity == "error":
            told = (
                finding.message if recorded else finding.message.replace("at recorded call 0", "when called")
            )
            return safe_line(_AT_LINE.sub(lambda match: f"line {line(int(match[1]))}: ", told), 300)
    idle = not found.acted and not any(one.log or one.unclear for one in found.outcomes)
    if recorded and found.outcomes and idle:
        return f"it does nothing at any of the {len(found.outcomes)} recorded {syscall} calls it was tried at"
    return ""
