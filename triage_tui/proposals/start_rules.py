"""Rule files that change how the program is started (see `rulebook.start_settings`)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from triage_tui.proposals.templates import PLACEHOLDER, Template
from triage_tui.rulebook.placeholders import unfilled
from triage_tui.rulebook.start_settings import SINGLE, Setting


@dataclass(frozen=True, slots=True)
class StartText:
    """One rule in the making: `name` below `rules_patch/`, its id, and the text below its header."""

    name: str
    identity: str
    body: str

    @property
    def wanted(self) -> str:
        """What a person must fill in, "" for nothing."""
        return "; ".join(dict.fromkeys(wanted for _, wanted in unfilled(self.body.encode())))


def start_names(template: Template) -> set[str]:
    """Return the names that a template for the start needs or must not have."""
    if not template.start:
        return set()
    held = {match[1] for text in template.start.values() for match in PLACEHOLDER.finditer(text)}
    return held.union(template.parameters, template.unless)


def start_texts(template: Template, code: Mapping[str, str]) -> list[StartText] | None:
    """Return the rules of a template for the start; None where it needs a literal that is not known."""
    found = []
    for setting, text in template.start.items():
        if any(match[1] not in code for match in PLACEHOLDER.finditer(text)):
            return None
        body = PLACEHOLDER.sub(lambda match: code[match[1]], text).strip() + "\n"
        identity = _identity(setting, body)
        found.append(StartText(f"fix/start/{setting}@{identity}.lua", identity, body))
    return found


def _identity(setting: Setting, body: str) -> str:
    """Return the id of a rule: of what a start has only one, the next rule replaces the one before."""
    if setting in SINGLE:
        return f"start-{setting}"
    return f"start-{setting}-{hashlib.sha256(body.encode('utf-8', 'surrogateescape')).hexdigest()[:8]}"
