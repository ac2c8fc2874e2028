"""What is known of proposed rules beyond their text: what they do, what the lint finds, what runs say."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from triage_tui.errors import TriageError
from triage_tui.text import safe_line

if TYPE_CHECKING:
    from triage_tui.rulebook.check.findings import Finding
    from triage_tui.rulebook.check.recorded import Matched, OtherRuns
    from triage_tui.rulebook.rulefile import RuleHeader
    from triage_tui.runs.model import Syscall
    from triage_tui.ui.run_view import RunView


class Insight(msgspec.Struct, frozen=True):
    """All that is known of one rule text. What could not be found out is a sentence in `trouble`."""

    sentence: str = ""
    header: RuleHeader | None = None
    findings: tuple[Finding, ...] = ()
    syscall: str = ""
    here: Matched | None = None
    """What this run says of it; None where the rule would have to be run for that, or it is not known."""
    others: OtherRuns | None = None
    trouble: str = ""

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that make an approval impossible."""
        return tuple(finding for finding in self.findings if finding.severity == "error")

    @property
    def conflicts(self) -> tuple[Finding, ...]:
        """What a person has to want all the same: how it and the active rules get in each other's way."""
        return tuple(finding for finding in self.findings if finding.is_conflict)


def look_into(view: RunView) -> dict[str, Insight]:
    """Return what can be told about each proposed rule of a run. Takes a tenth of a second: for a worker."""
    from triage_tui.retry.rules.rule_checks import check_texts, is_published

    texts = {name: rule.difference.new for name, rule in view.rules.items() if rule.difference is not None}
    trouble = ""
    found: Mapping[str, list[Finding]] = {}
    try:
        target = view.snapshot.target
        published = is_published(view.run.dir.parent.parent, target.target_id)
        found = check_texts(texts, target.arch, view.active_rules, published=published)
    except TriageError as error:
        trouble = f"the rule was not checked: {error}"
    by_name: defaultdict[str, list[Syscall]] = defaultdict(list)
    for call in view.calls:
        by_name[call.name.lower()].append(call)
    return {
        name: _insight(view, by_name, name, text, tuple(found.get(name, ())), trouble)
        for name, text in texts.items()
    }


def _insight(
    view: RunView,
    calls: Mapping[str, list[Syscall]],
    name: str,
    text: bytes,
    findings: tuple[Finding, ...],
    trouble: str,
) -> Insight:
    from triage_tui.retry.rules.rule_checks import breadth
    from triage_tui.rulebook import rulefile
    from triage_tui.rulebook.check import explain, recorded
    from triage_tui.rulebook.check.findings import in_order

    try:
        rule = rulefile.parse(text)
        asked = rulefile.to_source(name, text)
        syscall = asked.syscall
        sentence = explain.sentence_of(name, text)
    except TriageError:
        # The lint has the broken header among its findings.
        return Insight(findings=findings, trouble=trouble)
    try:
        own = [call for hooked in sorted(asked.syscalls) for call in calls.get(hooked, [])]
        own.sort(key=lambda call: call.seq)
        here = recorded.matched_in(view.run_id, view.snapshot.target.arch, own, name, text)
    except TriageError as error:
        here = None
        trouble = trouble or safe_line(f"what this run says of it is not known: {error}", 300)
    findings = tuple(in_order([*findings, *breadth(here, syscall, text)]))
    return Insight(sentence, rule.header, findings, syscall, here, trouble=trouble)
