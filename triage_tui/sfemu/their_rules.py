"""The rules that SFEmu's model or tool wrote for a stop, as proposals: they wait for a person like any other.

SFEmu applies fixes before anybody is asked. Whether one was applied then is in its `retry.log`; whether it
acts now is told by the files in the rule directory.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from triage_tui.errors import TriageError
from triage_tui.rulebook import patches
from triage_tui.rulebook.kinds import FILE_NAME
from triage_tui.rulebook.rulefile import MAX_RULE_BYTES
from triage_tui.runs.diagnosis_model import Proposal
from triage_tui.runs.files import inside, read_bounded
from triage_tui.sfemu.rules_dir import RulesDirectory
from triage_tui.text import safe_line

PLACES = (("fix/syscall", "fix"), ("syscall", "fix"), ("observe/syscall", "observe"))
"""Directories below `rules_patch/` in the order in which SFEmu takes them; `syscall` is its older form."""
MAX_MANIFEST = 1 << 20
_APPLIED = re.compile(
    r"^applied: ([A-Za-z0-9_]{1,60}) kind=(\w{1,12})(?: dst=([\w.-]{1,60}))?$", re.MULTILINE
)
_NOT_APPLIED = re.compile(r"^(skip apply[^:\n]{0,60}|apply failed): ([A-Za-z0-9_]{1,60})\b.*$", re.MULTILINE)
_TRANSIENT = re.compile(rb"sfemu[:_]transient=1")


@dataclass(frozen=True)
class TheirRule:
    """One rule file of a run of SFEmu."""

    name: str
    """"fix/syscall/open.lua", as our records name it."""
    syscall: str
    text: bytes

    @property
    def observes(self) -> bool:
        """Whether it is only meant to watch."""
        return self.name.startswith("observe/")


def rules_of(run_dir: Path, problems: list[str]) -> list[TheirRule]:
    """Return the rule files below `rules_patch/`; what cannot be read goes to `problems`."""
    found: dict[str, TheirRule] = {}
    for place, purpose in PLACES:
        try:
            names = sorted(os.listdir(inside(run_dir, f"rules_patch/{place}")))
        except (OSError, TriageError):
            continue
        for file in names[: patches.MAX_RULES]:
            matched = FILE_NAME.fullmatch(file)
            if matched is None:
                continue
            name = f"{purpose}/syscall/{file}"
            try:
                text = read_bounded(
                    inside(run_dir, f"rules_patch/{place}/{file}"), MAX_RULE_BYTES, whole=True
                )
            except TriageError as error:
                problems.append(f"rule {safe_line(file, 80)}: {error}")
                continue
            # Of a fix in both forms the newer one is taken.
            found.setdefault(name, TheirRule(name, matched["syscall"], text))
    return list(found.values())


def proposal_of(rule: TheirRule, rules: RulesDirectory, retry_log: str, stable: set[str]) -> Proposal:
    """Return the proposal of one of their rules; `stable` are the syscalls that SFEmu exported as stable."""
    purpose = "observe" if rule.observes else "fix"
    said = [_what_became(rule, retry_log), _where_now(rule, rules)]
    if rule.syscall in stable and not rule.observes:
        said.append("SFEmu took it for stable, which only means that more calls were made since")
    if _TRANSIENT.search(rule.text[:1024]):
        said.append("It is marked as transient")
    does = "is meant to watch" if rule.observes else "answers or changes"
    return Proposal(
        id=f"sfemu-{purpose}-{rule.syscall}",
        hypothesis=0,
        template="sfemu",
        title=f"{rule.syscall}: the rule that SFEmu's own tool wrote",
        intent=f"it {does} {rule.syscall}; read its text, nobody checked what it is for",
        effect=". ".join(said),
        risk="medium" if rule.observes else "high",
        risk_text="a model or a tool wrote it from the same snapshot, and nothing was tried with it here",
        inverse="roll back to the generation before it",
        files=[rule.name],
        source="sfemu",
        observe_only=rule.observes,
    )


def _what_became(rule: TheirRule, retry_log: str) -> str:
    """Say what SFEmu did with the rule, by its log."""
    kind = "observe" if rule.observes else "fix"
    for syscall, of, place in _APPLIED.findall(retry_log):
        if (syscall, of) == (rule.syscall, kind):
            return f"SFEmu applied it at once, to {place or 'syscall'}/{syscall}.lua"
    for why, syscall in _NOT_APPLIED.findall(retry_log):
        if syscall == rule.syscall and not rule.observes:
            return f"SFEmu did not apply it ({safe_line(why, 60)})"
    return "SFEmu did not apply it"


def _where_now(rule: TheirRule, rules: RulesDirectory) -> str:
    """Say what acts on the syscall in the rule directory now: the first file that is there."""
    for directory in (*rules.override_dirs, rules.baseline_dir):
        path = directory / f"{rule.syscall}.lua"
        if not os.path.lexists(path):
            continue
        shown = f"{safe_line(directory.name, 60)}/{rule.syscall}.lua"
        try:
            same = read_bounded(path, MAX_RULE_BYTES) == rule.text
        except TriageError:
            same = False
        if same:
            return f"When this was read it acted, as {shown}"
        return f"When this was read {shown} acted, which is another text"
    return "When this was read no rule for this call acted"


def stable_of(rules: RulesDirectory, run_id: str) -> dict[str, Any] | None:
    """Return the manifest of the set that SFEmu exported from a run, None where it exported none."""
    for directory in rules.stable_dirs:
        try:
            raw = read_bounded(inside(directory, f"{run_id}/manifest.json"), MAX_MANIFEST, whole=True)
            found = msgspec.json.decode(raw)
        except (TriageError, msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            continue
        if isinstance(found, dict):
            return found
    return None


def exported(manifest: dict[str, Any] | None) -> set[str]:
    """Return the syscalls whose rules a manifest says were exported."""
    entries = (manifest or {}).get("exported")
    if not isinstance(entries, list):
        return set()
    names = (entry.get("syscall") for entry in entries[: patches.MAX_RULES] if isinstance(entry, dict))
    return {name for name in names if isinstance(name, str)}
