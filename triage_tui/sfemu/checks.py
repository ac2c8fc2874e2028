"""What a check says of a rule that is published for SFEmu: other things are there, and others are missing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from triage_tui.errors import TriageError
from triage_tui.rulebook import patches
from triage_tui.rulebook.check.findings import Finding, in_order
from triage_tui.rulebook.kinds import PLACE
from triage_tui.rulebook.rulefile import parse
from triage_tui.runs.diagnosis_model import Proposal
from triage_tui.sfemu import rules_dir, target
from triage_tui.sfemu.asked import asked_as
from triage_tui.sfemu.rule_text import is_theirs, powers_of, what_differs, why_not_there

_OF_THE_RULE_HOST = ("forbidden", "random", "unsupported")
"""Codes of findings that tell what our rule host does not have."""


def is_published(root: Path, target_id: str) -> bool:
    """Tell whether the rules of a target of the workspace `root` are published for SFEmu."""
    if root.name != rules_dir.HOME:
        return False
    rules = rules_dir.around(root)
    return rules is not None and target.known_id(rules) == target_id


def there(
    name: str, source: bytes, arch: str, findings: Sequence[Finding], home: Path | None = None
) -> list[Finding]:
    """Return what is to be said of a rule file on SFEmu, where `findings` are those of our rule host.

    `home` is our workspace in the rule directory, which says about which calls it asks rules.
    """
    try:
        theirs = is_theirs(parse(source))
        told = [Finding(1, "warning", "elsewhere", text) for text in what_differs(source)]
        if home is not None and (never := why_never_asked(home, name, arch)):
            told.append(Finding(1, "warning", "elsewhere", never))
        why = why_not_there(name, source, arch)
    except TriageError:
        return list(findings)  # Its header is broken, which is among them.
    if why:
        told.append(Finding(1, "error", "not-there", why))
    left_out = _OF_THE_RULE_HOST if theirs else ("unsupported",)
    return in_order([*(one for one in findings if one.code not in left_out), *told])


def why_never_asked(home: Path, name: str, arch: str) -> str:
    """Return why SFEmu would never ask a rule file, "" where it may."""
    rules, place = rules_dir.around(home), PLACE.search(name)
    names = rules.named_by_number if rules is not None else None
    if names is None or place is None or place["kind"] != "syscall":
        return ""
    call = place["syscall"]
    if asked_as(call, arch, names):
        return ""
    return f"it is for {call}, and SFEmu has no name for that call, so that it never asks a rule about it"


def marked(run_dir: Path, proposals: Sequence[Proposal], arch: str) -> list[Proposal]:
    """Return the proposals of a run, those that can act on SFEmu first; of the others it is said why not."""
    for one in proposals:
        one.not_on_sfemu = next(filter(None, (_why_not(run_dir, name, arch) for name in one.files)), "")
        if one.not_on_sfemu:
            one.ranked = ""
    return sorted(proposals, key=lambda one: one.not_on_sfemu != "")


def _why_not(run_dir: Path, name: str, arch: str) -> str:
    try:
        why = why_not_there(name, patches.read_rule(run_dir, name), arch)
    except TriageError:
        return ""  # It cannot be read, or its header is broken, which is said where it is shown.
    return why or why_never_asked(run_dir.parent.parent, name, arch)


def can_be_tried(source: bytes) -> bool:
    """Tell whether our rule host can run a rule that is for SFEmu."""
    try:
        return not (is_theirs(parse(source)) and powers_of(source))
    except TriageError:
        return True
